"""The rows of the search index: parts of an inverted index, and what each document in them is.

A document is a message, or a conversation's title. Documents are numbered as they come and no
number is used twice. Each part is a full-text table of its own over one range of numbers: small, so
that what was deleted can be got rid of by writing its part anew, in any version of SQLite, without
keeping texts here.

In the tables each word bears a mark of its owner before it. So a query of one owner meets no
other's words, and takes as long as if there were none. Two more words of a document name its
conversation and role; they hold a character that no word has.
"""

import hashlib
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from servers.conversations.file_search_parts import (
    MAX_PART_CHARACTERS,
    close_part,
    find_open_part,
    put_reach,
    put_words,
    table_of,
)
from servers.conversations.search_query import Term
from servers.conversations.search_text import fold_words, to_indexed_word

SEARCH_SCHEMA_VERSION = 3
SEARCH_SCHEMA = """
CREATE TABLE state (
    origin TEXT NOT NULL, mark TEXT NOT NULL, previous_mark TEXT, next_document INTEGER NOT NULL
);
INSERT INTO state VALUES (lower(hex(randomblob(16))), lower(hex(randomblob(16))), NULL, 1);
CREATE TABLE conversations (
    id INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, owner_mark TEXT NOT NULL,
    generation INTEGER NOT NULL, end INTEGER NOT NULL, mark BLOB NOT NULL, title TEXT,
    title_document INTEGER
);
CREATE TABLE documents (
    id INTEGER PRIMARY KEY, conversation INTEGER NOT NULL, offset INTEGER,
    at INTEGER NOT NULL, words INTEGER NOT NULL
);
CREATE INDEX documents_of ON documents (conversation);
CREATE TABLE parts (
    id INTEGER PRIMARY KEY, first INTEGER NOT NULL, last INTEGER NOT NULL, size INTEGER NOT NULL,
    is_open INTEGER NOT NULL, stale INTEGER NOT NULL
);
CREATE TABLE reach (
    owner_mark TEXT, part INTEGER, newest INTEGER NOT NULL, PRIMARY KEY (owner_mark, part)
) WITHOUT ROWID;
"""
_RESERVED = "\u00b7"
"""No letter and no digit, and none of ASCII, at which the tokenizer would cut."""


@dataclass(frozen=True, slots=True)
class Document:
    """What can be found; the title where there is no role."""

    offset: int | None
    """Of the message's record."""
    at: int
    """When it was written, in milliseconds since 1970."""
    role: str | None
    text: str


@dataclass(frozen=True, slots=True)
class Held:
    """How far a conversation has been read."""

    generation: int
    end: int
    mark: bytes
    """The bytes before that: a file of before, brought back, has others there."""
    title: str | None


@dataclass(frozen=True, slots=True)
class Reading:
    """What was read of a conversation between two of its offsets, `start` 0 for all anew."""

    key: str
    owner: str
    generation: int
    start: int
    end: int
    mark: bytes
    title: Document | None
    messages: Sequence[Document]


class Candidate(NamedTuple):
    """A document in which all terms occur."""

    key: str
    generation: int
    offset: int | None
    at: int
    words: int


def is_searched(text: str) -> bool:
    """Whether a message with this text becomes a document."""
    return bool(text) and not text.isspace()


def find_origin(connection: sqlite3.Connection) -> str:
    """What tells this index from one that was made anew in its place, and stays as it is."""
    (origin,) = connection.execute("SELECT origin FROM state").fetchone()
    return _to_text(origin)


def find_marks(connection: sqlite3.Connection) -> tuple[str, str | None]:
    """What changes with each change of the index, and what it was before."""
    mark, previous = connection.execute("SELECT mark, previous_mark FROM state").fetchone()
    return _to_text(mark), previous


def _to_text(value: object) -> str:
    # What is passed on to the other index must not be taken for a damage of that one.
    if not isinstance(value, str):
        raise ValueError("the state holds no text where one should be")  # noqa: TRY004 - damage
    return value


def renew_mark(connection: sqlite3.Connection) -> str:
    """Change the mark; the new one."""
    connection.execute("UPDATE state SET previous_mark = mark, mark = lower(hex(randomblob(16)))")
    return find_marks(connection)[0]


def find_held(connection: sqlite3.Connection, keys: Sequence[str]) -> dict[str, Held]:
    """How far conversations have been read, by key."""
    sql = f"""SELECT key, generation, end, mark, title FROM conversations
        WHERE key IN ({",".join("?" * len(keys))})"""  # noqa: S608 - question marks
    return {key: Held(*held) for key, *held in connection.execute(sql, keys)}


def count_held_of(
    connection: sqlite3.Connection, key: str, generation: int, end: int
) -> int | None:
    """How many messages of a conversation are held, None if it was not read up to there."""
    sql = "SELECT id FROM conversations WHERE key = ? AND generation = ? AND end = ?"
    row = connection.execute(sql, (key, generation, end)).fetchone()
    if row is None:
        return None
    sql = "SELECT count(*) FROM documents WHERE conversation = ? AND offset IS NOT NULL"
    return connection.execute(sql, row).fetchone()[0]


def find_keys(connection: sqlite3.Connection, after: str, limit: int) -> list[str]:
    """The next keys of conversations of which anything is held."""
    sql = "SELECT key FROM conversations WHERE key > ? ORDER BY key LIMIT ?"
    return [key for (key,) in connection.execute(sql, (after, limit))]


def put_reading(connection: sqlite3.Connection, reading: Reading) -> None:
    """Take in what was read; what is held beyond `start` is dropped."""
    if not reading.start:
        drop_conversation(connection, reading.key)
    owner_mark = owner_mark_of(reading.owner)
    connection.execute(
        """INSERT INTO conversations (key, owner_mark, generation, end, mark)
        VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT (key) DO UPDATE SET end = ?4, mark = ?5""",
        (reading.key, owner_mark, reading.generation, reading.end, reading.mark),
    )
    conversation, title, title_document = connection.execute(
        "SELECT id, title, title_document FROM conversations WHERE key = ?", (reading.key,)
    ).fetchone()
    documents = list(reading.messages)
    new_title = reading.title and reading.title.text
    if title != new_title:
        if title_document is not None:
            _count_stale(connection, "id = ?", title_document)
            connection.execute("DELETE FROM documents WHERE id = ?", (title_document,))
        if reading.title:
            documents.insert(0, reading.title)
        connection.execute(
            """UPDATE conversations SET title = ?1,
            title_document = CASE WHEN ?1 IS NOT NULL THEN (SELECT next_document FROM state) END
            WHERE id = ?2""",
            (new_title, conversation),
        )
    while documents:
        documents = _put_documents(connection, conversation, owner_mark, documents)


def drop_conversation(connection: sqlite3.Connection, key: str) -> None:
    """Remove a conversation; its words are left in its parts, which are counted as stale."""
    row = connection.execute("SELECT id FROM conversations WHERE key = ?", (key,)).fetchone()
    if row:
        _count_stale(connection, "conversation = ?", row[0])
        connection.execute("DELETE FROM documents WHERE conversation = ?", row)
        connection.execute("DELETE FROM conversations WHERE id = ?", row)


def _count_stale(connection: sqlite3.Connection, which: str, value: int) -> None:
    counted = f"(SELECT count(*) FROM documents WHERE {which} AND id BETWEEN first AND last)"  # noqa: S608 - ours
    connection.execute(f"UPDATE parts SET stale = stale + {counted} WHERE {counted}", [value] * 2)  # noqa: S608 - ours


def _put_documents(
    connection: sqlite3.Connection,
    conversation: int,
    owner_mark: str,
    documents: Sequence[Document],
) -> list[Document]:
    """Put in as many as the open part has room for; the others."""
    part, size, room = find_open_part(connection)
    first = connection.execute("SELECT next_document FROM state").fetchone()[0]
    taken = documents[:room]
    words: list[tuple[int, str]] = []
    rows: list[tuple[int, int, int | None, int, int]] = []
    for number, document in enumerate(taken, first):
        folded = fold_words(document.text)
        words.append((number, to_indexed(owner_mark, conversation, document.role, folded)))
        rows.append((number, conversation, document.offset, document.at, len(folded)))
        size += len(words[-1][1])
        if size >= MAX_PART_CHARACTERS:
            break
    next_document = first + len(rows)
    put_words(connection, part, words)
    connection.executemany("INSERT INTO documents VALUES (?, ?, ?, ?, ?)", rows)
    connection.execute("UPDATE state SET next_document = ?", (next_document,))
    connection.execute(
        "UPDATE parts SET last = ?, size = ? WHERE id = ?", (next_document - 1, size, part)
    )
    put_reach(connection, owner_mark, part, max(document.at for document in taken))
    if len(rows) == room or size >= MAX_PART_CHARACTERS:
        close_part(connection, part)
    return list(documents[len(rows) :])


def find_conversation(connection: sqlite3.Connection, key: str) -> int | None:
    """The number of a conversation that is held."""
    row = connection.execute("SELECT id FROM conversations WHERE key = ?", (key,)).fetchone()
    return row and row[0]


def to_expression(
    owner: str, terms: Sequence[Term], conversation: int | None, role: str | None
) -> str:
    """What a part is asked: every string in it is quoted, and made of letters and digits."""
    mark = owner_mark_of(owner)
    # One character that may be several words (½) is indexed as their sequence, as it is asked.
    asked = [
        '"'
        + " ".join(mark + to_indexed_word(word) for word in term.words)
        + ('" *' if term.is_prefix else '"')
        for term in terms
    ]
    if conversation is not None:
        asked.append(f'"{_conversation_word(mark, conversation)}"')
    if role is not None:
        asked.append(f'"{_role_word(mark, role)}"')
    return " AND ".join(asked)


def find_candidates(
    connection: sqlite3.Connection, part: int, expression: str, *, since: int, limit: int
) -> list[Candidate]:
    """The newest documents of a part that match."""
    table = table_of(part)
    rows = connection.execute(
        # CROSS JOIN keeps the order of the tables: the words lead.
        f"""SELECT c.key, c.generation, d.offset, d.at, d.words
        FROM {table} w CROSS JOIN documents d ON d.id = w.rowid
            CROSS JOIN conversations c ON c.id = d.conversation
        WHERE {table} MATCH ? AND d.at >= ? ORDER BY d.at DESC, d.id DESC LIMIT ?""",  # noqa: S608 - ours
        (expression, since, limit),
    )
    return [Candidate(*row) for row in rows]


def to_indexed(owner_mark: str, conversation: int, role: str | None, folded: Sequence[str]) -> str:
    """The words of a document as a part takes them."""
    special = _conversation_word(owner_mark, conversation)
    if role is not None:
        special += f" {_role_word(owner_mark, role)}"
    if not folded:
        return special
    between = f" {owner_mark}"
    return f"{special}{between}{between.join(folded)}"


def _conversation_word(owner_mark: str, conversation: int) -> str:
    return f"{owner_mark}{_RESERVED}c{conversation}"


def _role_word(owner_mark: str, role: str) -> str:
    return f"{owner_mark}{_RESERVED}{role}"


def owner_mark_of(owner: str) -> str:
    """What stands before an owner's words. Two owners may share one: a hit's row says whose."""
    return hashlib.sha256(owner.encode()).hexdigest()[:8]
