"""Reading messages out of a conversation's file, the oldest first."""

from collections.abc import Iterator
from typing import NamedTuple

from servers.conversations.file_history import History
from servers.conversations.file_records import Record, parse_line
from servers.conversations.file_segment import lines_forward


class Start(NamedTuple):
    """A place to read on from, which lies between lines."""

    offset: int
    seq: int
    """Of the next record, if none is lost there."""


class Found(NamedTuple):
    """A message, or the end, and how to come back to it."""

    record: Record | None
    """None: the end."""
    start: Start
    lost: int
    """Damaged records before it."""


def read_forward(history: History, start: Start, end: Start) -> Iterator[Found]:
    """The messages from `start` to `end`, then the end, where something may be lost as well."""
    expected, lost = start.seq, 0
    for offset, line in lines_forward(history, start.offset, end.offset):
        record = parse_line(offset, line)
        if record is None:
            continue  # its number will be missing
        seq = record.progress.seq
        lost += max(0, seq - expected)
        expected = seq + 1
        if record.kind == "message":
            yield Found(record, Start(offset, seq - lost), lost)
            lost = 0
    lost += max(0, end.seq - expected)
    yield Found(None, Start(end.offset, end.seq - lost), lost)
