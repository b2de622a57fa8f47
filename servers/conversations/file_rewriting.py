"""A conversation written anew: the same history, without what is damaged, outdated or repeated."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from servers.conversations.file_belonging import Belonging
from servers.conversations.file_conversation import ConversationFile
from servers.conversations.file_history import History
from servers.conversations.file_records import Draft, Record, make_draft, parse_line
from servers.conversations.file_sealed import SealedSegment
from servers.conversations.file_segment import lines_forward, read_line


class _Spot(NamedTuple):
    """Where a line begins."""

    part: int
    """The sealed segment, by its number; their count: the active file."""
    block: int
    start: int
    """In the block, or as an offset."""


class _Lines:
    """The lines of a conversation as they lie in its files, whatever part the names say it is."""

    def __init__(self, history: History, end: int) -> None:
        self._history = history
        self._end = end
        self._active = len(history.layout.sealed)
        self._segment: tuple[int, SealedSegment] | None = None
        self._block: tuple[int, int, bytes] | None = None

    def read_all(self) -> Iterator[tuple[_Spot, bytes]]:
        """Each that can be read, file by file."""
        for part in range(self._active):
            for block in range(len(self._load(part).frames)):
                start = 0
                for line in self._read_block(part, block).split(b"\n")[:-1]:
                    yield _Spot(part, block, start), line
                    start += len(line) + 1
        for offset, line in lines_forward(self._history, self._history.layout.base, self._end):
            yield _Spot(self._active, 0, offset), line

    def read(self, spot: _Spot) -> bytes:
        """The one that begins there."""
        if spot.part == self._active:
            return read_line(self._history, spot.start) or b""
        block = self._read_block(spot.part, spot.block)
        return block[spot.start : block.index(b"\n", spot.start)]

    def _load(self, part: int) -> SealedSegment:
        if self._segment is None or self._segment[0] != part:
            self._segment = (part, self._history.load_segment(part, anywhere=True))
        return self._segment[1]

    def _read_block(self, part: int, block: int) -> bytes:
        if self._block is None or self._block[:2] != (part, block):
            self._block = (part, block, self._load(part).read_block(block) or b"")
        return self._block[2]


@dataclass(slots=True)
class _Survey:
    """What is known of all records before the first is written."""

    highest: int = 0
    """Of their numbers."""
    is_ordered: bool = True
    """Whether each has a higher number than the one before."""
    annotations: dict[str, tuple[int, Mapping[str, Any]]] = field(
        default_factory=dict[str, tuple[int, Mapping[str, Any]]]
    )
    """By message the latest, and the number of the record that tells them."""

    def take(self, record: Record) -> None:
        seq, body = record.progress.seq, record.body
        self.is_ordered = self.is_ordered and seq > self.highest
        self.highest = max(self.highest, seq)
        if record.kind == "annotation" or (record.kind == "message" and body.get("annotations")):
            before, _ = self.annotations.get(body["message_id"], (0, {}))
            if seq >= before:
                self.annotations[body["message_id"]] = (seq, body["annotations"])


class _Rewriting:
    def __init__(self, opened: ConversationFile) -> None:
        assert opened.state is not None
        self.repeats = 0
        self.survey = _Survey()
        self._key = opened.key
        self._lines = _Lines(opened.history(), opened.state.end)
        for _, _, record in self._read_own():
            self.survey.take(record)

    def drafts(self) -> Iterator[Draft]:
        """The messages as they are now, oldest first."""
        for record in self._in_order():
            if record.kind == "message":
                body = {name: value for name, value in record.body.items() if name != "annotations"}
                _, annotations = self.survey.annotations.get(body["message_id"], (0, {}))
                if annotations:
                    body["annotations"] = annotations
                yield make_draft("message", body)

    def _read_own(self) -> Iterator[tuple[_Spot, bytes, Record]]:
        belonging = Belonging(self._key)
        for spot, line in self._lines.read_all():
            record = parse_line(0, line)
            if record is not None and belonging.take(record):
                yield spot, line, record

    def _in_order(self) -> Iterator[Record]:
        """All records, those once that are there twice, as where a part was copied in again."""
        if self.survey.is_ordered:
            yield from (record for _, _, record in self._read_own())
            return
        spots = sorted((record.progress.seq, spot) for spot, _, record in self._read_own())
        seq_before, with_same_seq = 0, set[bytes]()
        for seq, spot in spots:
            line = self._lines.read(spot)
            if seq != seq_before:
                seq_before, with_same_seq = seq, set[bytes]()
            if line in with_same_seq:
                self.repeats += 1
                continue
            with_same_seq.add(line)
            record = parse_line(0, line)
            if record is not None:
                yield record


def rewrite(opened: ConversationFile) -> int:
    """Put a new generation in the place of a conversation or tombstone; cursors become stale.

    Returns how many lines were left out because they are there once more.

    Raises:
        OSError: It could not be written; nothing has changed.
    """
    assert opened.state is not None
    rewriting = _Rewriting(opened)
    kind = "tombstone" if opened.state.deleted else "header"
    progress, highest = opened.progress, rewriting.survey.highest
    if progress.seq < highest:  # the last line is an older one that is there once more
        opened.state.progress = progress._replace(seq=highest, version=highest)
    opened.begin(kind, opened.facts, rewriting.drafts(), at=progress.updated)
    return rewriting.repeats
