"""What is kept in memory of a conversation's files: little, and checked on each use."""

import os
import sys
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from threading import Lock

from servers.conversations.contract import REPEAT_WINDOW_MESSAGES, to_timestamp
from servers.conversations.file_belonging import find_foreign
from servers.conversations.file_history import UNSEALED, History, Layout, Place
from servers.conversations.file_ids import OffsetTable, find_ids
from servers.conversations.file_layout import find_layout, read_beginning
from servers.conversations.file_records import (
    NOTHING,
    Facts,
    Progress,
    Record,
    count_lost,
    parse_facts,
    parse_line,
)
from servers.conversations.file_segment import (
    Tail,
    count_lines,
    lines_backward,
    lines_forward,
    mend_last_break,
    pieces_forward,
    read_line,
    read_range,
    read_tail,
)

_LAST_SECOND = 2**32
_STATE_BYTES = 2_000
MARK_BYTES = 19
"""The checksum of a line, and its break."""

_AHEAD_BYTES = 64 * 1024
_COUNTED_BYTES = 256 * 1024
"""Of an active file; to count the lines of a longer one would take longer than to open it."""
_RECENT_BYTES = 208
"""Of one remembered id, without its characters."""


@dataclass(slots=True)
class ConversationState:
    """A conversation up to the end of its last complete write."""

    first_line: bytes
    """Of the active file. Tells it from others: it holds a number that is never used again."""
    generation: int
    end: int
    """Logical, like all offsets: what is sealed counts."""
    progress: Progress
    facts: Facts | None
    """None: damaged, and no later copy in the file."""
    layout: Layout = UNSEALED
    deleted: bool = False
    settled: int = 0
    """Up to where it is known to be on disk."""
    noted: int = 0
    """Up to where the index was last brought on."""
    mark: bytes = b""
    """The bytes before `end`, none if unknown: they tell whether what was read was taken back."""
    recent: OrderedDict[str, int] | None = None
    """Offsets of the latest messages by id; loaded when something is to be written."""
    all_ids: OffsetTable | None = None
    """Of all messages; loaded when ids of any age are looked for again and again: by imports."""

    def grow(self, data: bytes) -> None:
        """Take in what was written at the end."""
        self.end += len(data)
        self.mark = data[-MARK_BYTES:]

    def note(self, record: Record) -> None:
        """Remember a new message."""
        if record.kind == "message":
            self.note_messages([(record.body["message_id"], record.offset)])

    def note_messages(self, found: Iterable[tuple[str, int]]) -> None:
        """The same for ids and offsets of several, the newest last."""
        recent, all_ids = self.recent, self.all_ids
        for message_id, offset in found:
            if all_ids is not None:
                all_ids.add(message_id, offset)
            if recent is not None:
                recent.pop(message_id, None)
                recent[message_id] = offset
                if len(recent) > REPEAT_WINDOW_MESSAGES:
                    recent.popitem(last=False)  # of a plain dictionary the first is slow to find

    def size(self) -> int:
        """Roughly, in bytes of memory."""
        recent = self.recent or {}
        sample = next(iter(recent), "")
        size = _STATE_BYTES + 2 * len(self.first_line)
        size += len(recent) * (_RECENT_BYTES + len(sample))
        return size + (self.all_ids.size() if self.all_ids else 0)


class StateCache:
    """States of the conversations used last."""

    def __init__(self, max_bytes: int = 32 * 1024 * 1024) -> None:
        self._max_bytes = max_bytes
        self._states: OrderedDict[str, tuple[ConversationState, int]] = OrderedDict()
        self._bytes = 0
        self._mutex = Lock()

    def take(self, key: str) -> ConversationState | None:
        """Take a state out, so that a job that fails leaves none behind."""
        with self._mutex:
            state, size = self._states.pop(key, (None, 0))
            self._bytes -= size
            return state

    def put(self, key: str, state: ConversationState) -> None:
        """Put a state (back) in as the one used last."""
        size = state.size()
        with self._mutex:
            _, replaced = self._states.pop(key, (None, 0))
            self._states[key] = (state, size)
            self._bytes += size - replaced
            while self._bytes > self._max_bytes and len(self._states) > 1:
                _, (_, dropped) = self._states.popitem(last=False)
                self._bytes -= dropped


def read_state(
    fd: int, size: int, known: ConversationState | None, place: Place
) -> ConversationState | None:
    """The state of a conversation, from what is `known` of it if that holds; None if it is empty.

    `fd` and `size` are the active file's.
    """
    if known is not None and size >= (start := known.end - known.layout.base):
        mark, more = known.mark, min(size - start, _AHEAD_BYTES)
        read = os.pread(fd, len(mark) + more, start - len(mark))
        if read.startswith(mark) and _begins(fd, known.first_line):
            if more:
                if not read.endswith(b"\n"):
                    mend_last_break(fd, size)
                    read = b""
                history = History(fd, known.layout, place, read=read, read_at=known.end - len(mark))
                _catch_up(history, place, known, known.layout.base + size)
            return known
    mend_last_break(fd, size)
    if known is not None and _follow_sealing(fd, size, known, place):
        return known
    return _read_from_scratch(fd, size, place)


def load_recent(history: History, state: ConversationState) -> Mapping[str, int]:
    """The latest messages' offsets by id, oldest first, read from the file when not yet known."""
    if state.recent is None:
        found: dict[str, int] = {}
        for offset, line in lines_backward(history, state.end):
            record = parse_line(offset, line)
            if record is not None and record.kind == "message":
                found.setdefault(record.body["message_id"], offset)
                if len(found) >= REPEAT_WINDOW_MESSAGES:
                    break
        state.recent = OrderedDict(reversed(found.items()))
    return state.recent


def load_all_ids(history: History, state: ConversationState) -> OffsetTable:
    """Where all messages lie, read from the file when not yet known."""
    if state.all_ids is None:
        state.all_ids = OffsetTable()
        for message_id, offset in find_ids(pieces_forward(history, 0, state.end), 0):
            state.all_ids.add(message_id, offset)
    return state.all_ids


def read_record(history: History, offset: int) -> Record | None:
    """The record that begins at `offset`, None if it is damaged."""
    line = read_line(history, offset)
    return None if line is None else parse_line(offset, line)


def _begins(fd: int, first_line: bytes) -> bool:
    return os.pread(fd, len(first_line) + 1, 0) == first_line + b"\n"


def _follow_sealing(fd: int, size: int, known: ConversationState, place: Place) -> bool:
    """Go on with a state of before somebody's sealing, if it was that; else it is as it was.

    All that is known by offset stays right, and the latest ids need not be read again.
    """
    beginning = read_beginning(fd)
    layout = beginning.layout if beginning else UNSEALED
    if beginning is None or layout.generation != known.generation or layout.base < known.end:
        return False
    history = History(fd, layout, place)
    if not known.mark or read_range(history, known.end - len(known.mark), known.end) != known.mark:
        return False
    known.first_line, known.layout = beginning.line, layout
    _catch_up(history, place, known, layout.base + size)
    return True


def _read_from_scratch(fd: int, size: int, place: Place) -> ConversationState | None:
    beginning = read_beginning(fd)
    if beginning is not None:
        first_line, layout = beginning.line, beginning.layout
    else:
        found = read_line(History(fd), 0)
        layout = find_layout(place, find_first_seq(fd, size))
        if found is None and not layout.sealed:
            return None
        first_line = found or b""
    history, size = History(fd, layout, place), layout.base + size
    tail = read_tail(history, layout.base, size)
    if tail.last is None and layout.sealed:
        sealed = read_tail(history, 0, layout.base)
        # An empty file held one at least: what told the layout.
        tail = Tail(tail.end, sealed.last, tail.lost + sealed.lost + (not tail.lost))
    if tail.last is None:
        return _make_up(history, first_line, beginning and beginning.record, tail)
    if beginning is not None:
        generation = beginning.generation
    else:
        generation = layout.generation or guess_generation(history, tail.end)
    facts = _read_facts(history, tail.last.progress.facts_at, tail.end)
    is_short = tail.end - layout.base <= _COUNTED_BYTES
    if is_short and not (
        beginning
        and count_lines(history, layout.base, tail.end)
        == _count_numbers(beginning.record.progress.seq, tail)
    ):
        facts = find_foreign(history, place.key, layout.base, tail.end) or facts
    return ConversationState(
        first_line=first_line,
        generation=generation,
        end=tail.end,
        progress=tail.last.progress.after_damage(tail.lost),
        facts=facts,
        layout=layout,
        deleted=tail.last.kind == "tombstone",
    )


def _make_up(
    history: History, first_line: bytes, first: Record | None, tail: Tail
) -> ConversationState:
    """A state for an active file in which nothing is readable.

    What stood here had small numbers; this one is above all of them, and the same for everybody
    who looks.
    """
    seq = min(max(int(os.fstat(history.fd).st_mtime), 1), _LAST_SECOND)
    at = to_timestamp(datetime.fromtimestamp(seq, UTC))
    layout = history.layout
    return ConversationState(
        first_line=first_line,
        generation=layout.generation or seq - tail.lost + 1,
        end=tail.end,
        progress=NOTHING.after_damage(seq)._replace(updated=at),
        facts=parse_facts(first),  # whole if the file was cut after it
        layout=layout,
    )


def _catch_up(history: History, place: Place, state: ConversationState, size: int) -> None:
    start, data = state.end, b""
    if size - start <= _AHEAD_BYTES:
        data = read_range(history, start, size)
    tail = _read_whole_tail(data, start) or read_tail(history, start, size)
    before = tail.last.progress if tail.last else state.progress
    state.end = tail.end
    if tail.end - MARK_BYTES >= state.layout.base:
        state.mark = read_range(history, tail.end - MARK_BYTES, tail.end)
    if before.facts_at != state.progress.facts_at:
        state.facts = _read_facts(history, before.facts_at, tail.end)
    if data and tail.last and data.count(b"\n") != _count_numbers(state.progress.seq + 1, tail):
        state.facts = find_foreign(history, place.key, start, tail.end) or state.facts
    state.progress = before.after_damage(tail.lost)
    if state.recent is not None or state.all_ids is not None:
        pieces = (
            [data] if tail.end == start + len(data) else pieces_forward(history, start, tail.end)
        )
        state.note_messages(find_ids(pieces, start))


def _count_numbers(first_seq: int, tail: Tail) -> int:
    """How many lines there are up to the end of a file that nobody else wrote to.

    Where another conversation's lines were put behind the right ones, there are more or fewer; a
    last record that says where its facts lie may then mean a place that holds the right ones' by
    chance.
    """
    return (tail.last.progress.seq if tail.last else 0) + tail.lost - first_seq + 1


def _read_whole_tail(data: bytes, start: int) -> Tail | None:
    """The tail of a file whose new bytes, all of which are given, end with a whole write."""
    if not data.endswith(b"\n"):
        return None
    last_at = data.rfind(b"\n", 0, -1) + 1
    last = parse_line(start + last_at, data[last_at:-1])
    return Tail(start + len(data), last, 0) if last and not last.left else None


def find_first_seq(fd: int, size: int) -> int:
    """The number of the first record of an active file that can be read; large if none can."""
    for offset, line in lines_forward(History(fd), 0, size):
        if (record := parse_line(offset, line)) is not None:
            return record.progress.seq
    return sys.maxsize


def guess_generation(history: History, end: int) -> int:
    """By the first record that can be read: it tells how many messages came before it."""
    lost = 0
    for offset, line in lines_forward(history, 0, end):
        record = parse_line(offset, line)
        if record is not None:
            messages = record.progress.message_count - (record.kind == "message")
            return record.progress.seq - max(lost, messages + 1)  # the header comes before them
        lost += count_lost(line)
    return 0


def _read_facts(history: History, facts_at: int, end: int) -> Facts | None:
    facts = parse_facts(read_record(history, facts_at))
    if facts is not None:
        return facts
    for offset, line in lines_backward(history, end):
        facts = parse_facts(parse_line(offset, line))
        if facts is not None:
            return facts
    return None
