"""The embedded store when it holds much: long histories, many conversations, large exports."""

import gc
import os
import time
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import anyio
import anyio.to_thread
from pydantic_core import from_json

from servers.conversations.contract import Message, encode_json
from servers.conversations.file_records import to_message
from servers.conversations.file_store import FileConversationStore, open_file_store
from tests.bench.folders import temporary_store
from tests.bench.table import Row
from tests.bench.timing import time_calls

MAX_LOAD_MS = 350
MAX_LAST_50_MS = 1.0
MAX_NEWEST_50_MS = 1.0
MAX_GROWTH_MEGABYTES = 50
_OWNER = "bench"
_BATCH = 1_000
_TEXT = "x" * 500
_LOADS = 5
_PARSED_AT_ONCE = 200
_ROUNDS = 200
_OPENINGS = 20
_PAUSE_SECONDS = 0.01
_CATCH_UP_SECONDS = 1_800
_REST_SECONDS = 2.0
"""After that: what the index has still to write down of the last appends."""
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


def _open(directory: Path) -> AbstractAsyncContextManager[FileConversationStore]:
    return open_file_store(directory, durability="interval")


async def _measure_history(count: int) -> list[Row]:
    with temporary_store() as directory:
        async with _open(directory) as store:
            for _ in range(0, count, _BATCH):
                batch = [Message(role="user", content=_TEXT) for _ in range(_BATCH)]
                await store.append_messages(_OWNER, "long", batch)
            await _index(store)
            whole = await time_calls(lambda: store.load_conversation(_OWNER, "long"), _LOADS)
            bodies = [
                encode_json(message.to_wire())
                for message in (await store.load_conversation(_OWNER, "long")).messages
            ]
            floor = await time_calls(lambda: anyio.to_thread.run_sync(_parse, bodies), _LOADS)
            last = await time_calls(
                lambda: store.load_conversation(_OWNER, "long", limit=50), _ROUNDS
            )
        times: list[float] = []
        for _ in range(_OPENINGS):
            async with _open(directory) as store:
                load = store.load_conversation
                times.append(await time_calls(lambda load=load: load(_OWNER, "long", limit=50), 1))
    return [
        Row(f"load {count:,} messages of {len(_TEXT)} characters", whole, "ms", limit=MAX_LOAD_MS),
        Row("  the same from memory: JSON parsed, messages made of it", floor, "ms"),
        Row("  against that", whole / floor, "x"),
        Row(f"last 50 of {count:,}", last, "ms", limit=MAX_LAST_50_MS),
        Row("  in a store just opened", median(times), "ms"),
    ]


def _parse(bodies: Sequence[bytes]) -> list[Message]:
    """What is left of a load when nothing is read, unpacked or checked."""
    messages: list[Message] = []
    gc.disable()
    for start in range(0, len(bodies), _PARSED_AT_ONCE):
        parsed = from_json(b"[%b]" % b",".join(bodies[start : start + _PARSED_AT_ONCE]))
        messages += map(to_message, parsed)
    gc.enable()
    return messages


async def _measure_listing(count: int) -> list[Row]:
    with temporary_store(in_memory=True) as directory:
        async with _open(directory) as store:
            for number in range(count):
                message = Message(role="user", content="hello")
                await store.append_messages(_OWNER, f"c{number}", [message])
            await _index(store)  # else that goes on meanwhile
            await anyio.sleep(_REST_SECONDS)
            newest = await time_calls(lambda: store.list_conversations(_OWNER, limit=50), _ROUNDS)
        for file in directory.glob("index.sqlite3*"):
            file.unlink()
        async with _open(directory) as store:
            seconds, longest = await _time_rebuild(store)
    return [
        Row(f"newest 50 of {count:,} conversations", newest, "ms", limit=MAX_NEWEST_50_MS),
        Row(f"a listing that waits for the index of {count:,} to be made anew", seconds, "s"),
        Row("  the longest append meanwhile", longest, "ms"),
    ]


async def _time_rebuild(store: FileConversationStore) -> tuple[float, float]:
    """How long a listing takes in seconds, and the longest append meanwhile in milliseconds."""
    listed = anyio.Event()
    seconds = longest = 0.0

    async def ask() -> None:
        nonlocal seconds
        began = time.perf_counter()
        await store.list_conversations(_OWNER, limit=50)
        seconds = time.perf_counter() - began
        listed.set()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(ask)
        while not listed.is_set():
            message = Message(role="user", content="hello")
            took = await time_calls(lambda m=message: store.append_messages(_OWNER, "c0", [m]), 1)
            longest = max(longest, took)
            await anyio.sleep(_PAUSE_SECONDS)
    return seconds, longest


async def _index(store: FileConversationStore) -> None:
    """Have search know all that is stored."""
    with anyio.fail_after(_CATCH_UP_SECONDS):
        while (await store.search_conversations(_OWNER, "anything")).truncated:
            pass


async def _measure_export(count: int) -> list[Row]:
    with temporary_store() as directory:
        async with _open(directory) as store:
            return await _time_export(store, count)


async def _time_export(store: FileConversationStore, count: int) -> list[Row]:
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


def run(*, quick: bool) -> list[Row]:
    """Rows of this part of the table."""
    if quick:
        return anyio.run(measure, Sizes(2_000, 200, 3_000))
    return anyio.run(measure, Sizes(100_000, 100_000, 1_000_000))
