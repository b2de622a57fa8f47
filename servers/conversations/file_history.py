"""The bytes of one conversation by logical offset, in sealed segments or in the active file.

Offsets go on counting when the beginning of a file is sealed, so whatever was noted of a place
(cursors, the index, ids seen lately) stays right for a whole generation.
"""

import errno
import os
from bisect import bisect_right
from dataclasses import dataclass

from servers.conversations.file_directory import StoreDirectory
from servers.conversations.file_sealed import SealedSegment, suffix_of


@dataclass(frozen=True, slots=True)
class Place:
    """What the files of one conversation are found by."""

    directory: StoreDirectory
    key: str


@dataclass(frozen=True, slots=True)
class Layout:
    """How a conversation's bytes are divided."""

    generation: int = 0
    """Of the segments: part of their names."""
    sealed: tuple[int, ...] = ()
    """The offsets at which sealed segments begin; each ends where the next one does."""
    base: int = 0
    """The offset at which the active file begins."""


UNSEALED = Layout()


class History:
    """What can be read of a conversation. Belongs to one thread; `fd` is not closed by it."""

    def __init__(
        self,
        fd: int,
        layout: Layout = UNSEALED,
        place: Place | None = None,
        *,
        strict: bool = False,
        read: bytes = b"",
        read_at: int = 0,
    ) -> None:
        """`place`: needed where segments are sealed. `strict`: one that is missing is an error.

        `read`: what was read of it already, from the offset `read_at` on.
        """
        self.fd = fd
        self.layout = layout
        self._place = place
        self._strict = strict
        self._read, self._read_at = read, read_at
        self._segment: tuple[int, SealedSegment] | None = None

    def again(self) -> "History":
        """Another reader of the same, for who reads in two places by turns."""
        return History(self.fd, self.layout, self._place, strict=self._strict)

    def pread(self, count: int, offset: int) -> bytes:
        """At most `count` bytes from `offset` on: fewer at a boundary, none at the end.

        What is lost of a segment comes as bytes that are no record, so that offsets stay right.
        """
        if 0 <= (start := offset - self._read_at) < len(self._read):
            return self._read[start : start + count]
        base = self.layout.base
        if offset >= base:
            return os.pread(self.fd, count, offset - base)
        sealed = self.layout.sealed
        number = max(0, bisect_right(sealed, offset) - 1)
        start = sealed[number]
        end = sealed[number + 1] if number + 1 < len(sealed) else base
        segment = self._open_segment(start, end - start)
        return segment.pread(min(count, end - offset), offset - start)

    def _open_segment(self, start: int, size: int) -> SealedSegment:
        if self._segment is None or self._segment[0] != start:
            assert self._place is not None
            name = suffix_of(self.layout.generation, start)
            segment = SealedSegment.open(self._place.directory, self._place.key, name, size)
            if self._strict and not segment.frames:
                raise FileNotFoundError(errno.ENOENT, "a sealed segment is gone", name)
            self._segment = (start, segment)
        return self._segment[1]

    def load_segment(self, number: int, *, anywhere: bool = False) -> SealedSegment:
        """A sealed segment whole, for who reads all of it while nobody writes.

        `anywhere`: also one that is another part of the conversation than its name says.
        """
        assert self._place is not None
        sealed = self.layout.sealed
        start = sealed[number]
        end = sealed[number + 1] if number + 1 < len(sealed) else self.layout.base
        name = suffix_of(self.layout.generation, start)
        place = self._place
        return SealedSegment.load(place.directory, place.key, name, end - start, anywhere=anywhere)
