"""A sealed segment: lines that nobody adds to any more, compressed in blocks that stand alone.

`<key>.<generation>.<base>.jsonl.zst` is a row of zstd frames, each of whole lines, and a table of
them at the end in a frame that zstd's own tools skip: `zstdcat` prints the lines. A damaged frame
costs its own lines; a damaged table costs nothing, the frames are then looked for one by one.

The table has the conversation's key, too, and the rest of the name, which are others than the name
says if somebody mixed files up: such a segment is as good as missing. Those of programs of before
have none.
"""

import errno
import json
import os
import re
import struct
import zlib
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

import zstandard

from servers.conversations.file_directory import StoreDirectory, path_of
from servers.conversations.file_records import is_whole

BLOCK_BYTES = 128 * 1024
"""Of lines in a frame, before compression; the last line may go over it."""

_MAX_BLOCK_BYTES = 8 * 1024 * 1024
_NAME = re.compile(r"\.([0-9]{1,19})\.([0-9]{1,19})\.jsonl\.zst")
_SKIPPABLE = struct.Struct("<II")
_SKIPPABLE_MAGIC = 0x184D2A5E
_END = struct.Struct("<II8s")
_END_MAGIC = b"agsealed"
_END_BYTES = 4 * 1024
"""Hold the table of a segment of usual size."""


def suffix_of(generation: int, base: int) -> str:
    """What a segment's name has after the conversation's key."""
    return f".{generation}.{base}.jsonl.zst"


def parse_suffix(suffix: str) -> tuple[int, int] | None:
    """Generation and base in such a suffix, None if it is none."""
    found = _NAME.fullmatch(suffix)
    return None if found is None else (int(found[1]), int(found[2]))


@dataclass(frozen=True, slots=True)
class _Frame:
    start: int
    """Of its lines, in the segment."""
    size: int
    place: int
    """In the file."""
    compressed: int


class _Table(NamedTuple):
    frames: list[_Frame]
    is_proven: bool
    key: str | None
    """Of the conversation; None in those of programs of before."""
    suffix: str | None
    """What its name has after the key; None in those, too."""


_Read = Callable[[int, int], bytes]
"""So many bytes of a file from a place on."""


@dataclass(slots=True)
class SealedSegment:
    """A segment's lines, decompressed block by block; of a missing one nothing is whole."""

    size: int
    """Of its lines, as whoever lists it knows."""
    frames: list[_Frame] = field(default_factory=list[_Frame])
    is_whole: bool = False
    """Whether the frames hold all of it, as far as can be told without decompressing them."""
    has_table: bool = False
    is_proven: bool = False
    """Whether all lines were as they had been written: if a frame is whole, so are its lines."""
    foreign_key: str | None = None
    """The conversation's whose it is instead: nothing of it is read then."""
    other_suffix: str | None = None
    """The part of the conversation that it is instead: nothing of it is read then, either."""
    _read: _Read = lambda _count, _place: b""
    _starts: list[int] = field(default_factory=list[int])
    _block: tuple[int, bytes] = (-1, b"")

    @classmethod
    def open(cls, directory: StoreDirectory, key: str, suffix: str, size: int) -> "SealedSegment":
        """Read the table only; each block is read when it is needed.

        When the file is removed or replaced meanwhile, that raises `FileNotFoundError`.

        Raises:
            OSError: It is there but can't be read.
        """
        fd = directory.open_file(key, suffix)
        if fd is None:
            return cls(size)
        with os.fdopen(fd, "rb"):
            status = os.fstat(fd)
            begin = max(0, status.st_size - _END_BYTES)
            end = os.pread(fd, _END_BYTES, begin)
            if len(end) < _table_bytes(end) and begin:
                begin = max(0, status.st_size - _table_bytes(end))
                end = os.pread(fd, status.st_size - begin, begin)
            table = _read_table(end)
            if table is None:
                return cls.parse(os.pread(fd, status.st_size, 0), size, key)
        if table.key not in (None, key):
            return cls(size, foreign_key=table.key)
        if table.suffix not in (None, suffix):
            return cls(size, other_suffix=table.suffix)
        read = partial(_read_part, directory, key, suffix, status.st_ino)
        return cls._of(table.frames, size, read)

    @classmethod
    def load(
        cls,
        directory: StoreDirectory,
        key: str,
        suffix: str,
        size: int,
        belongs_to: str | None = None,
        *,
        anywhere: bool = False,
    ) -> "SealedSegment":
        """Read the whole file, for who reads all of it and cares for what happens meanwhile.

        `belongs_to`: the key of the conversation, where that lies under another one's.
        `anywhere`: whatever part of the conversation it is.

        Raises:
            OSError: It is there but can't be read.
        """
        fd = directory.open_file(key, suffix)
        if fd is None:
            return cls(size)
        with os.fdopen(fd, "rb") as file:
            return cls.parse(file.read(), size, belongs_to or key, None if anywhere else suffix)

    @classmethod
    def parse(cls, data: bytes, size: int, key: str, suffix: str | None = None) -> "SealedSegment":
        """A conversation's segment in a file's bytes; the one with this suffix, if it is given."""
        table = _read_table(data)
        if table is not None and table.key not in (None, key):
            return cls(size, foreign_key=table.key)
        if table is not None and suffix is not None and table.suffix not in (None, suffix):
            return cls(size, other_suffix=table.suffix)
        segment = cls._of(
            list(_find_frames(data)) if table is None else table.frames,
            size,
            lambda count, place: data[place : place + count],
        )
        segment.has_table = table is not None
        segment.is_proven = table is not None and table.is_proven
        return segment

    @classmethod
    def _of(cls, frames: list[_Frame], size: int, read: _Read) -> "SealedSegment":
        held = frames[-1].start + frames[-1].size if frames else 0
        segment = cls(size, frames, is_whole=held == size, has_table=True)
        segment._read = read
        segment._starts = [frame.start for frame in frames]
        return segment

    def pread(self, count: int, offset: int) -> bytes:
        """At most `count` bytes from `offset` on, fewer at the end of a block."""
        number = bisect_right(self._starts, offset) - 1
        frame = self.frames[number] if number >= 0 else None
        if frame is None or offset >= frame.start + frame.size:
            return _unreadable(min(count, self.size - offset))
        if self._block[0] != number:
            self._block = (number, self.read_block(number) or _unreadable(frame.size))
        start = offset - frame.start
        return self._block[1][start : start + count]

    def read_block(self, number: int) -> bytes | None:
        """The lines of a frame, None if it is damaged."""
        frame = self.frames[number]
        try:
            block = zstandard.ZstdDecompressor().decompress(
                self._read(frame.compressed, frame.place), max_output_size=_MAX_BLOCK_BYTES
            )
        except zstandard.ZstdError:
            return None
        return block if len(block) == frame.size else None


def _read_part(
    directory: StoreDirectory, key: str, suffix: str, inode: int, count: int, place: int
) -> bytes:
    fd = directory.open_file(key, suffix)
    if fd is not None:
        with os.fdopen(fd, "rb"):
            if os.fstat(fd).st_ino == inode:
                return os.pread(fd, count, place)
    raise FileNotFoundError(errno.ENOENT, "a sealed segment is gone", path_of(key, suffix))


def _unreadable(count: int) -> bytes:
    return b"\0" * (count - 1) + b"\n" if count > 0 else b""


def compress(blocks: Iterable[bytes], level: int, key: str, suffix: str) -> Iterator[bytes]:
    """The parts of a segment's file: a frame for each block of whole lines, then the table.

    `key` and `suffix` are its name.
    """
    compressor = zstandard.ZstdCompressor(level=level, write_checksum=True)
    sizes: list[tuple[int, int]] = []
    is_proven = True
    for block in blocks:
        frame = compressor.compress(block)
        sizes.append((len(block), len(frame)))
        is_proven = is_proven and all(map(is_whole, block[:-1].split(b"\n")))
        yield frame
    told = {"frames": sizes, "proven": is_proven, "key": key, "suffix": suffix}
    table = json.dumps(told, separators=(",", ":")).encode()
    content = table + _END.pack(len(table), zlib.crc32(table), _END_MAGIC)
    yield _SKIPPABLE.pack(_SKIPPABLE_MAGIC, len(content)) + content


def _table_bytes(end: bytes) -> int:
    """How long the table is, with what is after it, by the end of a file."""
    if len(end) < _END.size:
        return 0
    length, _, magic = _END.unpack(end[-_END.size :])
    return length + _END.size if magic == _END_MAGIC else 0


def _read_table(data: bytes) -> _Table | None:
    """None if it is damaged."""
    if len(data) < _END.size:
        return None
    length, checksum, magic = _END.unpack(data[-_END.size :])
    end = len(data) - _END.size
    table = data[max(0, end - length) : end]
    if magic != _END_MAGIC or len(table) != length or zlib.crc32(table) != checksum:
        return None
    told: Any = json.loads(table)
    frames: list[_Frame] = []
    start = place = 0
    for size, compressed in told["frames"]:
        frames.append(_Frame(start, size, place, compressed))
        start, place = start + size, place + compressed
    # Programs of before did not look, and told no name.
    return _Table(frames, told.get("proven") is True, told.get("key"), told.get("suffix"))


def _find_frames(data: bytes) -> Iterator[_Frame]:
    """The frames up to the first that is damaged, without a table."""
    start = place = 0
    while place < len(data):
        decompressor = zstandard.ZstdDecompressor().decompressobj()
        try:
            block = decompressor.decompress(data[place : place + _MAX_BLOCK_BYTES])
        except zstandard.ZstdError:
            return
        if not decompressor.eof or not block:
            return
        compressed = len(data[place : place + _MAX_BLOCK_BYTES]) - len(decompressor.unused_data)
        yield _Frame(start, len(block), place, compressed)
        start, place = start + len(block), place + compressed
