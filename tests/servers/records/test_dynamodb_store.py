"""Records in DynamoDB: the contract, lost answers, costs, other items of the same table."""

from typing import Any

import anyio
import pytest

from servers.aws.dynamodb import DynamoDBClient
from servers.conversations.dynamodb_client import create_client
from servers.conversations.dynamodb_store import DynamoDBConversationStore
from servers.conversations.dynamodb_writes import Writer
from servers.records.dynamodb_store import (
    DynamoDBRecordStore,
    open_dynamodb_records,
    to_unavailable,
)
from servers.records.errors import RecordConflictError, RecordsUnavailableError
from servers.records.store import Record
from tests.fakes.dynamodb_places import in_table
from tests.fakes.dynamodb_server import REGION, create_table
from tests.fakes.dynamodb_wire import lose_answer, refuse, watch
from tests.servers.conversations.messages import users
from tests.servers.records.record_contract import NASTY_KEYS, RecordStoreContract, keys, soon


@pytest.fixture
def table(api: Any) -> str:
    return create_table(api)


def open_store(
    api: Any, table: str, purpose: str = "tests", *, deadline: float = 10
) -> DynamoDBRecordStore:
    """As another process would."""
    client = DynamoDBClient(api, table, to_unavailable, deadline_seconds=deadline)
    return DynamoDBRecordStore(client, purpose)


@pytest.fixture
def store(api: Any, table: str) -> DynamoDBRecordStore:
    return open_store(api, table)


@pytest.fixture
def second(api: Any, table: str) -> DynamoDBRecordStore:
    return open_store(api, table)


class TestDynamoDBRecordStore(RecordStoreContract):
    """All of the contract."""


async def test_each_verb_is_one_request_and_none_is_a_scan(
    api: Any, store: DynamoDBRecordStore
) -> None:
    with watch(api) as wire:
        version = await store.put("a", b"x", 0)
        version = await store.put("a", b"y", version)
        await store.get("a")
        await store.list("a")
        await store.list()
        await store.delete("a", version)
    assert wire.operations == ["PutItem", "PutItem", "GetItem", "Query", "Query", "PutItem"]
    assert all(body.get("ConsistentRead") for body in wire.bodies[2:5])
    assert not any("IndexName" in body for body in wire.bodies)
    verbs = {verb for verb, _ in store.client.units.total}
    assert verbs == {"put_record", "get_record", "list_records", "delete_record"}


async def test_a_change_whose_answer_was_lost_is_made_once_and_told(
    api: Any, store: DynamoDBRecordStore
) -> None:
    with anyio.fail_after(30), watch(api) as wire:
        wire.faults = [lose_answer]
        version = await store.put("a", b"x", 0)
        assert wire.operations == ["PutItem", "PutItem"]
        wire.faults = [lose_answer]
        later = await store.put("a", b"y", version)
        assert await store.get("a") == Record("a", b"y", later)
        wire.faults = [lose_answer]
        assert await store.delete("a", later)
        assert await store.get("a") is None


async def test_throttles_pass_and_what_stays_is_told_in_time(api: Any, table: str) -> None:
    store = open_store(api, table, deadline=2)
    throttle = refuse("ProvisionedThroughputExceededException")
    with anyio.fail_after(30), watch(api) as wire:
        wire.faults = [throttle] * 2
        await store.put("a", b"x", 0)
        wire.faults = [throttle] * 1_000
        with pytest.raises(RecordsUnavailableError, match="is busy") as busy:
            await open_store(api, table, deadline=0.2).get("a")
    assert busy.value.retry_after_seconds


async def test_versions_go_on_where_the_clock_of_another_server_goes_before(
    api: Any, table: str, store: DynamoDBRecordStore
) -> None:
    ahead = {"v": {"N": str(10**13)}, "t": {"N": "99999999999"}, "w": {"S": "x"}}
    item = {"pk": {"S": "\nrecords\ntests"}, "sk": {"S": "a"}, **ahead}
    api.put_item(TableName=table, Item=item)
    assert await store.get("a") is None
    assert await store.put("a", b"x", 0) == 10**13 + 1


async def test_what_expires_or_was_deleted_is_left_to_dynamodb_a_day_later(
    api: Any, table: str, store: DynamoDBRecordStore
) -> None:
    until = soon(100)
    await store.put("expires", b"x", 0, until)
    await store.put("deleted", b"secret", 0)
    await store.delete("deleted")
    await store.put("stays", b"x", 0)
    items = api.scan(TableName=table)["Items"]
    times = {item["sk"]["S"]: int(item["t"]["N"]) for item in items if "t" in item}
    assert set(times) == {"expires", "deleted"}
    assert times["expires"] == int(until.timestamp()) + 86_400
    assert b"secret" not in [item.get("d", {}).get("B") for item in items]


async def test_purposes_and_conversations_of_one_table_do_not_meet(
    api: Any, table: str, store: DynamoDBRecordStore
) -> None:
    other = open_store(api, table, "test")
    client = create_client(api, table)
    conversations = DynamoDBConversationStore(Writer(client, 60, 1), in_table(client))
    for key in NASTY_KEYS:
        await store.put(key, b"ours", 0)
        await conversations.append_messages("records", key, users(1))
    assert await keys(other) == []
    await other.put("a", b"theirs", 0)
    assert len(await keys(store)) == len(NASTY_KEYS)
    listed = await conversations.list_conversations("records")
    assert len(listed.conversations) == len(NASTY_KEYS)
    assert (await conversations.list_owners()).owners == ["records"]
    found = await store.get("a")
    assert found is not None
    assert found.value == b"ours"


@pytest.mark.parametrize(
    "attributes",
    [{"d": {"B": b"x"}}, {"v": {"S": "1"}}, {"v": {"N": "1"}, "d": {"S": "x"}}],
)
async def test_an_item_made_by_hand_is_named_and_others_go_on(
    api: Any, table: str, store: DynamoDBRecordStore, attributes: dict[str, Any]
) -> None:
    item = {"pk": {"S": "\nrecords\ntests"}, "sk": {"S": "odd"}, **attributes}
    api.put_item(TableName=table, Item=item)
    await store.put("a", b"x", 0)
    asks = (store.get("odd"), store.put("odd", b"x", 7), store.delete("odd"), store.list())
    for ask in asks:
        with pytest.raises(RecordsUnavailableError, match=r"item 'odd' of .* is no record"):
            await ask
    assert await keys(store, "a") == ["a"]


async def test_a_table_that_is_not_there_is_told_with_the_fix(aws: str) -> None:
    async with open_dynamodb_records("nowhere", REGION, aws, "tests") as store:
        with pytest.raises(RecordsUnavailableError, match="create-table"):
            await store.get("a")


async def test_no_conflict_is_told_of_another_version_than_was_there(
    api: Any, store: DynamoDBRecordStore
) -> None:
    version = await store.put("a", b"x", 0)
    with watch(api) as wire, pytest.raises(RecordConflictError) as late:
        await store.put("a", b"y", version + 5)
    assert late.value.current_version == version
    assert wire.operations == ["PutItem"]  # what stood there was told in the refusal
