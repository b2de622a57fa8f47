"""What a migration found equal before, so that the next run need not read it again: a cache.

Whoever deletes it loses time and nothing else.
"""

import os
import sqlite3
from collections.abc import Callable, Generator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import TypeVar

from anyio import CapacityLimiter, to_thread

_SCHEMA_VERSION = 1
_SCHEMA = """CREATE TABLE IF NOT EXISTS conversations (
    owner TEXT, conversation_id TEXT, facts TEXT, source_version INTEGER, target_version INTEGER,
    messages INTEGER, sha256 TEXT,
    attachments INTEGER, attachment_bytes INTEGER, attachments_sha256 TEXT,
    PRIMARY KEY (owner, conversation_id)
) WITHOUT ROWID"""
_PUT = "INSERT OR REPLACE INTO conversations VALUES (?,?,?,?,?,?,?,?,?,?)"
_DOUBT = """UPDATE conversations SET source_version = 0, target_version = 0
    WHERE owner = ? AND conversation_id = ?"""
_FIND = "SELECT * FROM conversations WHERE owner = ? AND conversation_id = ?"

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Known:
    """What was found of a conversation when it was the same at both ends.

    With versions of 0 it is only about to be copied, with these facts.
    """

    facts: str
    """Hash of title, tags, metadata and times."""
    source_version: int = 0
    target_version: int = 0
    messages: int = 0
    sha256: str = ""
    """Of facts and messages with their annotations."""
    attachments: int = 0
    attachment_bytes: int = 0
    attachments_sha256: str = ""


class Journal:
    """One migration's cache, by owner and conversation."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._turn = CapacityLimiter(1)

    async def find(self, owner: str, conversation_ids: Sequence[str]) -> dict[str, Known]:
        """What is known of these."""

        def work() -> dict[str, Known]:
            found: dict[str, Known] = {}
            for conversation_id in conversation_ids:
                row = self._connection.execute(_FIND, (owner, conversation_id)).fetchone()
                if row is not None:
                    found[conversation_id] = Known(*row[2:])
            return found

        try:
            return await self._do(work)
        except sqlite3.Error:
            return {}

    async def note(self, owner: str, conversation_id: str, known: Known) -> None:
        """Remember."""

        def work() -> None:
            with self._connection:
                self._connection.execute(_PUT, (owner, conversation_id, *astuple(known)))

        with suppress(sqlite3.Error):  # a full disk costs the next run time
            await self._do(work)

    async def doubt(self, owner: str, conversation_id: str) -> None:
        """Forget that it was the same at both ends, if that is known."""

        def work() -> None:
            with self._connection:
                self._connection.execute(_DOUBT, (owner, conversation_id))

        with suppress(sqlite3.Error):
            await self._do(work)

    async def _do(self, work: Callable[[], T]) -> T:
        return await to_thread.run_sync(work, limiter=self._turn)


@contextmanager
def open_journal(path: Path) -> Generator[Journal]:
    """The cache in this file. A damaged one is begun anew; where none can be, all is forgotten."""
    try:
        connection = _open(path)
    except (sqlite3.Error, OSError):
        try:
            path.unlink(missing_ok=True)
            connection = _open(path)
        except (sqlite3.Error, OSError):
            connection = _prepare(sqlite3.connect(":memory:", check_same_thread=False))
    with closing(connection):
        yield Journal(connection)


def _open(path: Path) -> sqlite3.Connection:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600))
    return _prepare(sqlite3.connect(path, timeout=10, check_same_thread=False))


def _prepare(connection: sqlite3.Connection) -> sqlite3.Connection:
    try:
        connection.execute("PRAGMA synchronous = OFF")  # killed processes lose nothing by that
        [version] = connection.execute("PRAGMA user_version").fetchone()
        if version not in (0, _SCHEMA_VERSION):
            connection.execute("DROP TABLE IF EXISTS conversations")
        connection.execute(_SCHEMA)
        connection.execute(f"PRAGMA user_version = {_SCHEMA_VERSION}")
        connection.commit()
        [found] = connection.execute("PRAGMA quick_check(1)").fetchone()
        if found != "ok":
            raise sqlite3.DatabaseError(found)
    except sqlite3.Error:
        connection.close()
        raise
    return connection
