"""The rows of the index: listings, deliveries and figures of all conversations. A cache.

A file is changed first, its row after it. A row says how far it has read the file, so that one that
lags (its writer was killed in between, or the index was deleted or put back from a copy) is found
and made anew from the file.
"""

import sqlite3
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from pydantic_core import PydanticSerializationError

from servers.conversations.contract import Conversation, encode_json
from servers.conversations.contract_results import Delivery
from servers.conversations.file_expiry import Horizon
from servers.conversations.file_projection import (
    Entry,
    Figures,
    Mark,
    Projection,
    delivery_state,
)
from servers.conversations.file_records import Facts, parse_json

SCHEMA_VERSION = 4
_CHECKSUM_BYTES = 8
_AFTER_ALL_TIMES = "~"
_AFTER_ALL_SEQS = 2**63 - 1
_ALL = -1
SCHEMA = """
CREATE TABLE conversations (
    key TEXT PRIMARY KEY, owner TEXT NOT NULL, conversation_id TEXT NOT NULL,
    alive INTEGER NOT NULL, generation INTEGER NOT NULL, end INTEGER NOT NULL,
    mtime_ns INTEGER NOT NULL, base INTEGER NOT NULL,
    version INTEGER NOT NULL, count INTEGER NOT NULL,
    last_updated TEXT NOT NULL, expires_at TEXT, facts BLOB NOT NULL,
    user INTEGER, assistant INTEGER, tool INTEGER, system INTEGER, bytes INTEGER,
    first_at TEXT, last_at TEXT, input_tokens INTEGER, output_tokens INTEGER,
    searched INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX unsearched ON conversations (owner) WHERE searched < end;
CREATE TABLE search (mark TEXT NOT NULL);
INSERT INTO search VALUES ('');
CREATE INDEX newest ON conversations (owner, last_updated DESC, conversation_id) WHERE alive;
CREATE TABLE tags (key TEXT, tag TEXT, PRIMARY KEY (key, tag)) WITHOUT ROWID;
CREATE TABLE annotations (
    key TEXT, message_id TEXT, seq INTEGER, stored_at TEXT, owner TEXT, state TEXT, body BLOB,
    PRIMARY KEY (key, message_id)
);
CREATE INDEX annotated ON annotations (key, seq);
CREATE INDEX deliveries ON annotations (state, stored_at, key, seq) WHERE state IS NOT NULL;
"""
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
        *(facts.expires_at, _seal_facts(key, facts)),
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
            (_seal_facts(key, added.facts), added.facts.expires_at, key),
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
        Facts.model_validate(_unseal(key, row[3])),
        find_figures(connection, key),
        [tag for (tag,) in tags],
        find_annotations(connection, key, before_seq=_AFTER_ALL_SEQS, limit=None),
    )


def find_prefixes(connection: sqlite3.Connection, length: int) -> set[str]:
    """The beginnings of all keys."""
    rows = connection.execute("SELECT DISTINCT substr(key, 1, ?) FROM conversations", (length,))
    return {prefix for (prefix,) in rows}


def find_figures(connection: sqlite3.Connection, key: str) -> Figures:
    """The figures of a conversation that has a row."""
    sql = """SELECT user, assistant, tool, system, bytes, first_at, last_at, input_tokens,
        output_tokens FROM conversations WHERE key = ?"""
    return Figures(*connection.execute(sql, (key,)).fetchone())


def find_totals(connection: sqlite3.Connection) -> tuple[int, int, int, int, int]:
    """Owners, conversations, messages, bytes of messages, deleted conversations."""
    return connection.execute(
        """SELECT count(DISTINCT CASE WHEN alive THEN owner END), coalesce(sum(alive), 0),
        coalesce(sum(alive * count), 0), coalesce(sum(alive * bytes), 0),
        count(*) - coalesce(sum(alive), 0) FROM conversations"""
    ).fetchone()


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
    return {message_id: _unseal(key + message_id, body) for message_id, body in rows}


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
                for body in [_seal(key + a.message_id, encode_json(a.annotations))]
                for state in [delivery_state(a.annotations)]
            ],
        )


def select_newest(
    connection: sqlite3.Connection,
    owner: str,
    *,
    tag: str | None,
    after: tuple[str, str] | None,
    offset: int,
    limit: int,
    horizon: Horizon,
) -> list[Conversation]:
    """Conversations in the order of a listing, from `offset` or `after` (last_updated, id) on."""
    rows = connection.execute(
        """SELECT key, facts, version, count, last_updated FROM conversations c
        WHERE owner = :owner AND alive
            AND (expires_at IS NULL OR expires_at > :now) AND mtime_ns >= :idle_since_ns
            AND last_updated <= :at AND (last_updated < :at OR conversation_id > :id)
            AND (:tag IS NULL OR EXISTS (SELECT 1 FROM tags WHERE key = c.key AND tag = :tag))
        ORDER BY last_updated DESC, conversation_id LIMIT :limit OFFSET :offset""",
        {
            "owner": owner,
            **asdict(horizon),
            "at": after[0] if after else _AFTER_ALL_TIMES,
            "id": after[1] if after else "",
            "tag": tag,
            "limit": limit,
            "offset": offset,
        },
    )
    return [
        Conversation(
            **_unseal_facts(key, facts, owner),
            version=version,
            message_count=count,
            last_updated=last_updated,
        )
        for key, facts, version, count, last_updated in rows
    ]


def select_deliveries(
    connection: sqlite3.Connection,
    state: str,
    *,
    owner: str | None,
    after: tuple[str, str, int] | None,
    limit: int,
    horizon: Horizon,
) -> list[tuple[Delivery, tuple[str, str, int]]]:
    """Deliveries, oldest first, each with its place (stored_at, key, seq), from `after` on."""
    stored_at, key, seq = after or ("", "", 0)
    rows = connection.execute(
        # CROSS JOIN keeps the order of the tables: the index by state leads.
        """SELECT c.facts, a.message_id, a.body, a.stored_at, a.key, a.seq
        FROM annotations a CROSS JOIN conversations c ON c.key = a.key
        WHERE a.state = :state AND (:owner IS NULL OR a.owner = :owner)
            AND alive AND (expires_at IS NULL OR expires_at > :now) AND mtime_ns >= :idle_since_ns
            AND (a.stored_at, a.key, a.seq) > (:stored_at, :key, :seq)
        ORDER BY a.stored_at, a.key, a.seq LIMIT :limit""",
        {
            "state": state,
            "owner": owner,
            **asdict(horizon),
            "stored_at": stored_at,
            "key": key,
            "seq": seq,
            "limit": limit,
        },
    )
    return [
        (
            Delivery(
                owner=of["owner"],
                conversation_id=of["conversation_id"],
                message_id=message_id,
                state=state,
                annotations=_unseal(key + message_id, body),
            ),
            (stored_at, key, seq),
        )
        for facts, message_id, body, stored_at, key, seq in rows
        for of in [_unseal_facts(key, facts, owner)]
    ]


def select_gone(
    connection: sqlite3.Connection, prefix: str, keys: Sequence[str], horizon: Horizon
) -> list[tuple[str, str]]:
    """Owner and id of those with this prefix that have expired, or are deleted and in `keys`."""
    rows = connection.execute(
        """SELECT owner, conversation_id FROM conversations
        WHERE key >= :prefix AND key < :prefix || '~' AND CASE WHEN alive
            THEN expires_at <= :now OR mtime_ns < :idle_since_ns
            ELSE key IN (SELECT value FROM json_each(:keys)) END""",
        {"prefix": prefix, "keys": encode_json(keys).decode(), **asdict(horizon)},
    )
    return rows.fetchall()


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


def _seal(belongs_to: str, data: bytes) -> bytes:
    """JSON with a checksum: SQLite does not see flipped bits in what its rows hold."""
    return b"%08x%b" % (_checksum(belongs_to, data), data)


def _seal_facts(key: str, facts: Facts) -> bytes:
    try:
        data = facts.model_dump_json().encode()  # a quarter of the time, but not 255 levels
    except PydanticSerializationError:
        data = encode_json(facts.model_dump())
    return _seal(key, data)


def _unseal(belongs_to: str, blob: bytes | str) -> Any:  # noqa: ANN401 - JSON
    """The value.

    Raises:
        ValueError: It is damaged, or another row's.
    """
    # SQLite's own damage may make another type of it.
    data = blob[_CHECKSUM_BYTES:] if isinstance(blob, bytes) else b""
    if not data or blob[:_CHECKSUM_BYTES] != b"%08x" % _checksum(belongs_to, data):
        raise ValueError("a row fails its checksum")
    return parse_json(data)


def _unseal_facts(key: str, blob: bytes, owner: str | None) -> dict[str, Any]:
    """The facts of a row that was found under this owner, if one was asked for."""
    facts = _unseal(key, blob)
    if owner not in (None, facts["owner"]):
        raise ValueError("a row stands under another owner")
    return facts


def _checksum(belongs_to: str, data: bytes) -> int:
    return zlib.crc32(data, zlib.crc32(belongs_to.encode()))
