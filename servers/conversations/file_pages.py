"""Reading messages out of a conversation's file, the newest first."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from servers.conversations.contract import MAX_PAGE_BYTES, Message, encode_json
from servers.conversations.file_history import History
from servers.conversations.file_records import Record, parse_line, parse_lines, to_message
from servers.conversations.file_segment import lines_backward, lines_forward
from servers.conversations.file_state import ConversationState

_LINES_AT_ONCE = 256

Annotations = Mapping[str, Mapping[str, Any]]
"""All annotations of a message by its id."""


@dataclass(frozen=True, slots=True)
class PageEnd:
    """A place between records: a page ends before it."""

    offset: int
    seq: int
    """Of the record that begins there."""


@dataclass(slots=True)
class Page:
    """Messages in chronological order, what is older, and what could not be read among them."""

    messages: list[Message] = field(default_factory=list[Message])
    older: PageEnd | None = None
    damaged: int = 0


class _PageReader:
    """Takes records, newest first, until the page is full."""

    def __init__(self, limit: int, expected: int, annotated_later: Annotations) -> None:
        self.page = Page()
        self.expected = expected
        self._oldest: Record | None = None
        self._limit = limit
        self._room = MAX_PAGE_BYTES
        self._annotated_later = annotated_later
        self._annotations: dict[str, Mapping[str, Any]] = {}

    def take(self, record: Record) -> bool:
        """Take a record in; False if it belongs to an older page."""
        if record.progress.seq >= self.expected and self._is_repeated(record):
            return True
        if record.kind == "message" and not self._take_message(record):
            if self._oldest:
                self.page.older = PageEnd(self._oldest.offset, self._oldest.progress.seq)
            return False
        if record.kind == "annotation":
            annotations = record.body["annotations"]
            self._annotations.setdefault(record.body["message_id"], annotations)
        self.page.damaged += max(0, self.expected - record.progress.seq - 1)
        self.expected = min(self.expected, record.progress.seq)
        return True

    def _is_repeated(self, record: Record) -> bool:
        """Whether a message's line is there once more, as where a part was copied in twice."""
        if record.kind != "message":
            return False
        message = to_message(record.body, {})
        return any(
            known.message_id == message.message_id
            and known.model_copy(update={"annotations": None}) == message
            for known in self.page.messages
        )

    def _take_message(self, record: Record) -> bool:
        messages = self.page.messages
        if len(messages) == self._limit:
            return False
        message, size = self._annotated(record)
        self._room -= size
        if messages and self._room < 0:
            return False
        messages.append(message)
        self._oldest = record
        return True

    def _annotated(self, record: Record) -> tuple[Message, int]:
        body, message_id = record.body, record.body["message_id"]
        later = self._annotated_later.get(message_id)
        if later is None:
            later = self._annotations.get(message_id)
        if later is None:
            return to_message(body), record.body_bytes
        return to_message(body, later), record.body_bytes + len(encode_json(later))


def read_page(
    history: History,
    state: ConversationState,
    *,
    limit: int,
    before: PageEnd | None = None,
    annotated_later: Annotations | None = None,
) -> Page:
    """The latest messages, or those `before` a place.

    `annotated_later` is what the records after `before` tell of messages, or more.
    """
    end = before or PageEnd(state.end, state.progress.seq + 1)
    reader = _PageReader(limit, end.seq, annotated_later or {})
    # One more than asked for tells that there are older ones.
    for record in _records_backward(history, end.offset, min(limit + 1, _LINES_AT_ONCE)):
        if not reader.take(record):
            break
    else:
        reader.page.damaged += max(0, reader.expected - state.generation)
    reader.page.messages.reverse()
    return reader.page


def _records_backward(history: History, end: int, at_once: int) -> Iterator[Record]:
    lines = lines_backward(history, end)
    while chunk := list(islice(lines, at_once)):
        for record in parse_lines(chunk):
            if record is not None:
                yield record


def find_message(history: History, state: ConversationState, message_id: str) -> Record | None:
    """The latest message with this id, however old."""
    needle = encode_json(message_id)
    for offset, line in lines_backward(history, state.end):
        # Most lines are passed over unparsed: this is what makes a long history searchable.
        if needle in line:
            record = parse_line(offset, line)
            if record and record.kind == "message" and record.body["message_id"] == message_id:
                return record
    return None


def find_annotations(
    history: History, state: ConversationState, message: Record
) -> Mapping[str, Any]:
    """The annotations of a stored message as they are now."""
    message_id = message.body["message_id"]
    found: Mapping[str, Any] = message.body.get("annotations") or {}
    needle = encode_json(message_id)
    for offset, line in lines_forward(history, message.offset, state.end):
        if needle in line:
            record = parse_line(offset, line)
            if record and record.kind == "annotation" and record.body["message_id"] == message_id:
                found = record.body["annotations"]
    return found
