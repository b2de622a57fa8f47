"""Where a conversation's bytes lie: as its active file says, or found out where that is damaged."""

import os
from contextlib import suppress
from typing import Any, NamedTuple

from pydantic import BaseModel, ConfigDict, ValidationError

from servers.conversations.file_directory import key_of
from servers.conversations.file_history import UNSEALED, History, Layout, Place
from servers.conversations.file_records import Facts, Record, parse_facts, parse_line
from servers.conversations.file_sealed import SealedSegment, parse_suffix, suffix_of
from servers.conversations.file_segment import read_line, read_range


class _Sealed(BaseModel):
    model_config = ConfigDict(strict=True)

    generation: int
    offsets: list[int]
    base: int


def continue_with(facts: Facts, layout: Layout) -> dict[str, Any]:
    """The body of the record that an active file begins with after the sealed segments."""
    sealed = {
        "generation": layout.generation,
        "offsets": list(layout.sealed),
        "base": layout.base,
    }
    return {**facts.model_dump(), "sealed": sealed}


class Beginning(NamedTuple):
    """What an active file begins with."""

    line: bytes
    record: Record
    layout: Layout
    """As it tells."""

    @property
    def generation(self) -> int:
        """Of the conversation."""
        return self.layout.generation or self.record.progress.seq


def read_beginning(fd: int) -> Beginning | None:
    """None where it is damaged or lost: any other record than these has others before it."""
    line = read_line(History(fd), 0)
    record = parse_line(0, line) if line else None
    if line is None or record is None:
        return None
    if record.kind in ("header", "tombstone"):
        return Beginning(line, record, UNSEALED)
    try:
        sealed = _Sealed.model_validate(record.body.get("sealed"))
    except ValidationError:
        return None
    layout = Layout(sealed.generation, tuple(sealed.offsets), sealed.base)
    return Beginning(line, record, layout)


def is_anothers(beginning: Beginning, key: str) -> bool:
    """Whether it is of another conversation than the one with this key."""
    facts = parse_facts(beginning.record)
    return facts is not None and key_of(facts.owner, facts.conversation_id) != key


def has_sealed(place: Place) -> bool:
    """Whether there are sealed segments, whatever the active file says or lacks."""
    with suppress(FileNotFoundError):
        return any(map(parse_suffix, place.directory.suffixes_of(place.key)))
    return False


def find_layout(place: Place, first_seq: int) -> Layout:
    """The layout by the segments that are there, for an active file whose beginning is lost.

    `first_seq`: of its first readable record. A segment with later records was made by a writer
    that was killed before the active file was replaced: it does not count.
    """
    names = [parse_suffix(suffix) for suffix in place.directory.suffixes_of(place.key)]
    found = sorted(name for name in names if name is not None)
    if not found:
        return UNSEALED
    generation = found[-1][0]
    base = 0
    sealed: list[int] = []
    for offset in (offset for of, offset in found if of == generation):
        suffix = suffix_of(generation, offset)
        segment = SealedSegment.load(place.directory, place.key, suffix, 0)
        last = segment.frames[-1] if segment.frames else None
        if last is None or offset != base or _last_seq(segment) >= first_seq:
            break
        sealed.append(offset)
        base = offset + last.start + last.size
    return Layout(generation, tuple(sealed), base)


def find_unnamed(place: Place) -> tuple[list[str], list[str]]:
    """The segments that the active file does not name: those that nothing needs, and others.

    Nothing needs one of a generation before, or with the same lines as are found without it: its
    writer was killed before it removed or named it. Any other may hold what is nowhere else.
    For use under the lock. Where the active file does not tell, there are none.
    """
    found = [suffix for suffix in place.directory.suffixes_of(place.key) if parse_suffix(suffix)]
    fd = place.directory.open_file(place.key) if found else None
    if fd is None:
        return [], []
    with os.fdopen(fd, "rb"):
        beginning = read_beginning(fd)
        if beginning is None or is_anothers(beginning, place.key):
            return [], []
        layout, generation = beginning.layout, beginning.generation
        named = {suffix_of(layout.generation, offset) for offset in layout.sealed}
        unnamed = [suffix for suffix in found if suffix not in named]
        history = History(fd, layout, place)
        needless = [each for each in unnamed if _is_needless(history, place, generation, each)]
    return needless, [suffix for suffix in unnamed if suffix not in needless]


def _is_needless(history: History, place: Place, generation: int, suffix: str) -> bool:
    of, start = parse_suffix(suffix) or (0, 0)
    if of != generation:
        return of < generation
    segment = SealedSegment.load(place.directory, place.key, suffix, 0)
    frames = range(len(segment.frames))
    # The last one, too: a file may have been copied before the segment that goes on with it.
    blocks = [(number, segment.read_block(number)) for number in {*frames[:1], *frames[-1:]}]
    return bool(blocks) and all(
        block is not None and _is_there(history, start + segment.frames[number].start, block)
        for number, block in blocks
    )


def _is_there(history: History, start: int, block: bytes) -> bool:
    return read_range(history, start, start + len(block)) == block


def is_continued(place: Place) -> bool:
    """Whether a segment that is not named holds all that is in the active file, and more.

    So it is in a copy for which the file was read before it was sealed, and the segment after that.
    For use under the lock.
    """
    fd = place.directory.open_file(place.key)
    if fd is None:
        return False
    with os.fdopen(fd, "rb"):
        history = History(fd)
        beginning = read_beginning(fd)
        if beginning is None:
            return False
        suffix = suffix_of(beginning.generation, beginning.layout.base)
        size = os.fstat(fd).st_size
        segment = SealedSegment.load(place.directory, place.key, suffix, 0)
        for number, frame in enumerate(segment.frames):
            block = segment.read_block(number) or b""
            held = read_range(history, frame.start, frame.start + frame.size)
            if not block.startswith(held):
                return False
            if frame.start + len(block) > size:
                return True
        return False


def _last_seq(segment: SealedSegment) -> int:
    """The number of a segment's last readable record, 0 if there is none."""
    for number in reversed(range(len(segment.frames))):
        for line in reversed((segment.read_block(number) or b"").split(b"\n")):
            if (record := parse_line(0, line)) is not None:
                return record.progress.seq
    return 0
