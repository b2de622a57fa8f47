"""Records in one SQLite file, for the processes of one machine."""

import sqlite3
from collections.abc import AsyncGenerator, Callable, Hashable
from contextlib import asynccontextmanager
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TypeVar

import anyio
import anyio.to_thread

from servers.records.checks import (
    PAGE_BYTES,
    check_key,
    check_limit,
    check_prefix,
    check_value,
    check_version,
    to_microseconds,
    to_moment,
)
from servers.records.errors import RecordConflictError
from servers.records.sqlite_file import SqliteFile, now_in_microseconds
from servers.records.store import Record, RecordPage

_T = TypeVar("_T")
_SCHEMA = """
CREATE TABLE records (
    key BLOB PRIMARY KEY NOT NULL, value BLOB NOT NULL, version INTEGER NOT NULL, expires_at INTEGER
) STRICT;
CREATE INDEX expiring ON records (expires_at) WHERE expires_at IS NOT NULL;
CREATE TABLE counter (last INTEGER NOT NULL) STRICT;
INSERT INTO counter VALUES (0);
"""
_REMOVED_AT_ONCE = 100
"""Expired records that a change removes by the way."""
_AFTER_ALL = b"\xff"
"""No byte of UTF-8 is so great."""


class SqliteRecordStore:
    """A `RecordStore` in a file. Made by `open_sqlite_records`."""

    def __init__(self, file: SqliteFile) -> None:
        self._file = file
        self._one_at_a_time = anyio.CapacityLimiter(1)

    async def get(self, key: str) -> Record | None:
        """See `RecordStore`."""
        check_key(key)
        return await self._run(partial(_get, key))

    async def put(
        self, key: str, value: bytes, expected_version: int, expires_at: datetime | None = None
    ) -> int:
        """See `RecordStore`."""
        check_key(key)
        check_value(value)
        check_version(expected_version)
        until = to_microseconds(expires_at)
        return await self._run(partial(_put, key, value, expected_version, until), writing=True)

    async def delete(self, key: str, expected_version: int | None = None) -> bool:
        """See `RecordStore`."""
        check_key(key)
        if expected_version is not None:
            check_version(expected_version)
        return await self._run(partial(_delete, key, expected_version), writing=True)

    async def list(
        self, prefix: str = "", limit: int = 100, after: str | None = None
    ) -> RecordPage:
        """See `RecordStore`."""
        check_prefix(prefix)
        check_limit(limit)
        if after is not None:
            check_key(after, "after")
        return await self._run(partial(_list, prefix, limit, after))

    def change_mark(self) -> Hashable:
        """See `RecordStore`."""
        return self._file.change_mark()

    async def _run(self, work: Callable[[sqlite3.Connection], _T], *, writing: bool = False) -> _T:
        return await anyio.to_thread.run_sync(
            partial(self._file.run, work, writing=writing), limiter=self._one_at_a_time
        )


@asynccontextmanager
async def open_sqlite_records(path: Path) -> AsyncGenerator[SqliteRecordStore]:
    """Open the file, or make it: for its owner only, as is a folder that is made for it.

    Raises:
        RecordsUnavailableError: It can't be used; the text names it.
    """
    file = SqliteFile(path, _SCHEMA)
    try:
        await anyio.to_thread.run_sync(file.open)
        yield SqliteRecordStore(file)
    finally:
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(file.close)


def _get(key: str, connection: sqlite3.Connection) -> Record | None:
    row = connection.execute(
        "SELECT key, value, version, expires_at FROM records "
        "WHERE key = ? AND (expires_at IS NULL OR expires_at > ?)",
        (key.encode(), now_in_microseconds()),
    ).fetchone()
    return None if row is None else _to_record(*row)


def _put(
    key: str, value: bytes, expected: int, until: int | None, connection: sqlite3.Connection
) -> int:
    now = now_in_microseconds()
    _expect(connection, key, expected, now)
    connection.execute("UPDATE counter SET last = max(last + 1, ?)", (now // 1_000,))
    (version,) = connection.execute("SELECT last FROM counter").fetchone()
    connection.execute(
        "INSERT OR REPLACE INTO records (key, value, version, expires_at) VALUES (?, ?, ?, ?)",
        (key.encode(), value, version, until),
    )
    _remove_expired(connection, now)
    return version


def _delete(key: str, expected: int | None, connection: sqlite3.Connection) -> bool:
    now = now_in_microseconds()
    current = _expect(connection, key, expected, now)
    connection.execute("DELETE FROM records WHERE key = ?", (key.encode(),))
    _remove_expired(connection, now)
    return current > 0


def _list(prefix: str, limit: int, after: str | None, connection: sqlite3.Connection) -> RecordPage:
    begin = prefix.encode()
    rows = connection.execute(
        "SELECT key, value, version, expires_at FROM records "
        "WHERE key >= ? AND key < ? AND key > ? AND (expires_at IS NULL OR expires_at > ?) "
        "ORDER BY key",
        (begin, begin + _AFTER_ALL, (after or "").encode(), now_in_microseconds()),
    )
    found: list[Record] = []
    size = 0
    for row in rows:
        record = _to_record(*row)
        size += len(record.value)
        if found and (len(found) == limit or size > PAGE_BYTES):
            return RecordPage(tuple(found), found[-1].key)
        found.append(record)
    return RecordPage(tuple(found), None)


def _expect(connection: sqlite3.Connection, key: str, expected: int | None, now: int) -> int:
    row = connection.execute(
        "SELECT version FROM records WHERE key = ? AND (expires_at IS NULL OR expires_at > ?)",
        (key.encode(), now),
    ).fetchone()
    current: int = 0 if row is None else row[0]
    if expected is not None and current != expected:
        raise RecordConflictError(key, current)
    return current


def _remove_expired(connection: sqlite3.Connection, now: int) -> None:
    connection.execute(
        "DELETE FROM records WHERE key IN "
        "(SELECT key FROM records WHERE expires_at <= ? ORDER BY expires_at LIMIT ?)",
        (now, _REMOVED_AT_ONCE),
    )


def _to_record(key: bytes, value: bytes, version: int, expires_at: int | None) -> Record:
    return Record(key.decode(), value, version, to_moment(expires_at))
