"""When written lines reach the disk: before they are acknowledged, or within a second."""

import logging
import os
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from threading import Lock
from typing import Literal

import anyio
import anyio.to_thread

from servers.conversations.file_data_sync import sync_data
from servers.conversations.file_failures import is_out_of_files
from servers.conversations.file_idle import IdleFiles

_log = logging.getLogger(__name__)

_INTERVAL_SECONDS = 1.0
_MAX_WAITING = 128


class DeferredSync:
    """Syncs files each second: what was acknowledged survives kill -9, not power loss."""

    def __init__(self) -> None:
        self._waiting: dict[int, int] = {}
        self._mutex = Lock()

    def note(self, fd: int) -> None:
        """Have the file behind `fd` synced later; `fd` itself may be closed."""
        inode = os.fstat(fd).st_ino
        with self._mutex:
            if inode not in self._waiting:
                try:
                    self._waiting[inode] = os.dup(fd)
                except OSError as error:
                    if not is_out_of_files(error):
                        raise
                    sync_data(fd)  # it can't be kept for later
            is_full = len(self._waiting) >= _MAX_WAITING
        if is_full:
            self.flush()

    def flush(self) -> None:
        """Sync all that waits."""
        with self._mutex:
            waiting, self._waiting = self._waiting, {}
        for fd in waiting.values():
            try:
                sync_data(fd)
            except OSError as error:
                _log.error("what was written to a conversation may not be on disk: %s", error)
            finally:
                os.close(fd)

    async def run(self) -> None:
        """Sync until cancelled."""
        while True:
            await anyio.sleep(_INTERVAL_SECONDS)
            await anyio.to_thread.run_sync(self.flush)


@asynccontextmanager
async def open_sync(
    durability: Literal["always", "interval"], idle: IdleFiles
) -> AsyncGenerator[Callable[[int], None]]:
    """What is called with the descriptor of a file that was written to, before the answer."""
    if durability == "always":
        yield sync_data
        return
    deferred = DeferredSync()
    idle.add(deferred.flush)
    try:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(deferred.run)
            yield deferred.note
            tasks.cancel_scope.cancel()
    finally:
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(deferred.flush)
