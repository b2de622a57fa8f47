"""Conversations in DynamoDB that expire because nothing was written to them for so many days."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from servers.conversations.contract import to_timestamp
from servers.conversations.contract_documents import ConversationDocument
from servers.conversations.dynamodb_client import create_client
from servers.conversations.dynamodb_store import DynamoDBConversationStore
from servers.conversations.dynamodb_upkeep import sweep_idle
from servers.conversations.dynamodb_writes import Writer
from servers.conversations.store_errors import NotFoundError
from servers.conversations.store_values import ConversationUpdate
from tests.fakes.dynamodb_places import in_table
from tests.fakes.dynamodb_server import create_table
from tests.fakes.dynamodb_wire import watch
from tests.servers.conversations.messages import ID, OWNER, list_ids, load_ids, user, users

_AT_ONCE = 1e-9
"""Days: a tenth of a millisecond, less than any call takes."""


@pytest.fixture
def table(api: Any) -> str:
    return create_table(api)


def open_store(
    api: Any, table: str, idle_days: float | None, shards: int = 1
) -> DynamoDBConversationStore:
    client = create_client(api, table)
    return DynamoDBConversationStore(Writer(client, 0, shards, idle_days), in_table(client))


def make_old(api: Any, table: str, days: float) -> None:
    """Move the only item of the only log back in time."""
    back = timedelta(days=days)
    for item in api.scan(TableName=table)["Items"]:
        sk, moved = item["sk"]["S"], dict(item)
        if sk.startswith("M#"):
            ordinal = int(sk[2:]) - int(back.total_seconds() * 1_000)
            header = json.loads(item["h"]["S"])
            header |= {"g": ordinal, "l": ordinal, "f": ordinal}
            header["u"] = to_timestamp(datetime.fromisoformat(header["u"]) - back)
            moved |= {"sk": {"S": f"M#{ordinal:016d}"}, "h": {"S": json.dumps(header)}}
            api.delete_item(TableName=table, Key={"pk": item["pk"], "sk": item["sk"]})
            api.put_item(TableName=table, Item=moved)


@pytest.mark.slow  # all verbs, and two sweeps
async def test_what_was_left_alone_for_too_long_is_hidden_from_each_verb_and_removed(
    api: Any, table: str
) -> None:
    ever = open_store(api, table, None, 2)
    waiting = user("w", annotations={"delivery": {"state": "pending"}})
    await ever.append_messages(OWNER, ID, [*users(2), waiting])
    await ever.append_messages("bob", "c", users(1))
    store = open_store(api, table, _AT_ONCE, 2)
    assert (await store.load_conversation(OWNER, ID)).version == 0
    assert await store.read_version(OWNER, ID) == 0
    assert (await store.list_conversations(OWNER)).conversations == []
    assert (await store.list_deliveries("pending")).deliveries == []
    assert (await store.list_owners()).owners == []
    for call in (
        store.get_conversation(OWNER, ID),
        store.export_conversation(OWNER, ID),
        store.list_attachments(OWNER, ID),
        store.annotate_message(OWNER, ID, "m0", {"x": 1}),
    ):
        with pytest.raises(NotFoundError):
            await call
    assert len(await load_ids(ever)) == 3
    await sweep_idle(ever.writer)
    assert len(await load_ids(ever)) == 3
    await sweep_idle(store.writer)
    assert await load_ids(ever) == []
    assert (await ever.list_owners()).owners == []
    left = {item["sk"]["S"][:2] for item in api.scan(TableName=table)["Items"]}
    assert left == {"M#", "O"}  # tombstones, and that there were such owners


async def test_days_are_counted_from_what_was_written_last(api: Any, table: str) -> None:
    week = open_store(api, table, 7)
    await week.append_messages(OWNER, ID, users(1))
    make_old(api, table, 6.9)
    assert await load_ids(open_store(api, table, 7)) == ["m0"]
    make_old(api, table, 0.2)
    week = open_store(api, table, 7)
    assert await load_ids(week) == []
    appended = await week.append_messages(OWNER, ID, users(1))
    assert (appended.appended, appended.repeated) == (1, 0)
    assert await list_ids(week) == [ID]


async def test_a_new_title_counts_as_written(api: Any, table: str) -> None:
    ever = open_store(api, table, None)
    await ever.append_messages(OWNER, ID, users(1))
    make_old(api, table, 30)
    ever = open_store(api, table, None)
    changed = await ever.update_conversation(OWNER, ID, ConversationUpdate(title="t"))
    assert changed.last_updated < to_timestamp(datetime.now(UTC) - timedelta(days=29))
    week = open_store(api, table, 7)
    assert await load_ids(week) == ["m0"]
    assert await list_ids(week) == [ID]
    await sweep_idle(week.writer)
    assert (await week.get_conversation(OWNER, ID)).title == "t"


async def test_what_is_imported_may_be_old_and_its_time_begins_now(api: Any, table: str) -> None:
    week = open_store(api, table, 7)
    document = ConversationDocument.model_validate(
        {
            "format": "agentic-conversation/1",
            "conversation": {"conversation_id": ID, "last_updated": "2020-01-01T00:00:00Z"},
            "messages": [
                {
                    "message_id": "a",
                    "role": "user",
                    "content": "old",
                    "created_at": "2020-01-01T00:00:00Z",
                }
            ],
        }
    )
    await week.import_conversation(OWNER, document)
    assert (await week.get_conversation(OWNER, ID)).last_updated.startswith("2020")
    await sweep_idle(week.writer)
    assert await load_ids(week) == ["a"]
    assert await list_ids(week) == [ID]
    assert await load_ids(open_store(api, table, _AT_ONCE)) == []


async def test_it_costs_no_write_more(api: Any) -> None:
    counts: list[Any] = []
    for days in (None, 30):
        store = open_store(api, create_table(api), days)
        with watch(api) as wire:
            await store.append_messages(OWNER, ID, users(1))
            await store.append_messages(OWNER, ID, [user("next")])
        counts.append(wire.counts)
    assert counts[0] == counts[1]
