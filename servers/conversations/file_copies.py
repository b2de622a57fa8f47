"""What is copied of a conversation into another: messages as they are now, read from a snapshot."""

from collections.abc import Awaitable, Iterator, Mapping
from contextlib import suppress
from typing import Any, NamedTuple, Protocol, TypeVar

from servers.conversations.file_history import History
from servers.conversations.file_ids import OffsetTable
from servers.conversations.file_records import Draft, Record, body_of, make_draft, parse_line
from servers.conversations.file_segment import lines_forward, read_line
from servers.conversations.file_snapshot import Snapshot
from servers.conversations.store_errors import UnavailableError

DELIVERY = "delivery"
"""The annotation that stays with the original: what is copied is not delivered once more."""

_T = TypeVar("_T")
_T_co = TypeVar("_T_co", covariant=True)
_ATTEMPTS = 3
_ANNOTATION = b'"kind":"annotation"'
_KIND_WITHIN = 64


class ChangedMeanwhileError(UnavailableError):
    """A snapshot can't be read any more, or its copy not be put where somebody wrote meanwhile."""

    def __init__(self) -> None:
        super().__init__(
            "a conversation was rewritten or deleted, more than once, while it was copied: try "
            "again; if that does not help, `agentic conversations verify` tells what is missing",
            retry_after_seconds=1.0,
        )


class _Attempt(Protocol[_T_co]):
    """Makes a copy; `locked`: nobody can write to its target meanwhile."""

    def __call__(self, *, locked: bool) -> Awaitable[_T_co]: ...


async def repeat_if_changed(attempt: _Attempt[_T]) -> _T:
    """What `attempt` gives; it is made anew when something changed, and locked in the end."""
    for _ in range(_ATTEMPTS - 1):
        with suppress(ChangedMeanwhileError):
            return await attempt(locked=False)
    return await attempt(locked=True)


class Stored(NamedTuple):
    """A message and its line."""

    record: Record
    line: bytes


class Source:
    """The messages of a snapshot, or those up to one. Belongs to one thread."""

    def __init__(
        self, snapshot: Snapshot, until_seq: int | None = None, *, keeps_delivery: bool = False
    ) -> None:
        self.snapshot = snapshot
        self._until_seq = snapshot.progress.seq if until_seq is None else until_seq
        self._keeps_delivery = keeps_delivery
        self._history = snapshot.history
        self._annotation_history = snapshot.history.again()
        self._annotated_at: OffsetTable | None = None

    def messages(self) -> Iterator[Stored]:
        """The messages in order; damaged ones are left out."""
        for offset, line in self._lines():
            record = parse_line(offset, line)
            if record is None:
                continue
            if record.progress.seq > self._until_seq:
                return
            if record.kind == "message":
                yield Stored(record, line)

    def read(self, offset: int) -> Stored:
        """The message that begins at `offset`, where one was read before."""
        stored = _read(self._history, offset)
        if stored is None:
            raise ChangedMeanwhileError
        return stored

    def annotations_of(self, message: Record) -> Mapping[str, Any]:
        """What a copy has of them."""
        annotations: Mapping[str, Any] = message.body.get("annotations") or {}
        for offset in self._find_annotations().candidates(message.progress.seq):
            later = _read(self._annotation_history, offset)
            if later is not None:
                annotations = later.record.body["annotations"]
        if self._keeps_delivery:
            return annotations
        return {name: value for name, value in annotations.items() if name != DELIVERY}

    def _find_annotations(self) -> OffsetTable:
        """Where the latest annotations lie of messages that were annotated after they were stored.

        Their places and not what they say: that can be 16 KiB each.
        """
        if self._annotated_at is None:
            self._annotated_at = OffsetTable()
            for offset, line in self._lines():
                if _ANNOTATION in line[:_KIND_WITHIN]:
                    record = parse_line(offset, line)
                    if record is not None and record.body["message_seq"] <= self._until_seq:
                        self._annotated_at.replace(record.body["message_seq"], offset)
        return self._annotated_at

    def _lines(self) -> Iterator[tuple[int, bytes]]:
        try:
            yield from lines_forward(self._history.again(), 0, self.snapshot.end)
        except FileNotFoundError:
            raise ChangedMeanwhileError from None


def _read(history: History, offset: int) -> Stored | None:
    try:
        line = read_line(history, offset)
    except FileNotFoundError:
        raise ChangedMeanwhileError from None
    record = parse_line(offset, line) if line else None
    return Stored(record, line) if record and line else None


def copy_message(
    stored: Stored, annotations: Mapping[str, Any], changes: Mapping[str, Any]
) -> Draft:
    """A message with these annotations and `changes`, encoded anew only if something differs."""
    body = stored.record.body
    if annotations == (body.get("annotations") or {}) and not changes:
        return Draft("message", body, body_of(stored.line))
    copied = {name: value for name, value in body.items() if name != "annotations"} | dict(changes)
    if annotations:
        copied["annotations"] = dict(annotations)
    return make_draft("message", copied)
