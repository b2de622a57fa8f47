"""What the catalogue says to search: how far search has read each conversation, and where each is.

The search index itself knows how far it has read; here stands the same beside the ends of files, so
that what lags is found without looking at the rest. One mark ties both together: where it differs,
one of them was deleted or put back from a copy, and all conversations are compared anew.
"""

import json
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass

from servers.conversations.file_expiry import Horizon
from servers.conversations.file_index_seals import prove_names


@dataclass(frozen=True, slots=True)
class Located:
    """A conversation as far as search must know it."""

    key: str
    owner: str
    conversation_id: str
    generation: int
    end: int


def is_marked(connection: sqlite3.Connection, marks: Sequence[str | None]) -> bool:
    """Whether the rows are about the search index that has these marks, now and just before."""
    return connection.execute("SELECT mark FROM search").fetchone()[0] in marks


def forget_searched(connection: sqlite3.Connection, mark: str) -> None:
    """Have all conversations compared with the search index that has this mark."""
    connection.execute("UPDATE conversations SET searched = 0 WHERE searched > 0")
    connection.execute("UPDATE search SET mark = ?", (mark,))


def put_searched(
    connection: sqlite3.Connection, mark: str, read: Sequence[tuple[str, int, int]]
) -> None:
    """Note how far conversations (key, generation, end) have been read into the search index."""
    connection.executemany(
        # The row may lag behind the file, or be of a shorter one that was put in its place.
        "UPDATE conversations SET searched = min(?3, end) WHERE key = ?1 AND generation = ?2",
        read,
    )
    connection.execute("UPDATE search SET mark = ?", (mark,))


def count_unsearched(connection: sqlite3.Connection) -> int:
    """How many conversations lag."""
    sql = "SELECT count(*) FROM conversations WHERE searched < end"
    return connection.execute(sql).fetchone()[0]


def measure_searched(connection: sqlite3.Connection) -> tuple[int, int]:
    """Of how many bytes of conversations there are so many read, and of how many: both sums."""
    sql = "SELECT ifnull(sum(min(searched, end)), 0), ifnull(sum(end), 0) FROM conversations"
    return connection.execute(sql).fetchone()


def select_unsearched(
    connection: sqlite3.Connection, owner: str | None, limit: int
) -> list[Located]:
    """Conversations that lag, deleted ones among them, the newest first; of one owner or all."""
    whose = "" if owner is None else "AND owner = ?"
    rows = connection.execute(
        f"""SELECT key, owner, conversation_id, generation, end FROM conversations
        INDEXED BY unsearched WHERE searched < end {whose}
        ORDER BY last_updated DESC LIMIT ?""",  # noqa: S608 - ours
        (limit,) if owner is None else (owner, limit),
    )
    return [_to_located(*row) for row in rows]


def locate(
    connection: sqlite3.Connection, keys: Sequence[str], horizon: Horizon
) -> dict[str, Located]:
    """Those of the conversations that exist, by key."""
    rows = connection.execute(
        """SELECT key, owner, conversation_id, generation, end FROM conversations
        WHERE key IN (SELECT value FROM json_each(?1)) AND alive
            AND (expires_at IS NULL OR expires_at > ?2) AND mtime_ns >= ?3""",
        (json.dumps(keys), horizon.now, horizon.idle_since_ns),
    )
    return {row[0]: _to_located(*row) for row in rows}


def _to_located(
    key: str, owner: object, conversation_id: object, generation: object, end: object
) -> Located:
    names = prove_names(key, owner, conversation_id)
    if not isinstance(generation, int) or not isinstance(end, int):
        raise ValueError("a row holds no number where one should be")  # noqa: TRY004 - damage
    return Located(key, *names, generation, end)


def find_known(connection: sqlite3.Connection, keys: Sequence[str]) -> set[str]:
    """Those of the keys for which there is a conversation, or was one."""
    sql = "SELECT key FROM conversations WHERE key IN (SELECT value FROM json_each(?))"
    return {key for (key,) in connection.execute(sql, (json.dumps(keys),))}
