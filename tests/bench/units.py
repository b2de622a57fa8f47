"""What a conversation costs in DynamoDB, in capacity units, beside one item and langgraph's saver.

moto counts no units, so they are computed from the requests and answers on the wire, by AWS's
rules: a write takes one for each KB of its item, twice that in a transaction, and one for each
entry that it puts into the index or takes out; a read takes one for each 4 KB, half of it from an
index. `one item` is the design in which a conversation is one item that is written anew each time.
A whole turn appends three times: the question, the call before it is made, its result with the
reply. What it costs to be listed comes once a minute at most: an index changes only with an item of
the table, and the entry that goes and the one that comes take a unit each.
"""

import json
import math
import os
import zlib
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import anyio
import anyio.to_thread

from servers.aws.api import create_api
from servers.conversations.contract import Message
from servers.conversations.dynamodb_client import create_client
from servers.conversations.dynamodb_store import DynamoDBConversationStore
from servers.conversations.dynamodb_writes import Writer
from tests.bench.table import Row
from tests.bench.units_langgraph import measure_checkpoints
from tests.bench.units_turn import measure_turns
from tests.fakes.dynamodb_places import in_table
from tests.fakes.dynamodb_server import CREDENTIALS, REGION, create_table, open_aws_server

OWNER, ID = "ada", "telegram:42"
SIZES = (10, 100, 1_000, 10_000)
TURN = 4
"""Messages of a turn: what was asked, a call, its result, the answer."""
MAX_APPEND, MAX_LAST, MAX_LISTING = 2, 4, 1
_NEVER = 1e9
"""Seconds: what it costs to be listed has rows of its own."""
TEXT = (
    "the weather in Lisbon tomorrow looks mild with some wind from the west and clouds in the "
    "evening so take a jacket if you walk along the river after dinner but leave the umbrella at "
    "home because no rain is expected before Thursday when a front arrives from the Azores"
)
WORDS = TEXT.split(" ")


@dataclass
class Meter:
    """Units since the last reset."""

    write: float = 0
    read: float = 0
    sizes: list[int] = field(default_factory=list[int])
    """Of items that were put or updated alone, in bytes."""

    def handle(self, parsed: Mapping[str, Any], model: Any, context: Any, **_: Any) -> None:
        """Count one call: botocore tells its answer, and in the context what was asked."""
        asked: Mapping[str, Any] = context.get("asked", {})
        match model.name:
            case "PutItem":
                self.write += _write_units(asked["Item"])
                self.sizes.append(_size(asked["Item"]))
            case "UpdateItem":
                self.write += 1 + 2  # the entry, which moves in the index
                changed = asked["ExpressionAttributeValues"].items()
                key = asked["Key"]
                self.sizes.append(_size({**key, **{name[1:]: value for name, value in changed}}))
            case "TransactWriteItems":
                for action in asked["TransactItems"]:
                    item: Mapping[str, Any] = action["Put"]["Item"] if "Put" in action else {}
                    self.write += 2 * math.ceil(max(_size(item), 1) / 1024) + ("o" in item)
            case "BatchWriteItem":
                for requests in asked["RequestItems"].values():
                    for request in requests:
                        put: Mapping[str, Any] = request.get("PutRequest", {})
                        self.write += _write_units(put.get("Item", {}))
            case "Query" | "GetItem":
                items: list[Any] = parsed.get("Items") or [parsed.get("Item") or {}]
                blocks = max(math.ceil(sum(map(_size, items)) / 4096), 1)
                self.read += blocks * (0.5 if "IndexName" in asked else 1)
            case _:
                raise AssertionError(f"{model.name} is not counted")

    @staticmethod
    def remember(params: Mapping[str, Any], context: Any, **_: Any) -> None:
        """Keep what is asked until the answer is there."""
        context["asked"] = params

    def take(self) -> tuple[float, float]:
        """What was written and read since the last time."""
        taken = self.write, self.read
        self.write = self.read = 0
        return taken


@contextmanager
def metering(api: Any) -> Generator[Meter]:
    """Count what goes through a client."""
    meter = Meter()
    events = api.meta.events
    events.register("provide-client-params.dynamodb", meter.remember)
    events.register("after-call.dynamodb", meter.handle)
    try:
        yield meter
    finally:
        events.unregister("provide-client-params.dynamodb", meter.remember)
        events.unregister("after-call.dynamodb", meter.handle)


async def measure(sizes: tuple[int, ...]) -> list[Row]:
    """An append of a turn, the last 50, all, and a listing of 50."""
    os.environ.update(CREDENTIALS)
    rows: list[Row] = []
    with open_aws_server() as address:
        api = create_api("units", REGION, address)
        client = create_client(api, create_table(api))
        store = DynamoDBConversationStore(Writer(client, _NEVER, 1), in_table(client))
        with metering(api) as meter:
            for size in sizes:
                rows += await _measure_one(store, meter, size)
                told = messages(0, size + TURN)
                rows += await anyio.to_thread.run_sync(
                    measure_checkpoints, address, size, told, metering
                )
                fresh = DynamoDBConversationStore(Writer(client, _NEVER, 1), in_table(client))
                text = " ".join(WORDS)
                rows += await measure_turns(fresh, meter.take, f"{ID}:{size}", size, text)
            rows += await _measure_listing(store, meter)
            listing = DynamoDBConversationStore(Writer(client, 0, 1), in_table(client))
            rows += await _measure_entry(listing, meter)
    return rows


async def _measure_one(store: DynamoDBConversationStore, meter: Meter, size: int) -> list[Row]:
    name = f"{ID}:{size}"
    for start in range(0, size, TURN):
        await store.append_messages(OWNER, name, messages(start, min(TURN, size - start)))
    meter.take()
    await store.append_messages(OWNER, name, messages(size, TURN))
    append, _ = meter.take()
    await store.load_conversation(OWNER, name, limit=50)
    _, last = meter.take()
    loaded = await store.load_conversation(OWNER, name)
    _, whole = meter.take()
    data = json.dumps([message.to_wire() for message in loaded.messages]).encode()
    one, packed = (math.ceil(len(each) / 1024) for each in (data, zlib.compress(data)))
    return [
        Row(f"append a turn of {TURN} to {size:,} messages", append, "units", limit=MAX_APPEND),
        Row("  to one item, plain", one, "units"),
        Row("  to one item, zlib", packed, "units"),
        Row(f"last 50 of {size:,}", last, "units", limit=MAX_LAST),
        Row(f"all {size:,}", whole, "units"),
        Row("  of one item, zlib", math.ceil(len(zlib.compress(data)) / 4096), "units"),
    ]


async def _measure_entry(store: DynamoDBConversationStore, meter: Meter) -> list[Row]:
    """What an append writes that brings the listing up: nothing else is as often."""
    await store.append_messages("cyd", ID, messages(0, TURN))
    rows: list[Row] = []
    for what, count in (("of one item of 1 KB", TURN), ("of one of 2 KB", 12 * TURN)):
        meter.take()
        meter.sizes.clear()
        await store.append_messages("cyd", ID, messages(TURN + len(rows) * 100, count))
        written, _ = meter.take()
        item, entry = meter.sizes
        rows += [
            Row(f"an append {what} that is listed", written, "units"),
            Row("  its item", item, "bytes"),
            Row("  its entry in the listing, which moves", entry, "bytes"),
        ]
    return rows


async def _measure_listing(store: DynamoDBConversationStore, meter: Meter) -> list[Row]:
    meter.take()
    await store.append_messages("bob", ID, messages(0, 1))
    begun, _ = meter.take()
    for number in range(60):
        await store.append_messages(OWNER, f"telegram:{number}", messages(0, 1))
    meter.take()
    await store.list_conversations(OWNER, limit=50)
    _, listing = meter.take()
    return [
        Row("begin a conversation", begun, "units"),
        Row("list 50 of one shard", listing, "units", limit=MAX_LISTING),
    ]


def messages(start: int, count: int) -> list[Message]:
    """Of about 500 bytes, of words."""
    made: list[Message] = []
    for number in range(start, start + count):
        text = " ".join(WORDS[(number * 7 + place * 3) % len(WORDS)] for place in range(65))
        role = "user" if number % TURN == 0 else "assistant"
        made.append(Message(message_id=f"m{number}", role=role, content=text))
    return made


def _write_units(item: Mapping[str, Any]) -> int:
    return math.ceil(max(_size(item), 1) / 1024) + ("o" in item)


def _size(item: Mapping[str, Any]) -> int:
    size = 0
    for name, typed in item.items():
        ((kind, value),) = typed.items()
        size += len(name.encode())
        size += len(value.encode()) if kind == "S" else len(value)
    return size


def run(*, quick: bool) -> list[Row]:
    """Rows of this part of the table."""
    return anyio.run(measure, SIZES[:1] if quick else SIZES)
