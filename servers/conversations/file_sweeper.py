"""Upkeep in the background: what has expired is removed, and what others left behind.

One process does it at a time, now and then, in steps that are as short as a verb. What is removed
was hidden before, so whether and when it is done makes no difference to anybody but the disk.
"""

import logging
import os
import re
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Generator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any

import anyio

from servers.conversations.file_attachment_folder import (
    FOLDER_SUFFIX,
    TRASH_SUFFIX,
    AttachmentFolder,
    remove_folder,
)
from servers.conversations.file_conversation import ConversationFile
from servers.conversations.file_data_sync import sync_data
from servers.conversations.file_engine import FileEngine
from servers.conversations.file_history import Place
from servers.conversations.file_layout import find_unnamed
from servers.conversations.file_locks import tried
from servers.conversations.file_replacing import UNFINISHED
from servers.conversations.store_errors import ConversationError
from servers.faults import report_fault

_log = logging.getLogger(__name__)

_LOCK = "sweeper"
_KEY = re.compile(r"[a-z2-7]{32}(?=\.)")
_ABANDONED_SECONDS = 24 * 3_600
"""After so long nobody goes on with an upload, or with a file that was to replace another."""
_REMOVED_AT_ONCE = 200
_CATCH_UP_SECONDS = 600.0

Forget = Callable[[float], Coroutine[Any, Any, None]]
"""Has the words of what is deleted leave the search index, so many seconds after each deletion."""
CatchUp = Callable[[float], Awaitable[object]]
"""Takes what is new into the search index and purges what was deleted, for so many seconds."""


@dataclass(frozen=True, slots=True)
class Sweeping:
    """When a store is swept."""

    first_seconds: float = 30.0
    """After the store was opened: a process that ends before never begins."""
    interval_seconds: float = 3_600.0
    """From one sweep to the next, whichever process does it."""
    after_deletion_seconds: float = 5.0
    """After so long the process that deleted something has its words leave the search index."""


@dataclass(slots=True)
class Swept:
    """What a sweep removed."""

    conversations: int = 0
    """That had expired."""
    folders: int = 0
    """Of attachments of conversations that are gone."""
    uploads: int = 0
    """Files of uploads that were not gone on with."""
    unfinished: int = 0
    """Files that were to replace others."""
    segments: int = 0
    """Sealed ones that nothing needs any more."""


@dataclass(frozen=True, slots=True)
class _Shard:
    """What there is to do in one folder of the store."""

    gone: list[tuple[str, str]]
    """Owners and ids of conversations that have expired, or were deleted and have attachments."""
    with_attachments: list[str]
    sealed: list[str]
    unfinished: list[str]
    trash: list[str]


class Sweeper:
    """Sweeps one store."""

    def __init__(self, engine: FileEngine, sweeping: Sweeping, catch_up: CatchUp) -> None:
        self._engine = engine
        self._sweeping = sweeping
        self._catch_up = catch_up

    async def run(self) -> None:
        """Sweep until cancelled."""
        await anyio.sleep(self._sweeping.first_seconds)
        while True:
            try:
                await self.sweep()
            except (ConversationError, OSError) as error:
                _log.warning("the conversation store was not swept: %s", error)
            except Exception as error:  # noqa: BLE001 - boundary: the store does without a sweep
                report_fault(_log, "sweeping the conversation store", error)
            await anyio.sleep(max(self._sweeping.interval_seconds, 0.1))

    async def sweep(self) -> Swept | None:
        """Sweep once; None if another process is at it, or did so within the interval."""
        with ExitStack() as stack:
            turn = self._turn()
            if not await self._engine.in_thread(lambda: stack.enter_context(turn)):
                return None
            swept = Swept()
            for shard in await self._engine.in_thread(self._engine.directory.shards):
                with _tolerating(shard):
                    await self._sweep_shard(shard, swept)
            with _tolerating("what can be searched"):
                await self._catch_up(_CATCH_UP_SECONDS)
            _log.info("the conversation store was swept: %s", swept)
            return swept

    @contextmanager
    def _turn(self) -> Generator[bool]:
        with tried(self._engine.directory, _LOCK) as lock_fd:
            if lock_fd is None or not _is_due(lock_fd, self._sweeping.interval_seconds):
                yield False
                return
            yield True
            os.pwrite(lock_fd, b"swept\n", 0)

    async def _sweep_shard(self, name: str, swept: Swept) -> None:
        shard = await self._engine.in_thread(lambda: self._look(name))
        for owner, conversation_id in shard.gone:
            with _tolerating(name):
                swept.conversations += await self._engine.change(owner, conversation_id, _bury)
        for key in shard.with_attachments:
            with _tolerating(name):
                swept.uploads += await self._remove_abandoned(key)
        for key in shard.sealed:
            with _tolerating(name):
                swept.segments += await remove_leftovers(self._engine, key)
        for unfinished in shard.unfinished:
            with _tolerating(name):
                await self._remove_unfinished(unfinished)
                swept.unfinished += 1
        for trash in shard.trash:
            with _tolerating(name):
                await self._remove_trash(name, trash)
                swept.folders += 1

    def _look(self, name: str) -> _Shard:
        found = self._engine.directory.all_files_in(name)
        before = time.time() - _ABANDONED_SECONDS
        folders = [
            key[0]
            for each in found
            if each.endswith(FOLDER_SUFFIX) and (key := _KEY.match(each)) is not None
        ]
        return _Shard(
            gone=self._engine.catalogue.find_gone(name, folders),
            with_attachments=folders,
            sealed=sorted({each.partition(".")[0] for each in found if each.endswith(".zst")}),
            unfinished=[
                each
                for each, status in found.items()
                if each.endswith(UNFINISHED) and _KEY.match(each) and status.st_mtime < before
            ],
            trash=[each for each in found if each.endswith(TRASH_SUFFIX)],
        )

    async def _remove_abandoned(self, key: str) -> int:
        folder = AttachmentFolder(self._engine.directory, key, sync_data)
        before_ns = int((time.time() - _ABANDONED_SECONDS) * 1e9)
        if not await self._engine.in_thread(lambda: folder.find_abandoned(before_ns)):
            return 0
        return await self._engine.under_lock(key, lambda: folder.remove_abandoned(before_ns))

    async def _remove_unfinished(self, name: str) -> None:
        key, suffix = name.partition(".")[0], name[name.index(".") :]
        # Under the lock nobody puts it in its place.
        await self._engine.under_lock(
            key, lambda: self._engine.directory.remove_files(key, [suffix])
        )

    async def _remove_trash(self, shard: str, name: str) -> None:
        def remove() -> bool:
            with self._engine.directory.open_shard(shard) as shard_fd:
                return remove_folder(shard_fd, name, _REMOVED_AT_ONCE)

        while not await self._engine.in_thread(remove):
            pass


async def remove_leftovers(engine: FileEngine, key: str) -> int:
    """Remove the sealed segments of a conversation that nothing needs; how many."""

    def remove() -> int:
        names, _ = find_unnamed(Place(engine.directory, key))
        engine.directory.remove_files(key, names)
        return len(names)

    return await engine.under_lock(key, remove)


@asynccontextmanager
async def swept_now_and_then(
    engine: FileEngine, sweeping: Sweeping, catch_up: CatchUp, forget: Forget
) -> AsyncGenerator[None]:
    """Sweep a store in the background."""
    failure: Exception | None = None
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(Sweeper(engine, sweeping, catch_up).run)
        tasks.start_soon(forget, sweeping.after_deletion_seconds)
        try:
            yield
        except Exception as error:  # noqa: BLE001 - raised below, not wrapped in a group
            failure = error
        tasks.cancel_scope.cancel()
    if failure is not None:
        raise failure


def _bury(opened: ConversationFile) -> bool:
    """Remove what is left of a conversation that is gone; whether it was there until now."""
    if opened.state is None or opened.exists:  # damaged, or begun anew meanwhile
        return False
    opened.attachments.discard()
    if opened.has_expired:
        opened.delete()
        return True
    return False


def _is_due(lock_fd: int, interval_seconds: float) -> bool:
    status = os.fstat(lock_fd)
    age = time.time() - status.st_mtime
    return not status.st_size or not 0 <= age < interval_seconds


@contextmanager
def _tolerating(what: str) -> Generator[None]:
    """One failure is no reason to leave all else: it is tried again the next time."""
    try:
        yield
    except (ConversationError, OSError) as error:
        _log.warning("the conversation store was not swept whole (%s): %s", what, error)
