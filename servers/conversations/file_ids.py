"""Where records of a conversation lie, by a hash of what they are about."""

from array import array
from collections.abc import Iterable, Iterator

from servers.conversations.file_records import is_whole, parse_line

_FIRST_SLOTS = 1_024
_TAG = 2**32 - 1
_KIND = b'"kind":"message"'
_KIND_WITHIN = 64
_BODY = b'"body":'
_ID = _BODY + b'{"message_id":"'


class OffsetTable:
    """A hash table in two arrays, some two dozen bytes an entry: a tenth of a dictionary's."""

    def __init__(self) -> None:
        self._tags = array("I", bytes(4 * _FIRST_SLOTS))
        self._places = array("Q", bytes(8 * _FIRST_SLOTS))
        """Offset and one; 0 is an empty slot."""
        self._count = 0

    def size(self) -> int:
        """In bytes of memory."""
        return len(self._tags) * (self._tags.itemsize + self._places.itemsize)

    def add(self, key: str | int, offset: int) -> None:
        """Note a record about `key`, beside others about it."""
        if 3 * self._count >= 2 * len(self._tags):
            self._grow()
        self._put(hash(key) & _TAG, offset + 1)
        self._count += 1

    def replace(self, number: int, offset: int) -> None:
        """Note a record about a number below 2 to the 32nd, in the place of another about it."""
        for slot in self._find(number):
            self._places[slot] = offset + 1
            return
        self.add(number, offset)

    def candidates(self, key: str | int) -> Iterator[int]:
        """Offsets of records that may be about `key`, the one noted last not always first."""
        return (self._places[slot] - 1 for slot in self._find(key))

    def _find(self, key: str | int) -> Iterator[int]:
        tag = hash(key) & _TAG
        mask = len(self._tags) - 1
        slot = tag & mask
        while self._places[slot]:
            if self._tags[slot] == tag:
                yield slot
            slot = (slot + 1) & mask

    def _put(self, tag: int, place: int) -> None:
        mask = len(self._tags) - 1
        slot = tag & mask
        while self._places[slot]:
            slot = (slot + 1) & mask
        self._tags[slot], self._places[slot] = tag, place

    def _grow(self) -> None:
        tags, places = self._tags, self._places
        self._tags = array("I", bytes(2 * 4 * len(tags)))
        self._places = array("Q", bytes(2 * 8 * len(tags)))
        for tag, place in zip(tags, places, strict=True):
            if place:
                self._put(tag, place)


def find_ids(pieces: Iterable[bytes], offset: int) -> Iterator[tuple[str, int]]:
    """Id and offset of each message in pieces of complete lines, the first of which is at `offset`.

    Damaged lines are passed over.
    """
    for piece in pieces:
        start = 0
        for line in piece.split(b"\n"):
            if line.find(_KIND, 0, _KIND_WITHIN) > 0:
                found = _find_id(line)
                if found is not None:
                    yield found, offset + start
            start += len(line) + 1
        offset += len(piece)


def _find_id(line: bytes) -> str | None:
    """The message's id in a line, None if that is damaged. Many times as fast as to parse it."""
    at = line.find(b"{", 1) - len(_BODY)
    if at > 0 and line.startswith(_ID, at):
        at += len(_ID)
        quoted = line[at : line.find(b'"', at)]
        if b"\\" not in quoted:
            return quoted.decode() if is_whole(line) else None
    record = parse_line(0, line)
    return None if record is None else record.body["message_id"]
