"""The SQLite file of the index: opened when needed, replaced when it is missing or damaged."""

import logging
import os
import sqlite3
import stat
import threading
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from servers.conversations.file_locks import LockStripes
from servers.conversations.store_errors import UnavailableError

_log = logging.getLogger(__name__)
_T = TypeVar("_T")

# Appends wait for it one after another. What is not written to the index now is taken over later.
_BUSY_TIMEOUT_SECONDS = 0.1
_LOCK_TIMEOUT_SECONDS = 0.5
_TRIES = 3
"""Before a file that can't be opened, though there is room for it, is taken for damaged."""
_OPENED_AT_ONCE = 4
"""The file itself, those beside it, and the directory."""
_CACHED_STATEMENTS = 512
"""Each part of the search index has some of its own."""
_DAMAGE = {
    "SQLITE_CORRUPT",
    "SQLITE_NOTADB",
    "SQLITE_ERROR",  # a table or column is missing: not our schema
    "SQLITE_SCHEMA",
    "SQLITE_READONLY_DBMOVED",
    "SQLITE_CANTOPEN",
    "SQLITE_IOERR_SHORT_READ",
}
_KINDS_OF_DAMAGE = ("SQLITE_CORRUPT", "SQLITE_CONSTRAINT")
"""Nothing that we write breaks a constraint, unless what stands there is not what we wrote."""


@dataclass(frozen=True, slots=True)
class IndexLayout:
    """What is in an index."""

    what: str
    """What it is called in what people read, after "the"."""
    version: int
    schema: str
    survives_power_loss: bool
    """At the cost of a sync now and then; else it must be checked before it is used."""


class FileIndex:
    """The SQLite file, opened when first needed and again when it was replaced or is damaged."""

    def __init__(self, path: Path, locks: LockStripes, layout: IndexLayout) -> None:
        self._path = path
        self._locks = locks
        self._layout = layout
        self._connection: sqlite3.Connection | None = None
        self._in_memory: sqlite3.Connection | None = None
        self._inode = 0
        self._mutex = threading.Lock()
        self._memory_mutex = threading.Lock()
        self.opening = 0
        """Changes when the file is opened anew: what was known of its rows then is not any more."""

    def close(self) -> None:
        """Close the file."""
        with self._mutex:
            self._disconnect()
        with self._memory_mutex:
            if self._in_memory:
                self._in_memory.close()

    def close_idle(self) -> None:
        """Close the file if nobody uses it now."""
        if self._mutex.acquire(blocking=False):
            try:
                self._disconnect()
            finally:
                self._mutex.release()

    def run(self, work: Callable[[sqlite3.Connection], _T]) -> _T:
        """Do `work` on the opened index; a damaged one is thrown away and `work` done on a new one.

        Raises:
            UnavailableError: The index cannot be used, new or old.
            OSError: A file cannot.
        """
        with self._mutex:
            for attempt in ("once", "again"):
                try:
                    return work(self._connect())
                # ValueError: text that is no UTF-8, and whatever a row should not hold.
                except (sqlite3.Error, ValueError) as error:
                    name = getattr(error, "sqlite_errorname", "SQLITE_CORRUPT")
                    if name.startswith("SQLITE_BUSY"):
                        raise UnavailableError(
                            f"another process writes to the {self._layout.what}: try again",
                            retry_after_seconds=1.0,
                        ) from error
                    if name == "SQLITE_CANTOPEN":
                        _check_room()
                    if attempt == "again" or not _is_damage(name):
                        raise UnavailableError(
                            f"the {self._layout.what} cannot be used ({error}); free space or "
                            f"mend access, or delete {self._path.name}: it is rebuilt"
                        ) from error
                    _log.warning("the %s is damaged (%s): it is rebuilt", self._layout.what, error)
                    self._discard()
        raise AssertionError("unreachable")

    def run_in_memory(self, work: Callable[[sqlite3.Connection], _T]) -> _T:
        """Do `work` on an index in memory, empty at first: for when the file can't be used."""
        with self._memory_mutex:
            if self._in_memory is None:
                self._in_memory = sqlite3.connect(
                    ":memory:", isolation_level=None, check_same_thread=False
                )
                self._put_schema(self._in_memory)
            return work(self._in_memory)

    def _exclusive(self) -> AbstractContextManager[None]:
        return self._locks.hold(self._path.stem, timeout_seconds=_LOCK_TIMEOUT_SECONDS)

    def _connect(self) -> sqlite3.Connection:
        try:
            if self._connection and self._inode == os.stat(self._path).st_ino:  # noqa: PTH116 # fast
                return self._connection
        except FileNotFoundError:
            pass
        self._locks.directory.place.check()  # or it may be the index of another store
        for _ in range(_TRIES):
            try:
                return self._reconnect()
            except sqlite3.OperationalError as error:
                if error.sqlite_errorname != "SQLITE_CANTOPEN":
                    raise
            # It does not say why: too many files may be open, and be closed before that is seen.
            self._locks.directory.idle.close()
            _check_room()
        return self._reconnect()

    def _reconnect(self) -> sqlite3.Connection:
        with self._exclusive():
            self._disconnect()
            connection = self._open_file()
            if not self._is_ours(connection):
                connection.close()
                self._remove_files()
                connection = self._open_file()
            try:
                self._set_up(connection)
            except BaseException:
                connection.close()
                raise
            self._connection = connection
            self.opening += 1
        return connection

    def _set_up(self, connection: sqlite3.Connection) -> None:
        self._inode = self._path.stat().st_ino
        connection.execute("PRAGMA journal_mode = WAL")
        # Where a power loss may damage it, it is checked.
        synchronous = "NORMAL" if self._layout.survives_power_loss else "OFF"
        connection.execute(f"PRAGMA synchronous = {synchronous}")
        connection.execute("PRAGMA secure_delete = ON")
        if connection.execute("PRAGMA user_version").fetchone()[0] == 0:
            self._put_schema(connection)

    def _is_ours(self, connection: sqlite3.Connection) -> bool:
        """Whether the file is new, or of this version of the program; closed if it isn't read."""
        try:
            version = connection.execute("PRAGMA user_version").fetchone()[0]
        except sqlite3.Error:
            connection.close()
            raise
        return version in (0, self._layout.version)

    def _open_file(self) -> sqlite3.Connection:
        self._prepare_files()
        return sqlite3.connect(
            self._path,
            timeout=_BUSY_TIMEOUT_SECONDS,
            isolation_level=None,
            check_same_thread=False,
            cached_statements=_CACHED_STATEMENTS,
        )

    def _put_schema(self, connection: sqlite3.Connection) -> None:
        with transaction(connection):
            for statement in self._layout.schema.split(";"):
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {self._layout.version}")

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._connection = None

    def discard(self) -> None:
        """Throw the file away; the next use begins an empty one."""
        with self._mutex:
            self._discard()

    def _discard(self) -> None:
        with self._exclusive():
            with suppress(FileNotFoundError):
                if self._connection and self._inode != self._path.stat().st_ino:
                    return  # another process was faster
            self._disconnect()
            self._remove_files()

    def _remove_files(self) -> None:
        for path in self._files():
            path.unlink(missing_ok=True)

    def _files(self) -> list[Path]:
        return [self._path.with_name(self._path.name + end) for end in ("", "-wal", "-shm")]

    def _prepare_files(self) -> None:
        for path in self._files():
            with suppress(FileNotFoundError):
                if not stat.S_ISREG(path.lstat().st_mode):
                    path.unlink()  # SQLite would follow a link
        if not self._path.exists():
            self._remove_files()
            flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            os.close(os.open(self._path, flags, 0o600))


def _check_room() -> None:
    """See whether SQLite could open its files.

    Raises:
        OSError: Too many are open already.
    """
    with ExitStack() as stack:
        for _ in range(_OPENED_AT_ONCE):
            stack.callback(os.close, os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC))


def _is_damage(errorname: str) -> bool:
    return errorname in _DAMAGE or errorname.startswith(_KINDS_OF_DAMAGE)


@contextmanager
def transaction(connection: sqlite3.Connection) -> Generator[None]:
    """All of the block or nothing, alone."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        with suppress(sqlite3.Error):
            connection.rollback()
        raise
    connection.commit()


@contextmanager
def snapshot(connection: sqlite3.Connection) -> Generator[None]:
    """All queries of the block see the index as it is at the first."""
    connection.execute("BEGIN")
    try:
        yield
    finally:
        with suppress(sqlite3.Error):
            connection.rollback()


def forget_traces(connection: sqlite3.Connection) -> None:
    """Empty the write-ahead log, which holds what was deleted; left for later if that fails."""
    with suppress(sqlite3.OperationalError):
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()


def check_integrity(connection: sqlite3.Connection) -> None:
    """Raise `sqlite3.DatabaseError` if the file is damaged; takes some 10 µs a conversation.

    The quick check does not see a key that leads to another row, which would hide a conversation.
    """
    found = connection.execute("PRAGMA integrity_check(1)").fetchone()[0]
    if found != "ok":
        error = sqlite3.DatabaseError(found)
        error.sqlite_errorname = "SQLITE_CORRUPT"
        raise error
