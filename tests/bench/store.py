"""The embedded store at 10 and at 100,000 messages, against a bare write with fdatasync."""

import os
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from statistics import median

import anyio

from servers.conversations.contract import Message
from servers.conversations.file_store import FileConversationStore, open_file_store
from tests.bench.table import Row

MAX_GROWTH = 1.5
MAX_OVERHEAD_MS = 0.4
MAX_LAST_50_MS = 1.5
_OWNER = "bench"
_LONG = "long"
_SHORT = 10
_SHORT_CONVERSATIONS = 100
_MAX_OPENINGS = 50
_TEXT = "x" * 500
_LINE_BYTES = 750
"""Of such a message as it is stored."""


async def measure(*, messages: int, conversations: int, rounds: int) -> list[Row]:
    """Interleaved: in each round the floor, an append to a short and one to a long conversation."""
    with tempfile.TemporaryDirectory() as directory:
        root = Path(directory, "conversations")
        async with open_file_store(root) as store:
            await _fill(store, messages)
            for number in range(_SHORT_CONVERSATIONS):
                await store.append_messages(_OWNER, f"short-{number}", _batch(_SHORT))
            floors, shorts, longs = await _time_appends(store, Path(directory, "floor"), rounds)
            warm = await _time_last_50(store, rounds)
        fresh: list[float] = []
        for _ in range(min(rounds, _MAX_OPENINGS)):
            async with open_file_store(root) as store:
                fresh += await _time_last_50(store, 1)
        listing = await _time_listing(Path(directory, "many"), conversations, rounds)
    floor, short, long = median(floors), median(shorts), median(longs)
    overhead = median([append - bare for append, bare in zip(longs, floors, strict=True)])
    return [
        Row(f"write + fdatasync to a file of {messages:,} messages", floor * 1e3, "ms"),
        Row(f"append at {_SHORT} messages", short * 1e3, "ms"),
        Row(f"append at {messages:,} messages", long * 1e3, "ms"),
        Row(f"  against {_SHORT} messages", long / short, "x", limit=MAX_GROWTH),
        Row("  more than write + fdatasync", overhead * 1e3, "ms", limit=MAX_OVERHEAD_MS),
        Row(f"last 50 of {messages:,}", median(warm) * 1e3, "ms", limit=MAX_LAST_50_MS),
        Row("  in a store just opened", median(fresh) * 1e3, "ms", limit=MAX_LAST_50_MS),
        Row(f"newest 50 of {conversations:,} conversations", median(listing) * 1e3, "ms"),
    ]


async def _fill(store: FileConversationStore, messages: int) -> None:
    for _ in range(0, messages, 1_000):
        await store.append_messages(_OWNER, _LONG, _batch(1_000))


async def _time_appends(
    store: FileConversationStore, floor_path: Path, rounds: int
) -> tuple[list[float], list[float], list[float]]:
    floors: list[float] = []
    shorts: list[float] = []
    longs: list[float] = []
    long_bytes = (await store.get_conversation(_OWNER, _LONG)).message_count * _LINE_BYTES
    with floor_path.open("wb", buffering=0) as file:
        for _ in range(0, long_bytes, 1 << 20):
            file.write(bytes(1 << 20))
        os.fsync(file.fileno())
        for number in range(rounds):
            floors.append(_time_floor(file.fileno()))
            shorts.append(await _time_append(store, f"short-{number % _SHORT_CONVERSATIONS}"))
            longs.append(await _time_append(store, _LONG))
    return floors, shorts, longs


def _time_floor(fd: int) -> float:
    data = b"x" * _LINE_BYTES
    began = time.perf_counter()
    os.write(fd, data)
    os.fdatasync(fd)
    return time.perf_counter() - began


async def _time_append(store: FileConversationStore, conversation_id: str) -> float:
    message = _batch(1)
    return await _time(lambda: store.append_messages(_OWNER, conversation_id, message))


async def _time_last_50(store: FileConversationStore, rounds: int) -> list[float]:
    return [
        await _time(lambda: store.load_conversation(_OWNER, _LONG, limit=50)) for _ in range(rounds)
    ]


async def _time_listing(root: Path, conversations: int, rounds: int) -> list[float]:
    async with open_file_store(root, durability="interval") as store:
        for number in range(conversations):
            await store.append_messages(_OWNER, f"c{number}", _batch(1))
        await store.list_conversations(_OWNER, limit=50)
        return [
            await _time(lambda: store.list_conversations(_OWNER, limit=50)) for _ in range(rounds)
        ]


async def _time(call: Callable[[], Awaitable[object]]) -> float:
    began = time.perf_counter()
    await call()
    return time.perf_counter() - began


def _batch(count: int) -> list[Message]:
    return [Message(role="user", content=_TEXT) for _ in range(count)]


def run(*, quick: bool) -> list[Row]:
    """Rows of this part of the table."""
    if quick:
        return anyio.run(lambda: measure(messages=5_000, conversations=200, rounds=30))
    return anyio.run(lambda: measure(messages=100_000, conversations=5_000, rounds=1_000))
