"""Locks between processes: a set of files under `flock`, so that a dead holder holds nothing."""

import fcntl
import os
import time
import zlib
from collections import OrderedDict
from collections.abc import Generator
from contextlib import AbstractContextManager, contextmanager
from functools import lru_cache
from threading import Lock

from servers.conversations.file_directory import StoreDirectory
from servers.conversations.store_errors import UnavailableError

STRIPES = 64
"""Part of the format: all processes must agree on it."""

_FIRST_PAUSE_SECONDS = 0.0002
_PAUSE_GROWTH = 3
_LONGEST_PAUSE_SECONDS = 0.002
_TIMEOUT_SECONDS = 4.0
"""A wait can't be interrupted, and a stop must not take longer than five seconds."""

_MAX_IDLE = 8
"""So many files stay open for the next who needs them: a process may open few."""


_NAMES = tuple(f"{stripe:02}" for stripe in range(STRIPES))


@lru_cache(maxsize=4_096)
def stripe_of(key: str) -> int:
    """Which lock a conversation's key stands under."""
    return zlib.crc32(key.encode()) % STRIPES


def name_of(stripe: int) -> str:
    """The name of a stripe's lock."""
    return _NAMES[stripe]


@contextmanager
def tried(directory: StoreDirectory, name: str) -> Generator[int | None]:
    """Hold the lock `name` if nobody does: the descriptor of its file, None if somebody does."""
    fd = directory.open_lock(name)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        yield None
        return
    try:
        yield fd
    finally:
        os.close(fd)


class LockStripes:
    """The lock files of a store, opened when needed; those used last stay open.

    A lock belongs to whoever holds it: to hold it twice waits for oneself, in vain.
    """

    def __init__(self, directory: StoreDirectory) -> None:
        self.directory = directory
        self._idle: OrderedDict[str, int] = OrderedDict()
        self._mutex = Lock()
        self._is_closed = False
        directory.idle.add(self.close_idle)

    def close(self) -> None:
        """Close all that nobody holds; what is held is closed with its release."""
        self._is_closed = True
        self.close_idle()

    def close_idle(self) -> None:
        """Close all that nobody holds, which may be opened again."""
        with self._mutex:
            for fd in self._idle.values():
                os.close(fd)
            self._idle.clear()

    def hold(
        self, name: str, *, shared: bool = False, timeout_seconds: float = _TIMEOUT_SECONDS
    ) -> AbstractContextManager[None]:
        """Hold the lock `name` against everybody else, alone or with other `shared` holders.

        Raises:
            UnavailableError: Another process did not let go of it in time.
        """
        return _Hold(self, name, fcntl.LOCK_SH if shared else fcntl.LOCK_EX, timeout_seconds)

    def lock(self, name: str, operation: int, timeout_seconds: float) -> int:
        """Lock the file `name`: its descriptor, which `unlock` is to be given."""
        with self._mutex:
            fd = self._idle.pop(name, None)
        if fd is None:
            fd = self.directory.open_lock(name)
        deadline = time.monotonic() + timeout_seconds
        pause = _FIRST_PAUSE_SECONDS
        try:
            while time.monotonic() < deadline:
                try:
                    # Blocking here could not be ended: a stopped process would stop this one.
                    fcntl.flock(fd, operation | fcntl.LOCK_NB)
                except BlockingIOError:
                    time.sleep(pause)
                    pause = min(_PAUSE_GROWTH * pause, _LONGEST_PAUSE_SECONDS)
                    continue
                if self.directory.is_lock(name, fd):
                    return fd
                # Somebody removed or moved the file or its folder, and others lock a new one.
                stale, fd = fd, self.directory.open_lock(name)
                os.close(stale)
            raise UnavailableError(
                f"another process has held this part of the conversation store for "
                f"{timeout_seconds:.2g} seconds: try again, or end it if it hangs",
                retry_after_seconds=1.0,
            )
        except BaseException:
            os.close(fd)
            raise

    def unlock(self, name: str, fd: int) -> None:
        """Let go of a lock, and keep its file open if few are."""
        fcntl.flock(fd, fcntl.LOCK_UN)
        with self._mutex:
            if not self._is_closed and name not in self._idle:
                self._idle[name] = fd
                if len(self._idle) <= _MAX_IDLE:
                    return
                fd = self._idle.popitem(last=False)[1]
        os.close(fd)


class _Hold(AbstractContextManager[None]):
    # A generator would be shorter, and takes longer.
    def __init__(self, locks: LockStripes, name: str, operation: int, timeout: float) -> None:
        self._locks = locks
        self._name = name
        self._operation = operation
        self._timeout = timeout
        self._fd = -1

    def __enter__(self) -> None:
        self._fd = self._locks.lock(self._name, self._operation, self._timeout)

    def __exit__(self, *_: object) -> None:
        self._locks.unlock(self._name, self._fd)
