"""Rows of the index that lag behind what was appended: brought on by that alone."""

import os
import sqlite3
from typing import NamedTuple

from servers.conversations.file_directory import StoreDirectory, key_of
from servers.conversations.file_history import History, Place
from servers.conversations.file_index import transaction
from servers.conversations.file_index_rows import advance_entry
from servers.conversations.file_projection import Entry, Projection, mark_of
from servers.conversations.file_records import parse_line
from servers.conversations.file_segment import lines_backward
from servers.conversations.file_state import ConversationState, read_state


class RowEnd(NamedTuple):
    """Up to where a row holds a conversation, and what it says of that place."""

    generation: int
    end: int
    version: int
    message_count: int
    updated: str


def find_row_end(connection: sqlite3.Connection, key: str) -> RowEnd | None:
    """Up to where the row of a conversation holds it; None if there is none."""
    sql = "SELECT generation, end, version, count, last_updated FROM conversations WHERE key = ?"
    row = connection.execute(sql, (key,)).fetchone()
    return row and RowEnd(*row)


def read_on(directory: StoreDirectory, key: str, row: RowEnd) -> Entry | None:
    """What a file holds behind the end of its row; None if all of it must be read.

    Needs no lock.

    Raises:
        OSError: The file can't be opened.
    """
    fd = directory.open_file(key)
    if fd is None:
        return None
    try:
        status = os.fstat(fd)  # first: what changes while it is read must be seen later
        place = Place(directory, key)
        state = read_state(fd, status.st_size, None, place)
        if state is None or (state.generation, state.deleted) != (row.generation, False):
            return None
        facts = state.facts
        if facts is None or key_of(facts.owner, facts.conversation_id) != key:
            return None
        return read_on_opened(History(fd, state.layout, place), state, status, row)
    finally:
        os.close(fd)


def read_on_opened(
    history: History, state: ConversationState, status: os.stat_result, row: RowEnd
) -> Entry | None:
    """The same of an opened file of the row's generation. `status`: of before it was read."""
    if state.facts is None or state.end <= row.end or not _follows(history, row):
        return None
    projection = Projection()
    projection.add_all(history, row.end, state.end)
    return Entry(mark_of(state, status), True, state.progress, state.facts, projection)


def put_on(connection: sqlite3.Connection, key: str, row: RowEnd, entry: Entry) -> None:
    """Bring a row on, unless somebody else has changed it meanwhile."""
    if entry.projection.is_plain:  # one row, which needs no transaction
        advance_entry(connection, key, row.end, entry)
        return
    with transaction(connection):
        advance_entry(connection, key, row.end, entry)


def _follows(history: History, row: RowEnd) -> bool:
    """Whether the record before the row's end is the one it counted last.

    It isn't where that was taken back because of a failed sync, and others were written there.
    """
    for offset, line in lines_backward(history, row.end):
        record = parse_line(offset, line)
        return record is not None and (
            record.progress.version,
            record.progress.message_count,
            record.progress.updated,
        ) == (row.version, row.message_count, row.updated)
    return False
