"""Reading a whole history at once, in a quarter of the time its records one by one would take.

A block whose lines are all whole and follow each other needs no records: only the messages' bodies
are parsed, all in one call. Of a sealed block zstd's checksum says that for all lines at once.
"""

import gc
import threading
from collections.abc import Generator, Iterator
from contextlib import contextmanager, nullcontext

from pydantic_core import from_json

from servers.conversations.contract import Message
from servers.conversations.file_history import History
from servers.conversations.file_pages import Annotations, Page, PageEnd
from servers.conversations.file_records import (
    BodiesOfBlock,
    Record,
    find_bodies,
    parse_line,
    parse_lines,
    to_message,
)
from servers.conversations.file_sealed import SealedSegment
from servers.conversations.file_segment import pieces_forward
from servers.conversations.file_state import ConversationState

_LONG_BYTES = 1024 * 1024


class _Reader:
    """Takes blocks of lines, the oldest first."""

    def __init__(self, first_seq: int) -> None:
        self.messages: list[Message] = []
        self.damaged = 0
        self._next_seq = first_seq
        self._annotated: dict[str, tuple[int, Record]] = {}
        """By message id the latest annotation, and how many messages there were before it."""
        self._known: dict[str, Message] = {}
        """The first messages by id, and how many they are: for where records are out of order."""
        self._known_count = 0

    def take(self, block: bytes, *, is_proven: bool) -> None:
        """Take the next lines in. `is_proven`: they are known to be whole."""
        bodies = find_bodies(block, is_proven=is_proven)
        if bodies is not None and self._follow(bodies):
            taken = len(self.messages)
            try:
                self._take_bodies(bodies)
            except ValueError:  # nested deeper than pydantic's parser goes
                del self.messages[taken:]
            else:
                self._next_seq = bodies.last_seq + 1
                return
        for record in parse_lines([(0, line) for line in block[:-1].split(b"\n")]):
            if record is not None:
                if record.progress.seq < self._next_seq and self._is_repeated(record):
                    continue
                self.end_at(record.progress.seq)
                self._next_seq = max(self._next_seq, record.progress.seq + 1)
                self._take_record(record)

    def end_at(self, seq: int) -> None:
        """Count what is missing before a record with this number."""
        self.damaged += max(0, seq - self._next_seq)

    def annotate(self, annotated_later: Annotations) -> None:
        """Put the annotations on the messages before them."""
        if not self._annotated and not annotated_later:
            return
        for number, message in enumerate(self.messages):
            message_id = str(message.message_id)
            until, record = self._annotated.get(message_id, (0, None))
            later = annotated_later.get(message_id)
            if later is None and record is not None and number < until:
                later = record.body["annotations"]
            if later is not None:
                self.messages[number] = message.model_copy(update={"annotations": later or None})

    def _follow(self, bodies: BodiesOfBlock) -> bool:
        count = len(bodies.messages) + len(bodies.others)
        return (bodies.first_seq, bodies.last_seq) == (
            self._next_seq,
            self._next_seq + count - 1,
        )

    def _take_bodies(self, bodies: BodiesOfBlock) -> None:
        taken = len(self.messages)
        parsed = from_json(b"[%b]" % b",".join(bodies.messages), cache_strings="keys")
        if len(parsed) != len(bodies.messages):
            raise ValueError("a body is more than one value")
        self.messages += map(to_message, parsed)
        for before, line in bodies.others:
            record = parse_line(0, line)
            if record is not None:
                self._take_other(taken + before, record)

    def _is_repeated(self, record: Record) -> bool:
        """Whether a message's line is there once more, as where a part was copied in twice."""
        if record.kind != "message":
            return False
        for message in self.messages[self._known_count :]:
            self._known.setdefault(str(message.message_id), message)
        self._known_count = len(self.messages)
        return self._known.get(record.body["message_id"]) == to_message(record.body)

    def _take_record(self, record: Record) -> None:
        if record.kind == "message":
            self.messages.append(to_message(record.body))
        else:
            self._take_other(len(self.messages), record)

    def _take_other(self, number: int, record: Record) -> None:
        if record.kind == "annotation":
            self._annotated[record.body["message_id"]] = (number, record)


def read_history(
    history: History,
    state: ConversationState,
    before: PageEnd | None,
    annotated_later: Annotations | None,
) -> Page:
    """All messages, or all `before` a place; see `read_page`."""
    end = before or PageEnd(state.end, state.progress.seq + 1)
    reader = _Reader(state.generation)
    with _keeping_all() if end.offset > _LONG_BYTES else nullcontext():
        for block, is_proven in _blocks(history, end.offset):
            reader.take(block, is_proven=is_proven)
        reader.end_at(end.seq)
        reader.annotate(annotated_later or {})
    return Page(reader.messages, None, reader.damaged)


def _blocks(history: History, end: int) -> Iterator[tuple[bytes, bool]]:
    """What comes before `end` in blocks of lines, and whether these are known to be whole."""
    start = 0
    for number in range(len(history.layout.sealed)):
        segment = history.load_segment(number)
        if start + segment.size > end:
            break
        for stop, block in _blocks_of(segment, start):
            if block is not None:
                yield block, True
            else:
                yield from ((piece, False) for piece in pieces_forward(history, start, stop))
            start = stop
    yield from ((piece, False) for piece in pieces_forward(history, start, end))


def _blocks_of(segment: SealedSegment, start: int) -> Iterator[tuple[int, bytes | None]]:
    """Where each block ends of a segment that begins at `start`, and its lines if proven whole."""
    if segment.is_proven and segment.is_whole:
        for number, frame in enumerate(segment.frames):
            yield start + frame.start + frame.size, segment.read_block(number)
    else:
        yield start + segment.size, None


class _Keeping:
    """Who builds what is all kept, in any thread."""

    mutex = threading.Lock()
    count = 0
    was_enabled = False


@contextmanager
def _keeping_all() -> Generator[None]:
    """Without looking for garbage: there is none, and looking takes a ninth of the time."""
    with _Keeping.mutex:
        if not _Keeping.count:
            _Keeping.was_enabled = gc.isenabled()
            gc.disable()
        _Keeping.count += 1
    try:
        yield
    finally:
        with _Keeping.mutex:
            _Keeping.count -= 1
            if not _Keeping.count and _Keeping.was_enabled:
                gc.enable()
