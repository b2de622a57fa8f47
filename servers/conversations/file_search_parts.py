"""The parts of the search index: full-text tables over ranges of documents' numbers.

Few documents go into one, so that what is in it can be written anew in a moment.
"""

import sqlite3
from collections.abc import Iterable, Sequence
from typing import NamedTuple

_PART = """
CREATE VIRTUAL TABLE {} USING fts5 (words, content='', columnsize=0, tokenize='ascii')
"""
_MAX_PART_DOCUMENTS = 16_384
MAX_PART_CHARACTERS = 8 * 1024 * 1024


class Part(NamedTuple):
    """One of them."""

    number: int
    first: int
    last: int
    is_open: bool


class HeldDocument(NamedTuple):
    """A document in a part."""

    number: int
    key: str
    generation: int
    conversation: int
    owner_mark: str
    offset: int | None
    at: int
    title: str | None


def find_open_part(connection: sqlite3.Connection) -> tuple[int, int, int]:
    """The number of the part that new documents go to, its size, and for how many it has room."""
    sql = "SELECT id, size, last - first + 1 FROM parts WHERE is_open"
    row = connection.execute(sql).fetchone()
    if row:
        return row[0], row[1], max(1, _MAX_PART_DOCUMENTS - row[2])
    first = connection.execute("SELECT next_document FROM state").fetchone()[0]
    return _create_part(connection, first, first - 1), 0, _MAX_PART_DOCUMENTS


def _create_part(connection: sqlite3.Connection, first: int, last: int) -> int:
    sql = "INSERT INTO parts (first, last, size, is_open, stale) VALUES (?, ?, 0, 1, 0)"
    part = connection.execute(f"{sql} RETURNING id", (first, last)).fetchone()[0]
    connection.execute(_PART.format(table_of(part)))
    return part


def put_words(connection: sqlite3.Connection, part: int, words: Iterable[tuple[int, str]]) -> None:
    """Index documents by number."""
    connection.executemany(f"INSERT INTO {table_of(part)} (rowid, words) VALUES (?, ?)", words)  # noqa: S608 - ours


def put_reach(connection: sqlite3.Connection, owner_mark: str, part: int, newest: int) -> None:
    """Note that a part holds documents of an owner."""
    connection.execute(
        """INSERT INTO reach VALUES (?, ?, ?)
        ON CONFLICT (owner_mark, part) DO UPDATE SET newest = max(newest, excluded.newest)""",
        (owner_mark, part, newest),
    )


def close_part(connection: sqlite3.Connection, part: int) -> None:
    """No more goes into this part; it is made small and fast."""
    table = table_of(part)
    connection.execute(f"INSERT INTO {table} ({table}) VALUES ('optimize')")  # noqa: S608 - ours
    connection.execute("UPDATE parts SET is_open = 0 WHERE id = ?", (part,))


def find_parts(connection: sqlite3.Connection, owner_mark: str, since: int) -> list[int]:
    """The parts that hold an owner's documents from a time on, the newest first."""
    sql = "SELECT part FROM reach WHERE owner_mark = ? AND newest >= ? ORDER BY newest DESC, part"
    return [part for (part,) in connection.execute(sql, (owner_mark, since))]


def find_stale_part(connection: sqlite3.Connection) -> Part | None:
    """The part that holds most words of documents that are gone."""
    sql = "SELECT id, first, last, is_open FROM parts WHERE stale ORDER BY stale DESC LIMIT 1"
    row = connection.execute(sql).fetchone()
    return row and Part(*row)


def find_documents(connection: sqlite3.Connection, part: Part) -> list[HeldDocument]:
    """What is still held of a part, in order."""
    rows = connection.execute(
        """SELECT d.id, c.key, c.generation, c.id, c.owner_mark, d.offset, d.at, c.title
        FROM documents d JOIN conversations c ON c.id = d.conversation
        WHERE d.id BETWEEN ? AND ? ORDER BY d.id""",
        (part.first, part.last),
    )
    return [HeldDocument(*row) for row in rows]


def replace_part(
    connection: sqlite3.Connection, part: Part, kept: Sequence[tuple[HeldDocument, str]]
) -> None:
    """Put a part with these documents' words in the place of one, or nothing for none."""
    connection.execute("DELETE FROM reach WHERE part = ?", (part.number,))
    connection.execute("DELETE FROM parts WHERE id = ?", (part.number,))
    connection.execute(f"DROP TABLE {table_of(part.number)}")
    if not kept:
        return
    new = _create_part(connection, part.first, part.last)
    put_words(connection, new, ((document.number, words) for document, words in kept))
    size = sum(len(words) for _, words in kept)
    connection.execute("UPDATE parts SET size = ? WHERE id = ?", (size, new))
    for document, _ in kept:
        put_reach(connection, document.owner_mark, new, document.at)
    if not part.is_open:
        close_part(connection, new)


def table_of(part: int) -> str:
    """The name of a part's table."""
    return f"words_{part}"
