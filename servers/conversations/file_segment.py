"""A file of lines: read from either end, appended to whole or not at all."""

import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

from servers.conversations.file_data_sync import sync_data
from servers.conversations.file_history import History
from servers.conversations.file_records import Record, count_lost, parse_line

_FIRST_BLOCK_BYTES = 64 * 1024
_MAX_BLOCK_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True)
class Tail:
    """The end of a file as far as its last complete write."""

    end: int
    last: Record | None
    lost: int
    """Damaged records after `last`."""


def read_range(history: History, start: int, end: int) -> bytes:
    """The bytes from `start` to `end`, or to the end of the file if that comes first."""
    parts: list[bytes] = []
    while start < end and (part := history.pread(end - start, start)):
        parts.append(part)
        start += len(part)
    return b"".join(parts)


def lines_forward(history: History, start: int, end: int) -> Iterator[tuple[int, bytes]]:
    """Offset and bytes of each complete line; `start` is the beginning of one."""
    for lines in blocks_forward(history, start, end):
        for line in lines:
            yield start, line
            start += len(line) + 1


def blocks_forward(history: History, start: int, end: int) -> Iterator[list[bytes]]:
    """The same lines in lists of a few hundred kilobytes, without their offsets."""
    for piece in pieces_forward(history, start, end):
        yield piece[:-1].split(b"\n")


def pieces_forward(history: History, start: int, end: int) -> Iterator[bytes]:
    """The same bytes in pieces of a few hundred kilobytes that end with a line."""
    rest = b""
    while start < end and (block := read_range(history, start, min(start + _MAX_BLOCK_BYTES, end))):
        start += len(block)
        cut = block.rfind(b"\n") + 1
        if cut:
            yield rest + block[:cut]
        rest = block[cut:] if cut else rest + block


def count_lines(history: History, start: int, end: int) -> int:
    """How many lines end there; much faster than reading them."""
    count = 0
    while start < end and (part := history.pread(min(end - start, _MAX_BLOCK_BYTES), start)):
        count += part.count(b"\n")
        start += len(part)
    return count


def lines_backward(history: History, end: int, start: int = 0) -> Iterator[tuple[int, bytes]]:
    """Offset and bytes of each line, last first; `start` and `end` lie between lines."""
    rest = b""
    size = _FIRST_BLOCK_BYTES
    while end > start:
        begin = max(start, end - size)
        block = read_range(history, begin, end) + rest
        first = 0 if begin == start else block.find(b"\n") + 1
        offset = begin + len(block)
        for line in reversed(block[first:].split(b"\n")[:-1]):
            offset -= len(line) + 1
            yield offset, line
        rest = block[:first]
        end = begin
        size = min(2 * size, _MAX_BLOCK_BYTES)


def read_line(history: History, offset: int) -> bytes | None:
    """The line that begins at `offset`, without its break; None if there is no complete one."""
    parts: list[bytes] = []
    while part := history.pread(_FIRST_BLOCK_BYTES, offset):
        line, found, _ = part.partition(b"\n")
        parts.append(line)
        if found:
            return b"".join(parts)
        offset += len(part)
    return None


def read_tail(history: History, start: int, size: int) -> Tail:
    """What lies between `start`, which is between lines, and the end of the last complete write.

    A line without its break, and the lines of a write whose last ones are missing, were never
    acknowledged and are left out. A whole line that fails its checksum was, and is counted as lost.
    """
    end = _after_last_break(history, start, size)
    lost = 0
    for offset, line in lines_backward(history, end, start):
        record = parse_line(offset, line)
        if record is None:
            lost += count_lost(line)
        elif record.left <= lost:
            return Tail(end, record, lost)
        else:
            end, lost = offset, 0
    return Tail(end, None, lost)


def _after_last_break(history: History, start: int, size: int) -> int:
    end = size
    while end > start:
        begin = max(start, end - _FIRST_BLOCK_BYTES)
        found = read_range(history, begin, end).rfind(b"\n")
        if found >= 0:
            return begin + found + 1
        end = begin
    return start


def mend_last_break(fd: int, size: int) -> None:
    """Put an active file's last line break back, if that byte alone was hit.

    The record before it is whole, and was acknowledged.
    """
    last = size - 1
    if last > 0 and os.pread(fd, 1, last) != b"\n":
        history = History(fd)
        start = _after_last_break(history, 0, last)
        if parse_line(start, read_range(history, start, last)) is not None:
            os.pwrite(fd, b"\n", last)


def write_whole(fd: int, offset: int, data: bytes) -> None:
    """Write `data` at `offset`, the end of a file, or leave the file as it was. Syncing is left.

    Raises:
        OSError: It could not be written.
    """
    try:
        if os.fstat(fd).st_size > offset:  # what an interrupted write left behind
            os.ftruncate(fd, offset)
        written = 0
        while written < len(data):
            written += os.pwrite(fd, data[written:] if written else data, offset + written)
    except OSError:
        take_back(fd, offset)
        raise


def take_back(fd: int, offset: int) -> None:
    """Remove what was written from `offset` on, if that is possible."""
    with suppress(OSError):
        os.ftruncate(fd, offset)
        sync_data(fd)


def write_again(fd: int, offset: int) -> None:
    """Write what is there from `offset` on once more, if that is possible."""
    with suppress(OSError):
        while part := os.pread(fd, _FIRST_BLOCK_BYTES, offset):
            offset += os.pwrite(fd, part, offset)
