"""The rows of the index: listings, deliveries and figures of all conversations. A cache.

A file is changed first, its row after it. A row says how far it has read the file, so that one that
lags (its writer was killed in between, or the index was deleted or put back from a copy) is found
and made anew from the file.
"""

import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from servers.conversations.contract import Conversation, encode_json
from servers.conversations.figures import Figures
from servers.conversations.file_index_seals import seal, seal_facts, unseal
from servers.conversations.file_projection import (
    Entry,
    Mark,
    Projection,
    delivery_state,
)
from servers.conversations.file_records import Facts

SCHEMA_VERSION = 5
_AFTER_ALL_SEQS = 2**63 - 1
_ALL = -1


def _are(kind: str, columns: str) -> str:
    """A check of what columns hold: a flipped bit may make another type of a value."""
    return " AND ".join(f"typeof({column}) IN ({kind})" for column in columns.split())


_TEXT, _TEXT_OR_NULL, _INTEGER, _BLOB = "'text'", "'text', 'null'", "'integer'", "'blob'"
SCHEMA = f"""
CREATE TABLE conversations (
    key TEXT PRIMARY KEY, owner TEXT, conversation_id TEXT,
    alive INTEGER, generation INTEGER, end INTEGER, mtime_ns INTEGER, base INTEGER,
    version INTEGER, count INTEGER,
    last_updated TEXT, expires_at TEXT, facts BLOB,
    user INTEGER, assistant INTEGER, tool INTEGER, system INTEGER, bytes INTEGER,
    first_at TEXT, last_at TEXT, input_tokens INTEGER, output_tokens INTEGER,
    searched INTEGER DEFAULT 0,
    CHECK ({_are(_TEXT, "key owner conversation_id last_updated")}),
    CHECK ({_are(_TEXT_OR_NULL, "expires_at first_at last_at")}),
    CHECK ({_are(_INTEGER, "alive generation end mtime_ns base version count searched")}),
    CHECK ({_are(_INTEGER, "user assistant tool system bytes input_tokens output_tokens")}),
    CHECK ({_are(_BLOB, "facts")})
);
CREATE INDEX unsearched ON conversations (owner) WHERE searched < end;
CREATE TABLE search (mark TEXT NOT NULL);
INSERT INTO search VALUES ('');
CREATE INDEX newest ON conversations (owner, last_updated DESC, conversation_id) WHERE alive;
CREATE TABLE tags (
    key TEXT, tag TEXT, PRIMARY KEY (key, tag), CHECK ({_are(_TEXT, "key tag")})
) WITHOUT ROWID;
CREATE TABLE annotations (
    key TEXT, message_id TEXT, seq INTEGER, stored_at TEXT, owner TEXT, state TEXT, body BLOB,
    PRIMARY KEY (key, message_id),
    CHECK ({_are(_TEXT, "key message_id stored_at owner")}),
    CHECK ({_are(_TEXT_OR_NULL, "state")}),
    CHECK ({_are(_INTEGER, "seq")}),
    CHECK ({_are(_BLOB, "body")})
);
CREATE INDEX annotated ON annotations (key, seq);
CREATE INDEX deliveries ON annotations (state, stored_at, key, seq) WHERE state IS NOT NULL;
"""  # noqa: S608 - ours
_INSERT = """
INSERT INTO conversations VALUES (?,?,?,?, ?,?,?,?, ?,?,?, ?,?, ?,?,?,?,?, ?,?,?,?, 0)
"""
_ADVANCE = """
UPDATE conversations SET end = ?, mtime_ns = ?, base = ?, version = ?, count = ?, last_updated = ?,
    user = user + ?, assistant = assistant + ?, tool = tool + ?, system = system + ?,
    bytes = bytes + ?, first_at = coalesce(first_at, ?), last_at = coalesce(?, last_at),
    input_tokens = input_tokens + ?, output_tokens = output_tokens + ?
WHERE key = ? AND generation = ? AND end = ?
"""


def put_entry(connection: sqlite3.Connection, key: str, entry: Entry) -> None:
    """Put a conversation's row in, in the place of what was there."""
    drop_entry(connection, key)
    add_entries(connection, {key: entry})


def add_entries(connection: sqlite3.Connection, entries: Mapping[str, Entry]) -> None:
    """Put in rows of conversations, by key, of which there is nothing."""
    connection.executemany(_INSERT, [_to_row(key, entry) for key, entry in entries.items()])
    for key, entry in entries.items():
        if entry.facts.tags:
            _put_tags(connection, key, entry.facts.tags)
        _put_annotations(connection, key, entry.facts.owner, entry.projection)


def _to_row(key: str, entry: Entry) -> tuple[object, ...]:
    mark, progress, facts = entry.mark, entry.progress, entry.facts
    return (
        *(key, facts.owner, facts.conversation_id, entry.alive),
        *(mark.generation, mark.end, mark.mtime_ns, mark.base),
        *(progress.version, progress.message_count, progress.updated),
        *(facts.expires_at, seal_facts(key, facts)),
        *entry.projection.figures.as_row(),
    )


def drop_entry(connection: sqlite3.Connection, key: str) -> None:
    """Remove all there is of a conversation."""
    connection.execute("DELETE FROM conversations WHERE key = ?", (key,))
    connection.execute("DELETE FROM tags WHERE key = ?", (key,))
    connection.execute("DELETE FROM annotations WHERE key = ?", (key,))


def advance_entry(
    connection: sqlite3.Connection, key: str, previous_end: int, entry: Entry
) -> bool:
    """Add what was appended to a file; False if the row had not read the file up to there."""
    mark, progress, added = entry.mark, entry.progress, entry.projection
    values = (
        *(mark.end, mark.mtime_ns, mark.base),
        *(progress.version, progress.message_count, progress.updated),
        *added.figures.as_row(),
        *(key, mark.generation, previous_end),
    )
    if connection.execute(_ADVANCE, values).rowcount == 0:
        return False
    if added.facts is not None:
        connection.execute(
            "UPDATE conversations SET facts = ?, expires_at = ? WHERE key = ?",
            (seal_facts(key, added.facts), added.facts.expires_at, key),
        )
        _put_tags(connection, key, added.facts.tags)
    _put_annotations(connection, key, entry.facts.owner, added)
    return True


def find_mark(connection: sqlite3.Connection, key: str) -> Mark | None:
    """How far the row has read the file."""
    sql = "SELECT generation, end, mtime_ns, base FROM conversations WHERE key = ?"
    row = connection.execute(sql, (key,)).fetchone()
    return None if row is None else Mark(*row)


def find_marks(connection: sqlite3.Connection, prefix: str) -> dict[str, Mark]:
    """The marks of all keys with this prefix."""
    sql = (
        "SELECT key, generation, end, mtime_ns, base FROM conversations WHERE key >= ? AND key < ?"
    )
    rows = connection.execute(sql, (prefix, prefix + "~"))
    return {key: Mark(*mark) for key, *mark in rows}


@dataclass(frozen=True, slots=True)
class HeldOf:
    """All that is held of a conversation."""

    end: tuple[int, int]
    """The generation, and the offset in it up to which it was read."""
    count: int
    facts: Facts
    figures: Figures
    tags: list[str]
    annotations: dict[str, Any]


def find_held_of(connection: sqlite3.Connection, key: str) -> HeldOf | None:
    """What is held of a conversation, checked.

    Raises:
        ValueError: A row is damaged.
    """
    sql = "SELECT generation, end, count, facts FROM conversations WHERE key = ?"
    row = connection.execute(sql, (key,)).fetchone()
    if row is None:
        return None
    tags = connection.execute("SELECT tag FROM tags WHERE key = ? ORDER BY tag", (key,))
    return HeldOf(
        (row[0], row[1]),
        row[2],
        Facts.model_validate(unseal(key, row[3])),
        find_figures(connection, key),
        [tag for (tag,) in tags],
        find_annotations(connection, key, before_seq=_AFTER_ALL_SEQS, limit=None),
    )


def find_living(connection: sqlite3.Connection) -> list[tuple[str, int]]:
    """The keys of all conversations that were not deleted, with their counts of messages."""
    return connection.execute("SELECT key, count FROM conversations WHERE alive").fetchall()


def find_prefixes(connection: sqlite3.Connection, length: int) -> set[str]:
    """The beginnings of all keys."""
    rows = connection.execute("SELECT DISTINCT substr(key, 1, ?) FROM conversations", (length,))
    return {prefix for (prefix,) in rows}


def find_figures(connection: sqlite3.Connection, key: str) -> Figures:
    """The figures of a conversation that has a row."""
    sql = """SELECT user, assistant, tool, system, bytes, first_at, last_at, input_tokens,
        output_tokens FROM conversations WHERE key = ?"""
    return Figures(*connection.execute(sql, (key,)).fetchone())


def find_annotations(
    connection: sqlite3.Connection,
    key: str,
    *,
    from_seq: int = 0,
    before_seq: int,
    limit: int | None,
) -> dict[str, dict[str, Any]]:
    """By message id, the annotations of the latest `limit` annotated messages between records."""
    rows = connection.execute(
        """SELECT message_id, body FROM annotations WHERE key = ? AND seq >= ? AND seq < ?
        ORDER BY seq DESC LIMIT ?""",
        (key, from_seq, before_seq, _ALL if limit is None else limit),
    )
    return {message_id: unseal(key + message_id, body) for message_id, body in rows}


def _put_tags(connection: sqlite3.Connection, key: str, tags: Sequence[str]) -> None:
    connection.execute("DELETE FROM tags WHERE key = ?", (key,))
    connection.executemany("INSERT OR IGNORE INTO tags VALUES (?, ?)", [(key, t) for t in tags])


def _put_annotations(
    connection: sqlite3.Connection, key: str, owner: str, projection: Projection
) -> None:
    if projection.annotations:
        connection.executemany(
            "INSERT OR REPLACE INTO annotations VALUES (?, ?, ?, ?, ?, ?, ?)",
            [
                (key, a.message_id, a.message_seq, a.stored_at, owner, state, body)
                for a in projection.annotations.values()
                for body in [seal(key + a.message_id, encode_json(a.annotations))]
                for state in [delivery_state(a.annotations)]
            ],
        )


def to_conversation(facts: Facts, version: int, count: int, last_updated: str) -> Conversation:
    """A conversation as the contract describes it."""
    return Conversation(
        conversation_id=facts.conversation_id,
        owner=facts.owner,
        title=facts.title,
        tags=facts.tags,
        metadata=facts.metadata,
        created_at=facts.created_at,
        last_updated=last_updated,
        message_count=count,
        version=version,
        expires_at=facts.expires_at,
    )
