"""The embedded store when it holds much: long histories, many conversations, large exports."""

import os
import tempfile
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import anyio

from servers.conversations.contract import Message
from servers.conversations.file_store import FileConversationStore, open_file_store
from tests.bench.table import Row

MAX_LOAD_MS = 350
MAX_LAST_50_MS = 1.0
MAX_NEWEST_50_MS = 1.0
MAX_GROWTH_MEGABYTES = 50
_OWNER = "bench"
_BATCH = 1_000
_TEXT = "x" * 500
_ROUNDS = 200
_CATCH_UP_SECONDS = 1_800
_MEMORY_FILES = Path("/dev/shm")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much is stored."""

    history: int
    conversations: int
    exported: int


async def measure(sizes: Sizes) -> list[Row]:
    """Each in a store of its own."""
    return [
        *await _measure_history(sizes.history),
        *await _measure_listing(sizes.conversations),
        *await _measure_export(sizes.exported),
    ]


@asynccontextmanager
async def _store(*, in_memory: bool = False) -> AsyncGenerator[FileConversationStore]:
    """`in_memory`: where only the filling would wait for a disk."""
    place = _MEMORY_FILES if in_memory and _MEMORY_FILES.is_dir() else None
    with tempfile.TemporaryDirectory(dir=place) as directory:
        async with open_file_store(Path(directory, "store"), durability="interval") as store:
            yield store


async def _measure_history(count: int) -> list[Row]:
    async with _store() as store:
        for _ in range(0, count, _BATCH):
            batch = [Message(role="user", content=_TEXT) for _ in range(_BATCH)]
            await store.append_messages(_OWNER, "long", batch)
        await _index(store)
        whole = await _time(lambda: store.load_conversation(_OWNER, "long"), 5)
        last = await _time(lambda: store.load_conversation(_OWNER, "long", limit=50), _ROUNDS)
    return [
        Row(f"load {count:,} messages of {len(_TEXT)} characters", whole, "ms", limit=MAX_LOAD_MS),
        Row(f"last 50 of {count:,}", last, "ms", limit=MAX_LAST_50_MS),
    ]


async def _measure_listing(count: int) -> list[Row]:
    async with _store(in_memory=True) as store:
        for number in range(count):
            message = Message(role="user", content="hello")
            await store.append_messages(_OWNER, f"c{number}", [message])
        await _index(store)  # else that goes on meanwhile
        newest = await _time(lambda: store.list_conversations(_OWNER, limit=50), _ROUNDS)
    name = f"newest 50 of {count:,} conversations"
    return [Row(name, newest, "ms", limit=MAX_NEWEST_50_MS)]


async def _index(store: FileConversationStore) -> None:
    """Have search know all that is stored."""
    with anyio.fail_after(_CATCH_UP_SECONDS):
        while (await store.search_conversations(_OWNER, "anything")).truncated:
            pass


async def _measure_export(count: int) -> list[Row]:
    async with _store() as store:
        for _ in range(0, count, _BATCH):
            batch = [Message(role="user", content="hello " * 10) for _ in range(_BATCH)]
            await store.append_messages(_OWNER, "huge", batch)
        first = await store.export_conversation(_OWNER, "huge")
        before = greatest = _resident_megabytes()
        began = time.perf_counter()
        exported, cursor = _count(first.document), first.next_cursor
        while cursor:
            page = await store.export_conversation(_OWNER, "huge", cursor=cursor)
            exported, cursor = exported + _count(page.document), page.next_cursor
            greatest = max(greatest, _resident_megabytes())
        seconds = time.perf_counter() - began
    assert exported == count
    return [
        Row(f"export {count:,} messages in pages", seconds, "s"),
        Row("  memory more than at its first page", greatest - before, "MB", MAX_GROWTH_MEGABYTES),
    ]


def _count(document: object) -> int:
    assert isinstance(document, dict)
    return len(document["messages"])  # pyright: ignore[reportUnknownArgumentType]


def _resident_megabytes() -> float:
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * _PAGE_BYTES / 1e6


async def _time(call: Callable[[], Awaitable[object]], rounds: int) -> float:
    """The median in milliseconds."""
    times: list[float] = []
    for _ in range(rounds):
        began = time.perf_counter()
        await call()
        times.append(time.perf_counter() - began)
    return median(times) * 1e3


def run(*, quick: bool) -> list[Row]:
    """Rows of this part of the table."""
    if quick:
        return anyio.run(measure, Sizes(2_000, 200, 3_000))
    return anyio.run(measure, Sizes(100_000, 100_000, 1_000_000))
