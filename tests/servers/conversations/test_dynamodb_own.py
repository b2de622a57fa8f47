"""What is DynamoDB's own: writers that race, answers that are lost, items made by hand, costs."""

import random
import string
from contextlib import AsyncExitStack
from typing import Any

import anyio
import pytest
from anyio import from_thread

from servers.aws.api import create_api
from servers.conversations.contract import MAX_MESSAGE_BYTES
from servers.conversations.dynamodb_client import create_client
from servers.conversations.dynamodb_opening import DynamoDBSettings, open_dynamodb_store
from servers.conversations.dynamodb_store import DynamoDBConversationStore
from servers.conversations.dynamodb_upkeep import sweep
from servers.conversations.dynamodb_writes import Writer
from servers.conversations.store_errors import (
    ConflictError,
    NotFoundError,
    UnavailableError,
    UnsupportedError,
)
from servers.conversations.store_values import ConversationUpdate
from tests.fakes.dynamodb_places import in_table
from tests.fakes.dynamodb_server import REGION, create_table
from tests.fakes.dynamodb_wire import lose_answer, refuse, watch
from tests.servers.conversations.messages import ID, OWNER, load_ids, user, users

_SCANS = {"Scan", "ExecuteStatement", "BatchExecuteStatement"}


@pytest.fixture
def table(api: Any) -> str:
    return create_table(api)


def open_store(
    api: Any, table: str, *, listing_seconds: float = 60, shards: int = 1, deadline: float = 10
) -> DynamoDBConversationStore:
    """As another process would: nothing is known yet."""
    client = create_client(api, table, deadline_seconds=deadline)
    return DynamoDBConversationStore(Writer(client, listing_seconds, shards), in_table(client))


@pytest.fixture
def store(api: Any, table: str) -> DynamoDBConversationStore:
    return open_store(api, table)


@pytest.fixture
def second(api: Any, table: str) -> DynamoDBConversationStore:
    return open_store(api, table)


async def test_a_turn_costs_one_put_however_long_the_conversation(
    api: Any, store: DynamoDBConversationStore
) -> None:
    await store.append_messages(OWNER, ID, users(2))
    for start in (2, 502):
        await store.append_messages(OWNER, ID, users(4, start))
        with watch(api) as wire:
            await store.append_messages(OWNER, ID, users(4, start + 4))
        assert wire.operations == ["PutItem"]
        item = wire.bodies[0]["Item"]
        assert (
            sum(len(str(name)) + len(str(*value.values())) for name, value in item.items()) < 1_024
        )
        await store.append_messages(OWNER, ID, users(490, start + 8))


async def test_nothing_is_scanned(api: Any, store: DynamoDBConversationStore) -> None:
    with watch(api) as wire:
        await store.append_messages(OWNER, ID, users(40))
        await store.load_conversation(OWNER, ID, limit=50)
        await store.list_conversations(OWNER)
        await store.get_conversation(OWNER, ID)
        await store.annotate_message(OWNER, ID, "m3", {"delivery": "pending"})
        await store.list_deliveries("pending")
        await store.fork_conversation(OWNER, ID, new_conversation_id="copy")
        await store.merge_conversations(OWNER, [ID, "copy"], "both")
        await store.export_conversation(OWNER, ID)
        await store.list_owners()
        await sweep(store.writer)
        await store.delete_conversation(OWNER, ID)
    assert not _SCANS & wire.counts.keys()
    assert wire.counts["Query"] > 5


async def test_fifty_of_a_listing_are_one_query(api: Any, store: DynamoDBConversationStore) -> None:
    for number in range(50):
        await store.append_messages(OWNER, f"telegram:{number}", users(1))
    with watch(api) as wire:
        listed = await store.list_conversations(OWNER, limit=50)
    assert len(listed.conversations) == 50
    assert wire.operations == ["Query"]


@pytest.mark.slow
async def test_sixteen_who_know_nothing_of_each_other_lose_and_double_nothing(
    api: Any, table: str
) -> None:
    stores = [open_store(api, table) for _ in range(16)]

    async def write(number: int) -> None:
        for turn in range(5):
            ids = [f"{number}-{turn}-{part}" for part in range(2)]
            await stores[number].append_messages(OWNER, ID, [user(each) for each in ids])

    async with anyio.create_task_group() as tasks:
        for number in range(16):
            tasks.start_soon(write, number)
    ids = await load_ids(open_store(api, table))
    assert len(ids) == len(set(ids)) == 160
    for number in range(16):
        own = [each for each in ids if str(each).startswith(f"{number}-")]
        assert own == [f"{number}-{turn}-{part}" for turn in range(5) for part in range(2)]
        assert all(ids.index(own[at]) + 1 == ids.index(own[at + 1]) for at in range(0, 10, 2))


async def test_who_is_late_finds_the_repeat_and_the_conflict(
    store: DynamoDBConversationStore, second: DynamoDBConversationStore
) -> None:
    await store.append_messages(OWNER, ID, users(1))
    await second.append_messages(OWNER, ID, [user("x"), user("y")])
    repeated = await store.append_messages(OWNER, ID, [user("y")])
    assert (repeated.appended, repeated.repeated) == (0, 1)
    with pytest.raises(ConflictError):
        await store.append_messages(OWNER, ID, [user("x", "something else")])
    version = await second.read_version(OWNER, ID)
    with pytest.raises(ConflictError) as raised:
        await store.append_messages(OWNER, ID, [user("z")], expected_version=version - 1)
    assert raised.value.current_version == version


async def test_a_writer_that_knows_the_old_history_does_not_write_into_it(
    store: DynamoDBConversationStore, second: DynamoDBConversationStore
) -> None:
    await store.append_messages(OWNER, ID, users(30))
    version = (await second.load_conversation(OWNER, ID)).version
    await second.save_conversation(OWNER, ID, users(20), expected_version=version)
    await store.append_messages(OWNER, ID, [user("late")])
    assert await load_ids(second) == [*(f"m{n}" for n in range(20)), "late"]
    await second.delete_conversation(OWNER, ID)
    await store.append_messages(OWNER, ID, [user("later")])
    assert await load_ids(second) == ["later"]
    assert (await second.list_conversations(OWNER)).conversations[0].message_count == 1


@pytest.mark.parametrize("operation", ["PutItem", "TransactWriteItems"])
async def test_a_lost_answer_is_no_second_message(
    api: Any, store: DynamoDBConversationStore, operation: str
) -> None:
    if operation == "PutItem":
        await store.append_messages(OWNER, ID, users(1))
    with watch(api) as wire:
        wire.faults, wire.for_operation = [lose_answer], operation
        result = await store.append_messages(OWNER, ID, [user("a")])
    assert result.appended == 1
    assert wire.counts[operation] == 2
    assert (await load_ids(store)).count("a") == 1
    assert (await store.append_messages(OWNER, ID, [user("b")])).appended == 1


async def test_four_throttles_are_sat_out(api: Any, store: DynamoDBConversationStore) -> None:
    codes = ["ProvisionedThroughputExceededException", "ThrottlingException"] * 2
    with watch(api) as wire, anyio.fail_after(2):
        wire.faults = [refuse(code) for code in codes]
        await store.append_messages(OWNER, ID, users(1))
    assert not wire.faults
    assert await load_ids(store) == ["m0"]


async def test_a_table_that_stays_busy_is_told_in_time(api: Any, table: str) -> None:
    store = open_store(api, table, deadline=0.5)
    with watch(api) as wire, anyio.fail_after(3):
        wire.faults = [refuse("ThrottlingException")] * 100
        with pytest.raises(UnavailableError, match="busy") as raised:
            await store.append_messages(OWNER, ID, users(1))
    assert raised.value.retry_after_seconds is not None
    wire.faults.clear()
    assert (await store.append_messages(OWNER, ID, users(1))).appended == 1


@pytest.mark.parametrize(
    ("code", "status", "said"),
    [
        ("ResourceNotFoundException", 400, "create-table"),
        ("AccessDeniedException", 400, "IAM policy: dynamodb:PutItem is missing"),
        ("ExpiredTokenException", 400, "session has expired: sign in anew"),
        ("UnrecognizedClientException", 400, "does not know these credentials"),
        ("InvalidSignatureException", 400, "this machine's clock"),
        ("ValidationException", 400, "ValidationException: dynamodb:PutItem is missing"),
    ],
)
async def test_what_somebody_must_mend_is_told_at_once(
    api: Any, store: DynamoDBConversationStore, code: str, status: int, said: str
) -> None:
    with watch(api) as wire:
        wire.faults = [refuse(code, status, "dynamodb:PutItem is missing")]
        with pytest.raises(UnavailableError, match=said) as raised:
            await store.append_messages(OWNER, ID, users(1))
    assert len(wire.operations) == 1
    assert store.writer.client.table in str(raised.value)
    assert REGION in str(raised.value)


async def test_the_largest_messages_and_batches_come_back(
    store: DynamoDBConversationStore, second: DynamoDBConversationStore
) -> None:
    chance = random.Random(7)
    text = "".join(chance.choices(string.printable + "äöüß€🙂", k=MAX_MESSAGE_BYTES // 2))
    large = [user("large", text), user("small", "x")]
    await store.append_messages(OWNER, ID, [user("first")])
    await store.append_messages(OWNER, ID, large)
    batch = [user(f"b{n}", f"{n} " + text[n * 2_000 : n * 2_000 + 2_500]) for n in range(900)]
    await store.append_messages(OWNER, ID, batch)
    loaded = await second.load_conversation(OWNER, ID)
    assert [message.content for message in loaded.messages[1:]] == [
        message.content for message in large + batch
    ]
    assert loaded.damaged == 0
    page = await second.load_conversation(OWNER, ID, limit=50)
    assert [message.message_id for message in page.messages] == [f"b{n}" for n in range(850, 900)]


async def test_an_item_made_by_hand_costs_itself(
    api: Any, table: str, store: DynamoDBConversationStore
) -> None:
    for number in range(3):
        await store.append_messages(OWNER, ID, [user(f"m{number}")])
    await store.append_messages(OWNER, "other", users(1))
    keys = _keys(api, table, f"{OWNER}\n{ID}")
    middle = [key for key in keys if key.startswith("M#")][1]
    item = {"pk": {"S": f"{OWNER}\n{ID}"}, "sk": {"S": middle}}
    for damage in ({}, {"h": {"S": "{"}}, {"h": {"N": "1"}, "d": {"SS": ["a"]}}):
        api.put_item(TableName=table, Item={**item, **damage})
        loaded = await open_store(api, table).load_conversation(OWNER, ID)
        assert [m.message_id for m in loaded.messages] == ["m0", "m2"]
        assert loaded.damaged == 1
        page = await open_store(api, table).load_conversation(OWNER, ID, limit=50)
        assert ([m.message_id for m in page.messages], page.damaged) == (["m0", "m2"], 1)
    last = max(key for key in keys if key.startswith("M#"))
    api.put_item(TableName=table, Item={**item, "sk": {"S": last}})
    fresh = open_store(api, table)
    with pytest.raises(UnavailableError, match=rf"the item {last} of the conversation"):
        await fresh.append_messages(OWNER, ID, [user("m4")])
    assert await load_ids(fresh, "other") == ["m0"]
    await fresh.append_messages(OWNER, "other", [user("on")])
    assert len((await fresh.list_conversations(OWNER)).conversations) == 2


async def test_a_deleted_conversation_leaves_nothing_of_what_was_said(
    api: Any, table: str, store: DynamoDBConversationStore
) -> None:
    await store.append_messages(OWNER, ID, users(40))
    await store.save_conversation(
        OWNER, ID, users(35), expected_version=await store.read_version(OWNER, ID)
    )
    await store.annotate_message(OWNER, ID, "m3", {"delivery": "pending", "note": "secret"})
    await store.put_attachment(
        OWNER, ID, b"bytes", name="a.txt", mime_type="text/plain", attachment_id="a"
    )
    await store.delete_conversation(OWNER, ID)
    left = api.query(
        TableName=table,
        KeyConditionExpression="pk = :pk",
        ExpressionAttributeValues={":pk": {"S": f"{OWNER}\n{ID}"}},
    )["Items"]
    assert len(left) == 1
    assert "t" in left[0]
    assert "text" not in str(left)
    assert (await store.list_deliveries("pending")).deliveries == []


async def test_a_deletion_that_was_broken_off_is_ended_by_the_next_one(
    api: Any, table: str, store: DynamoDBConversationStore
) -> None:
    await store.append_messages(OWNER, ID, users(5))
    with watch(api) as wire:
        wire.for_operation = "BatchWriteItem"
        wire.faults = [refuse("AccessDeniedException")]
        with pytest.raises(UnavailableError):
            await store.delete_conversation(OWNER, ID)
    assert await store.read_version(OWNER, ID) == 0
    assert len(_keys(api, table, f"{OWNER}\n{ID}")) > 1
    assert (await store.delete_conversation(OWNER, ID)).deleted is False
    assert len(_keys(api, table, f"{OWNER}\n{ID}")) == 1


@pytest.mark.parametrize("verb", ["save", "merge"])
async def test_an_annotation_that_comes_while_a_history_is_rewritten_is_kept(
    api: Any, table: str, store: DynamoDBConversationStore, verb: str
) -> None:
    await store.append_messages(OWNER, ID, users(20))
    await store.append_messages(OWNER, "other", [user("x")])
    await store.annotate_message(OWNER, ID, "m3", {"kept": 1, "delivery": "pending"})
    version = await store.read_version(OWNER, ID)
    second = open_store(create_api("second", REGION, str(api.meta.endpoint_url)), table)

    def annotate(_: Any) -> None:
        changes = {"delivery": "delivered"}
        from_thread.run(second.annotate_message, OWNER, ID, "m3", changes)

    with watch(api) as wire:
        wire.for_operation, wire.faults = "TransactWriteItems", [annotate]
        if verb == "save":
            await store.save_conversation(OWNER, ID, users(10), expected_version=version)
        else:
            await store.merge_conversations(OWNER, ["other", ID], ID)
    for each in (store, open_store(api, table)):
        loaded = await each.load_conversation(OWNER, ID)
        annotated = {m.message_id: m.annotations for m in loaded.messages if m.annotations}
        assert annotated == {"m3": {"kept": 1, "delivery": "delivered"}}
    assert (await store.list_deliveries("pending")).deliveries == []
    assert len((await store.list_deliveries("delivered")).deliveries) == 1


async def test_what_a_killed_remover_left_is_removed_by_the_sweeper(
    api: Any, table: str, store: DynamoDBConversationStore
) -> None:
    for name in (ID, "rewritten"):
        await store.append_messages(OWNER, name, users(30))
    version = await store.read_version(OWNER, "rewritten")
    with watch(api) as wire:
        wire.for_operation = "BatchWriteItem"
        wire.faults = [refuse("AccessDeniedException"), refuse("AccessDeniedException")]
        with pytest.raises(UnavailableError):
            await store.delete_conversation(OWNER, ID)
        await store.save_conversation(OWNER, "rewritten", users(3), expected_version=version)
    (tombstone,) = [
        item
        for item in _items(api, table, f"{OWNER}\n{ID}")
        if "tombstone" in item.get("h", {}).get("S", "")
    ]
    assert "t" not in tombstone  # what lies below it would come back, were it forgotten
    await sweep(store.writer)
    assert len(_keys(api, table, f"{OWNER}\n{ID}")) > 1  # its remover may be at it
    await sweep(open_store(api, table).writer, remover_seconds=0)
    (tombstone,) = _items(api, table, f"{OWNER}\n{ID}")
    assert "t" in tombstone
    assert "text 20" not in str(_items(api, table, f"{OWNER}\nrewritten"))
    assert len(_keys(api, table, f"{OWNER}\nrewritten")) == 2
    assert await load_ids(store, "rewritten") == ["m0", "m1", "m2"]


async def test_an_entry_that_could_not_be_written_is_written_later(
    api: Any, table: str, store: DynamoDBConversationStore
) -> None:
    await store.append_messages(OWNER, ID, users(1))
    await store.append_messages(OWNER, ID, users(1, 1))
    with watch(api) as wire:
        wire.for_operation, wire.faults = "UpdateItem", [refuse("AccessDeniedException")]
        await store.writer.list_what_waits(older_than=anyio.current_time())
    (listed,) = (await store.list_conversations(OWNER)).conversations
    assert listed.message_count == 1
    await store.writer.list_what_waits(older_than=anyio.current_time())
    (listed,) = (await store.list_conversations(OWNER)).conversations
    assert listed.message_count == 2


async def test_what_has_expired_is_hidden_at_once_and_removed_by_the_sweeper(
    api: Any, table: str, store: DynamoDBConversationStore
) -> None:
    await store.append_messages(OWNER, ID, users(2))
    await store.append_messages(OWNER, "stays", users(1))
    for name, at in ((ID, "2020-01-01T00:00:00Z"), ("stays", "2999-01-01T00:00:00Z")):
        await store.update_conversation(OWNER, name, ConversationUpdate(expires_at=at))
    assert await load_ids(store) == []
    assert [c.conversation_id for c in (await store.list_conversations(OWNER)).conversations] == [
        "stays"
    ]
    assert len(_keys(api, table, f"{OWNER}\n{ID}")) > 2
    await sweep(store.writer)
    assert len(_keys(api, table, f"{OWNER}\n{ID}")) == 1
    await store.append_messages(OWNER, ID, [user("anew")])
    await sweep(store.writer)
    assert await load_ids(store) == ["anew"]
    assert await load_ids(store, "stays") == ["m0"]


async def test_a_listing_lags_until_the_minute_is_over_and_not_beyond_the_end(
    aws: str, table: str, api: Any
) -> None:
    settings = DynamoDBSettings(table, REGION, aws)
    async with open_dynamodb_store(settings) as store:
        await store.append_messages(OWNER, ID, users(1))
        await store.append_messages(OWNER, ID, users(1, 1))
        (listed,) = (await store.list_conversations(OWNER)).conversations
        assert listed.message_count == 1
    (listed,) = (await open_store(api, table).list_conversations(OWNER)).conversations
    assert listed.message_count == 2


async def test_shards_of_a_listing_are_merged_in_order(api: Any, table: str) -> None:
    store = open_store(api, table, listing_seconds=0, shards=4)
    names = [f"c{number}" for number in range(12)]
    for name in names:
        await store.append_messages(OWNER, name, users(1))
    seen: list[str] = []
    cursor = None
    for _ in range(4):
        page = await store.list_conversations(OWNER, limit=5, cursor=cursor)
        seen += [c.conversation_id for c in page.conversations]
        cursor = page.next_cursor
        if cursor is None:
            break
    assert seen == names[::-1]


async def test_search_is_of_one_conversation(store: DynamoDBConversationStore) -> None:
    await store.append_messages(OWNER, ID, [user("a", "the blue heron"), user("b", "a herring")])
    with pytest.raises(UnsupportedError, match="name a conversation_id"):
        await store.search_conversations(OWNER, "heron")
    found = await store.search_conversations(OWNER, "her*", conversation_id=ID)
    assert {hit.message_id for hit in found.hits} == {"a", "b"}
    found = await store.search_conversations(OWNER, '"blue heron"', conversation_id=ID)
    assert [hit.snippet for hit in found.hits] == ["the **blue heron**"]
    assert not (await store.search_conversations(OWNER, "heron", conversation_id="none")).hits


async def test_units_are_counted_by_verb(store: DynamoDBConversationStore) -> None:
    await store.append_messages(OWNER, ID, users(1))
    await store.load_conversation(OWNER, ID)
    total = store.writer.client.units.total
    assert total["load_conversation", "read"] > 0
    assert ("load_conversation", "write") not in total


async def test_a_fork_of_what_is_rewritten_meanwhile_is_whole(
    api: Any, table: str, store: DynamoDBConversationStore, second: DynamoDBConversationStore
) -> None:
    await store.append_messages(OWNER, ID, users(60))
    version = await store.read_version(OWNER, ID)
    await store.save_conversation(OWNER, ID, users(50), expected_version=version)

    async def rewrite() -> None:
        for size in (45, 40, 35):
            version = await second.read_version(OWNER, ID)
            await second.save_conversation(OWNER, ID, users(size), expected_version=version)

    sizes: set[int] = set()
    async with AsyncExitStack() as stack:
        tasks = await stack.enter_async_context(anyio.create_task_group())
        tasks.start_soon(rewrite)
        for number in range(6):
            try:
                name = f"fork-{number}"
                made = await store.fork_conversation(OWNER, ID, new_conversation_id=name)
            except (UnavailableError, NotFoundError):
                continue
            sizes.add(made.message_count)
            assert len(await load_ids(second, f"fork-{number}")) == made.message_count
    assert sizes <= {50, 45, 40, 35}


@pytest.mark.slow
async def test_a_hundred_thousand_messages_work(
    api: Any, store: DynamoDBConversationStore, second: DynamoDBConversationStore
) -> None:
    for start in range(0, 100_000, 1_000):
        await store.append_messages(OWNER, ID, users(1_000, start))
    with watch(api) as wire:
        page = await second.load_conversation(OWNER, ID, limit=50)
    assert [m.message_id for m in page.messages] == [f"m{n}" for n in range(99_950, 100_000)]
    assert len(wire.operations) <= 4
    with watch(api) as wire:
        await store.append_messages(OWNER, ID, [user("last")])
    assert wire.operations == ["PutItem"]
    assert (await second.get_conversation(OWNER, ID)).message_count == 100_001


def _keys(api: Any, table: str, pk: str) -> list[str]:
    return [item["sk"]["S"] for item in _items(api, table, pk)]


def _items(api: Any, table: str, pk: str) -> list[dict[str, Any]]:
    answer = api.query(
        TableName=table,
        KeyConditionExpression="pk = :pk",
        ExpressionAttributeValues={":pk": {"S": pk}},
    )
    return answer["Items"]
