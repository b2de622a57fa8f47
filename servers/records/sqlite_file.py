"""The SQLite file of records: opened for its owner only, shared with other processes."""

import errno
import logging
import os
import sqlite3
import stat
import time
from collections.abc import Callable, Hashable
from contextlib import closing, suppress
from pathlib import Path
from typing import TypeVar

from agentic.config.findings import printable
from agentic.config.private_files import explain_refusal
from servers.records.errors import RecordsUnavailableError

_log = logging.getLogger(__name__)
_T = TypeVar("_T")
_BUSY_SECONDS = 5.0
"""So long others are waited for."""
_BUSY_PAUSE_SECONDS = 0.01
_BUSY_TRIES = int(_BUSY_SECONDS / _BUSY_PAUSE_SECONDS)
_FORMAT = 1
_NO_ACCESS = ("SQLITE_CANTOPEN", "SQLITE_READONLY")
_ANY_TABLE = "SELECT 1 FROM sqlite_schema LIMIT 1"
_DAMAGE = ("SQLITE_CORRUPT", "SQLITE_NOTADB", "SQLITE_IOERR_SHORT_READ", "SQLITE_ERROR")
"""SQLITE_ERROR: a table is not there, or not as we made it."""


class SqliteFile:
    """A file that is opened again when another one has taken its place.

    One that goes away while it is in use is missed until it is back: no new one is made.

    `run` is called by one thread at a time, and `change_mark` by any.
    """

    def __init__(self, path: Path, schema: str) -> None:
        self._path = path
        self._schema = schema
        self._connection: sqlite3.Connection | None = None
        self._watcher: sqlite3.Connection | None = None
        self._opened: tuple[int, int] | None = None
        self._has_been_there = False

    def open(self) -> None:
        """Open it, and make it if it is not there.

        Raises:
            RecordsUnavailableError: It can't be used.
        """
        self.run(lambda _: None)

    def close(self) -> None:
        """Close it."""
        for connection in (self._watcher, self._connection):
            if connection is not None:
                connection.close()
        self._watcher = self._connection = self._opened = None

    def run(self, work: Callable[[sqlite3.Connection], _T], *, writing: bool = False) -> _T:
        """What `work` makes of the file as it is now: all of it, or nothing if it raises.

        Raises:
            RecordsUnavailableError: It can't be used.
        """
        try:
            connection = self._connect()
            connection.execute("BEGIN IMMEDIATE" if writing else "BEGIN")
            try:
                result = work(connection)
                connection.execute("COMMIT")
            except BaseException:
                with suppress(sqlite3.Error):  # the first error tells more
                    connection.execute("ROLLBACK")
                raise
        except (sqlite3.Error, ValueError) as error:
            raise self._explain(error) from None
        except OSError as error:
            raise self._unusable(explain_refusal(self._path, error)) from None
        return result

    def change_mark(self) -> Hashable:
        """What is another one after any change, of another process too; or while it can't be told.

        Waits for nothing.
        """
        watcher = self._watcher
        if watcher is None:
            return object()
        try:
            found = os.stat(self._path)  # noqa: PTH116 - asked all the time: half of Path's time
            # Of the connection's own view: what counts is that it moves when others write.
            (version,) = watcher.execute("PRAGMA data_version").fetchone()
        except (OSError, sqlite3.Error):
            return object()
        return (found.st_dev, found.st_ino, id(watcher), version)

    def _connect(self) -> sqlite3.Connection:
        try:
            found = self._path.stat()
        except FileNotFoundError:
            self._check_may_be_made()
        else:
            if self._connection is not None and self._opened == (found.st_dev, found.st_ino):
                return self._connection
        self.close()
        self._make_private()
        self._connection = self._open_connection()
        self._watcher = self._open_connection()
        self._watcher.execute("PRAGMA busy_timeout = 0")  # it is asked where nothing may wait
        self._has_been_there = True
        return self._connection

    def _check_may_be_made(self) -> None:
        # A new file in the place of one that somebody has moved away would be mixed up with it
        # by the files beside, and with a back-up that comes into that place.
        self._leave_nothing_beside()
        beside = any(map(Path.exists, self._beside()))
        if not self._has_been_there and (not beside or self._path.exists()):
            return
        self.close()
        raise self._unusable(
            "it has gone, though it was in use: put it back. Or stop the servers, remove its -wal "
            "and -shm files, put a back-up in its place (or nothing, to begin anew), and start "
            "them again"
        )

    def _leave_nothing_beside(self) -> None:
        """Bring what is in the -wal file into the file that has gone: nothing else may get it."""
        if self._connection is not None:
            with suppress(sqlite3.Error):
                self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def _beside(self) -> list[Path]:
        return [self._path.with_name(self._path.name + end) for end in ("-wal", "-shm")]

    def _make_private(self) -> None:
        # Never opened by ourselves if it was there: to close it would take away the locks that
        # SQLite holds on it in this process.
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not self._has_been_there:
            self._make()
        found = self._path.stat()
        if not stat.S_ISREG(found.st_mode):  # to open a pipe could wait for ever
            raise self._unusable("it is no plain file")
        self._check_is_ours()
        if stat.S_IMODE(found.st_mode) & 0o077:
            self._path.chmod(0o600)
            _log.warning("%s was open to others: it is closed to them now", self._shown)
        self._opened = (found.st_dev, found.st_ino)

    def _make(self) -> None:
        with suppress(FileExistsError):
            os.close(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
            descriptor = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(descriptor)  # else a power cut could take the new name away again
            finally:
                os.close(descriptor)

    def _check_is_ours(self) -> None:
        # Before its mode or anything in it is changed: a wrong path may lead to another's file.
        with closing(sqlite3.connect(self._path, timeout=_BUSY_SECONDS)) as connection:
            # In this order: another process may be making our tables now, the format with them.
            if connection.execute(_ANY_TABLE).fetchone() and _format_of(connection) == 0:
                raise self._unusable("it is the database of another program: name another file")

    def _open_connection(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self._path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False
        )
        try:
            self._set_up(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _set_up(self, connection: sqlite3.Connection) -> None:
        _switch_to_wal(connection)
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA secure_delete = ON")
        if _format_of(connection) == 0:
            # In one transaction, in which another process may have been faster.
            connection.execute("BEGIN IMMEDIATE")
            if _format_of(connection) == 0:
                for statement in filter(str.strip, self._schema.split(";")):
                    connection.execute(statement)
                connection.execute(f"PRAGMA user_version = {_FORMAT}")
            connection.execute("COMMIT")
        if (found := _format_of(connection)) != _FORMAT:
            raise self._unusable(
                f"it is of format {found}, and this program knows {_FORMAT}: use a newer program"
            )

    def _explain(self, error: Exception) -> RecordsUnavailableError:
        name = str(getattr(error, "sqlite_errorname", "SQLITE_CORRUPT"))
        if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
            return RecordsUnavailableError(
                f"{self._shown}: other programs have kept it locked for {_BUSY_SECONDS:g} seconds: "
                "try again",
                retry_after_seconds=1.0,
            )
        if name.startswith(_DAMAGE):
            return RecordsUnavailableError(
                f"{self._shown}: is damaged ({error}). Stop the servers, remove its -wal and -shm "
                "files, put a back-up in its place (or move it away, and make anew what it held), "
                "and start them again"
            )
        if name.startswith(_NO_ACCESS):
            refused = PermissionError(errno.EACCES, str(error))
            return self._unusable(explain_refusal(self._path, refused))
        return self._unusable(str(error))

    def _unusable(self, why: str) -> RecordsUnavailableError:
        return RecordsUnavailableError(f"{self._shown}: can't be used: {why}")

    @property
    def _shown(self) -> str:
        return printable(str(self._path))


def now_in_microseconds() -> int:
    """Of the time, since 1970."""
    return time.time_ns() // 1_000


def _format_of(connection: sqlite3.Connection) -> int:
    (found,) = connection.execute("PRAGMA user_version").fetchone()
    return int(found)


def _switch_to_wal(connection: sqlite3.Connection) -> None:
    """SQLite does not wait for others here, whatever its timeout is."""
    for tries_left in range(_BUSY_TRIES, 0, -1):
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if not error.sqlite_errorname.startswith("SQLITE_BUSY") or tries_left == 1:
                raise
            time.sleep(_BUSY_PAUSE_SECONDS)
        else:
            return
