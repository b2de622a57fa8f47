"""What is kept in memory of a conversation's file: little, and checked on each use."""

import os
from collections import OrderedDict
from dataclasses import dataclass
from datetime import UTC, datetime
from threading import Lock

from pydantic import ValidationError

from servers.conversations.contract import REPEAT_WINDOW_MESSAGES, to_timestamp
from servers.conversations.file_records import (
    NOTHING,
    Facts,
    Progress,
    Record,
    count_lost,
    parse_line,
)
from servers.conversations.file_segment import (
    lines_backward,
    lines_forward,
    read_line,
    read_range,
    read_tail,
)

_LAST_SECOND = 2**32
_STATE_BYTES = 2_000
_RECENT_BYTES = 160
"""Of one remembered id, without its characters."""


@dataclass(slots=True)
class ConversationState:
    """A conversation's file up to the end of its last complete write."""

    first_line: bytes
    """Tells generations apart: it holds a number that is never used again."""
    generation: int
    end: int
    progress: Progress
    facts: Facts | None
    """None: damaged, and no later copy in the file."""
    deleted: bool = False
    recent: dict[str, int] | None = None
    """Offsets of the latest messages by id; loaded when something is to be written."""

    def remember(self, message_id: str, offset: int) -> None:
        """Note a new message among the recent ones."""
        if self.recent is not None:
            self.recent.pop(message_id, None)
            self.recent[message_id] = offset
            if len(self.recent) > REPEAT_WINDOW_MESSAGES:
                del self.recent[next(iter(self.recent))]

    def size(self) -> int:
        """Roughly, in bytes of memory."""
        recent = self.recent or {}
        sample = next(iter(recent), "")
        return _STATE_BYTES + len(self.first_line) + len(recent) * (_RECENT_BYTES + len(sample))


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


def read_state(fd: int, size: int, known: ConversationState | None) -> ConversationState | None:
    """The state of a file, from what is `known` of it if that holds; None for an empty file."""
    if known is None or size < known.end or not _begins_with(fd, known.first_line):
        return _read_from_scratch(fd, size)
    if size > known.end:
        _catch_up(fd, known, size)
    return known


def load_recent(fd: int, state: ConversationState) -> dict[str, int]:
    """The latest messages' offsets by id, oldest first, read from the file when not yet known."""
    if state.recent is None:
        found: dict[str, int] = {}
        for offset, line in lines_backward(fd, state.end):
            record = parse_line(offset, line)
            if record is not None and record.kind == "message":
                found.setdefault(record.body["message_id"], offset)
                if len(found) >= REPEAT_WINDOW_MESSAGES:
                    break
        state.recent = dict(reversed(found.items()))
    return state.recent


def read_record(fd: int, offset: int) -> Record | None:
    """The record that begins at `offset`, None if it is damaged."""
    line = read_line(fd, offset)
    return None if line is None else parse_line(offset, line)


def _begins_with(fd: int, first_line: bytes) -> bool:
    return read_range(fd, 0, len(first_line) + 1) == first_line + b"\n"


def _read_from_scratch(fd: int, size: int) -> ConversationState | None:
    first_line = read_line(fd, 0)
    if first_line is None:
        return None
    first = parse_line(0, first_line)
    tail = read_tail(fd, 0, size)
    if tail.last is None:
        # Nothing is readable. What stood here had small numbers; this one is above all of them, and
        # the same for everybody who looks.
        seq = min(max(int(os.fstat(fd).st_mtime), 1), _LAST_SECOND)
        at = to_timestamp(datetime.fromtimestamp(seq, UTC))
        progress = NOTHING.after_damage(seq)._replace(updated=at)
        facts = parse_facts(first)  # whole if the file was cut after it
        return ConversationState(first_line, seq - tail.lost + 1, tail.end, progress, facts)
    generation = first.progress.seq if first else _guess_generation(fd, tail.end)
    progress = tail.last.progress.after_damage(tail.lost)
    facts = _read_facts(fd, progress.facts_at, tail.end)
    deleted = first is not None and first.kind == "tombstone"
    return ConversationState(first_line, generation, tail.end, progress, facts, deleted)


def _catch_up(fd: int, state: ConversationState, size: int) -> None:
    start, tail = state.end, read_tail(fd, state.end, size)
    before = tail.last.progress if tail.last else state.progress
    state.end = tail.end
    if before.facts_at != state.progress.facts_at:
        state.facts = _read_facts(fd, before.facts_at, tail.end)
    state.progress = before.after_damage(tail.lost)
    if state.recent is not None:
        for offset, line in lines_forward(fd, start, tail.end):
            record = parse_line(offset, line)
            if record is not None and record.kind == "message":
                state.remember(record.body["message_id"], offset)


def _guess_generation(fd: int, end: int) -> int:
    lost = 0
    for offset, line in lines_forward(fd, 0, end):
        record = parse_line(offset, line)
        if record is not None:
            return record.progress.seq - lost
        lost += count_lost(line)
    return 0


def parse_facts(record: Record | None) -> Facts | None:
    """The facts a record holds, None if it holds none."""
    if record is None or record.kind not in ("header", "metadata", "tombstone"):
        return None
    try:
        return Facts.model_validate(record.body)
    except ValidationError:
        return None


def _read_facts(fd: int, facts_at: int, end: int) -> Facts | None:
    facts = parse_facts(read_record(fd, facts_at))
    if facts is not None:
        return facts
    for offset, line in lines_backward(fd, end):
        facts = parse_facts(parse_line(offset, line))
        if facts is not None:
            return facts
    return None
