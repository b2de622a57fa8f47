"""Sealing: the lines of an active file become a compressed segment, and a short file goes on.

First the segment is written, read back and named, then the active file is replaced by one that
names it. Killed in between, the active file still holds everything, and the segment is overwritten
by the next sealing.
"""

import errno
import os
from collections.abc import Iterator, Set
from dataclasses import dataclass

from servers.conversations.file_history import History, Layout, Place
from servers.conversations.file_layout import continue_with, find_unnamed
from servers.conversations.file_records import Facts, encode_batch, make_draft
from servers.conversations.file_replacing import name_folder, replace_file
from servers.conversations.file_sealed import BLOCK_BYTES, SealedSegment, compress, suffix_of
from servers.conversations.file_segment import lines_forward, read_line, read_range
from servers.conversations.file_state import ConversationState


@dataclass(frozen=True, slots=True)
class Sealing:
    """When and how."""

    after_bytes: int = 8 * 1024 * 1024
    """Of an active file."""
    level: int = 3
    """Of zstd, 1 to 19: beyond 3 it takes much longer for a little less."""


def is_due(sealing: Sealing, state: ConversationState, previous_end: int) -> bool:
    """Whether an append has filled the active file; after a failure again when it is twice full."""
    base, size = state.layout.base, sealing.after_bytes
    return (state.end - base) // size > (previous_end - base) // size


def seal_active(
    history: History, place: Place, state: ConversationState, facts: Facts, sealing: Sealing
) -> int:
    """Seal what the active file holds; `state` then tells of the new one.

    Returns the new active file's descriptor.

    Raises:
        OSError: It could not be done; the active file and `state` are as they were.
    """
    layout = state.layout
    sealed = list(layout.sealed)
    ranges = list(_divide(history, layout.base, state.end, sealing.after_bytes))
    _keep_others(place, {suffix_of(state.generation, start) for start, _ in ranges})
    for start, end in ranges:
        _seal_range(history, place, suffix_of(state.generation, start), start, end, sealing.level)
        sealed.append(start)
    layout = Layout(state.generation, tuple(sealed), state.end)
    draft = make_draft("continuation", continue_with(facts, layout))
    data, records = encode_batch(state.progress, state.end, state.progress.updated, [draft])
    fd = replace_file(place, [data])
    state.first_line = data.removesuffix(b"\n")
    state.layout = layout
    state.grow(data)
    state.progress = records[-1].progress
    return fd


def _keep_others(place: Place, suffixes: Set[str]) -> None:
    """Put aside what would be overwritten though it holds something else.

    So it is in a copy that was written to although a segment of it isn't named.
    """
    if suffixes.isdisjoint(place.directory.suffixes_of(place.key)):
        return
    _, others = find_unnamed(place)
    if kept := suffixes & set(others):
        place.directory.keep_aside(place.key, kept, name_folder())


def _divide(history: History, start: int, end: int, size: int) -> Iterator[tuple[int, int]]:
    """The ranges of whole lines that become a segment each: many for a file written in one go."""
    while end - start > 2 * size:
        rest = read_line(history, start + size) or b""
        next_start = min(end, start + size + len(rest) + 1)
        yield start, next_start
        start = next_start
    if start < end:
        yield start, end


def _seal_range(
    history: History, place: Place, suffix: str, start: int, end: int, level: int
) -> None:
    parts = compress(_blocks(history, start, end), level, place.key, suffix)
    os.close(replace_file(place, parts, suffix))
    segment = SealedSegment.load(place.directory, place.key, suffix, end - start)
    if not _is_same(segment, history, start):
        place.directory.remove_files(place.key, [suffix])
        raise OSError(errno.EIO, "what was compressed does not read back", suffix)


def _blocks(history: History, start: int, end: int) -> Iterator[bytes]:
    lines: list[bytes] = []
    size = 0
    for _, line in lines_forward(history, start, end):
        lines.append(line)
        size += len(line) + 1
        if size >= BLOCK_BYTES:
            yield b"\n".join([*lines, b""])
            lines, size = [], 0
    if lines:
        yield b"\n".join([*lines, b""])


def _is_same(segment: SealedSegment, history: History, start: int) -> bool:
    if not segment.is_whole:
        return False
    for number, frame in enumerate(segment.frames):
        begin = start + frame.start
        if segment.read_block(number) != read_range(history, begin, begin + frame.size):
            return False
    return True
