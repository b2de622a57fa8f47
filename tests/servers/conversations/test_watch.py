"""Watching conversations: what is noticed, what it costs, and what ends it."""

from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import cast

import anyio
import pytest

from servers.conversations.contract import Message
from servers.conversations.file_store import open_file_store
from servers.conversations.store import ConversationStore
from servers.conversations.store_errors import ConversationError, InvalidError, UnavailableError
from servers.conversations.watch import (
    MAX_WATCHED,
    MAX_WATCHED_BY_ONE,
    Watch,
    Watched,
    Watcher,
)

LIMIT_SECONDS = 10
POLL_SECONDS = 0.01
HELLO = Message(role="user", content="hello")


class CountedStore:
    """A store that counts how often versions are read, and fails when told to."""

    def __init__(self, store: ConversationStore) -> None:
        self._store = store
        self.reads: Counter[str] = Counter()
        self.fails: dict[str, Exception] = {}
        self.has_read = anyio.Event()

    def __getattr__(self, verb: str) -> object:
        return getattr(self._store, verb)

    async def read_version(self, owner: str, conversation_id: str) -> int:
        self.reads[conversation_id] += 1
        self.has_read.set()
        if conversation_id in self.fails:
            raise self.fails[conversation_id]
        return await self._store.read_version(owner, conversation_id)

    async def wait_until_read(self, times: int) -> None:
        for _ in range(times):
            self.has_read = anyio.Event()
            await self.has_read.wait()


class Watching:
    def __init__(self, watch: Watch, counted: CountedStore, store: ConversationStore) -> None:
        self.watch = watch
        self.counted = counted
        self.store = store

    async def add(self, *conversation_ids: str | None, owner: str = "ada") -> Watcher:
        watcher = Watcher(lambda: True)
        await self.watch.add(watcher, [Watched(owner, each, "uri") for each in conversation_ids])
        return watcher


@asynccontextmanager
async def open_watching(
    directory: Path, poll_seconds: float = POLL_SECONDS
) -> AsyncGenerator[Watching]:
    with anyio.fail_after(LIMIT_SECONDS):
        async with open_file_store(directory / "c") as store, anyio.create_task_group() as tasks:
            counted = CountedStore(store)
            watch = Watch(cast("ConversationStore", counted), poll_seconds)
            tasks.start_soon(watch.look_again_and_again)
            tasks.start_soon(watch.look_where_touched)
            yield Watching(watch, counted, store)
            tasks.cancel_scope.cancel()


async def next_id(watcher: Watcher) -> str | None:
    watched = await watcher.next_change()
    assert watched is not None
    return watched.conversation_id


async def test_what_changes_often_before_it_is_told_is_told_once(tmp_path: Path) -> None:
    async with open_watching(tmp_path) as it:
        watcher = await it.add("a", "b")
        for _ in range(3):
            await it.store.append_messages("ada", "a", [HELLO])
            await it.counted.wait_until_read(4)
        await it.store.append_messages("ada", "b", [HELLO])
        assert [await next_id(watcher), await next_id(watcher)] == ["a", "b"]


async def test_what_is_not_a_change_is_not_told(tmp_path: Path) -> None:
    message = Message(message_id="m", role="user", content="hello")
    async with open_watching(tmp_path) as it:
        await it.store.append_messages("ada", "a", [message])
        watcher = await it.add("a", "b")
        await it.store.append_messages("ada", "a", [message])
        await it.store.annotate_message("ada", "a", "m", {"seen": True})
        await it.store.append_messages("bob", "a", [HELLO])
        await it.counted.wait_until_read(4)
        await it.store.append_messages("ada", "b", [HELLO])
        assert await next_id(watcher) == "b"


async def test_what_this_process_changed_is_looked_at_at_once(tmp_path: Path) -> None:
    async with open_watching(tmp_path, poll_seconds=60) as it:
        watcher = await it.add("a", "b")
        await it.store.append_messages("ada", "a", [HELLO])
        it.watch.touch("ada", ["a"])
        assert await next_id(watcher) == "a"
        assert it.counted.reads == {"a": 2, "b": 1}


async def test_the_list_changes_with_who_is_in_it_and_how_they_are_called(tmp_path: Path) -> None:
    async with open_watching(tmp_path) as it:
        watcher = await it.add(None)
        await it.store.append_messages("ada", "a", [HELLO])
        assert await watcher.next_change() is not None
        await it.store.delete_conversation("ada", "a")
        assert await watcher.next_change() is not None


async def test_nothing_is_read_while_nobody_watches(tmp_path: Path) -> None:
    async with open_watching(tmp_path) as it:
        gone, stopped = await it.add("a"), await it.add("a")
        await it.counted.wait_until_read(2)
        it.watch.remove(gone)
        it.watch.stop(stopped, Watched("ada", "a", "uri"))
        it.watch.touch("ada", ["a"])
        await anyio.sleep(2 * POLL_SECONDS)  # for a look that had begun
        reads = it.counted.reads.total()
        await anyio.sleep(10 * POLL_SECONDS)
        assert it.counted.reads.total() == reads
        again = await it.add("a")
        await it.store.append_messages("ada", "a", [HELLO])
        assert await next_id(again) == "a"


async def test_what_many_watch_is_read_once_for_all(tmp_path: Path) -> None:
    async with open_watching(tmp_path, poll_seconds=60) as it:
        watchers = [await it.add("a") for _ in range(10)]
        it.counted.reads.clear()
        await it.store.append_messages("ada", "a", [HELLO])
        it.watch.touch("ada", ["a"])
        assert [await next_id(watcher) for watcher in watchers] == ["a"] * 10
        assert it.counted.reads == {"a": 1}


async def test_a_store_that_is_away_for_a_while_is_asked_again(tmp_path: Path) -> None:
    async with open_watching(tmp_path) as it:
        watcher = await it.add("a")
        it.counted.fails["a"] = UnavailableError("away")
        await it.store.append_messages("ada", "a", [HELLO])
        await it.counted.wait_until_read(3)
        it.counted.fails.clear()
        assert await next_id(watcher) == "a"


async def test_what_cannot_be_read_for_an_unknown_reason_ends_its_watcher_only(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with open_watching(tmp_path) as it:
        broken, whole = await it.add("a"), await it.add("b")
        it.counted.fails["a"] = RuntimeError("secret words")
        assert await broken.next_change() is None
        await it.store.append_messages("ada", "b", [HELLO])
        assert await next_id(whole) == "b"
    assert "RuntimeError" in caplog.text
    assert "secret words" not in caplog.text


async def test_who_may_not_read_any_more_hears_nothing_more(tmp_path: Path) -> None:
    allowed = True
    async with open_watching(tmp_path) as it:
        watcher = Watcher(lambda: allowed)
        await it.watch.add(watcher, [Watched("ada", "a", "uri")])
        allowed = False
        await it.store.append_messages("ada", "a", [HELLO])
        assert await watcher.next_change() is None


async def test_there_is_a_limit_for_one_and_for_all(tmp_path: Path) -> None:
    async with open_watching(tmp_path, poll_seconds=60) as it:
        many = [f"c{number}" for number in range(MAX_WATCHED_BY_ONE)]
        full = await it.add(*many)
        with pytest.raises(InvalidError, match="100 conversations: give up others first"):
            await it.watch.add(full, [Watched("ada", "one more", "uri")])
        await it.watch.add(full, [Watched("ada", "c0", "uri")])  # the same again
        for _ in range(MAX_WATCHED // MAX_WATCHED_BY_ONE - 1):
            await it.add(*many)
        with pytest.raises(ConversationError, match="can't watch more: try again later"):
            await it.add("one more")
        it.watch.stop(full, Watched("ada", "c0", "uri"))
        await it.add("one more")
