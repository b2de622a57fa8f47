"""The line format of a conversation's file: numbered, checksummed JSON, one record a line."""

import json
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field
from pydantic_core import from_json

from servers.conversations.contract import Message, encode_json

Kind = Literal["header", "continuation", "metadata", "message", "annotation", "tombstone"]
"""`header` or `tombstone` begins a generation, and a file; `continuation` begins a file whose
earlier lines were sealed. Readers pass over kinds they don't know."""

_START_OF_RECORD = b'{"seq":'
_BODY = b',"body":'
_CHECKSUM = b',"crc":"'
_FIELDS = frozenset(Message.model_fields)
_BLANK = Message.model_construct(set(), role="assistant", content="")
_SUFFIX_BYTES = len(_CHECKSUM) + 8 + len(b'"}')


class Facts(BaseModel):
    """A conversation's own facts, whole: in the body of all kinds but messages and annotations."""

    model_config = ConfigDict(frozen=True)

    owner: str
    conversation_id: str
    created_at: str
    title: str | None = None
    tags: list[str] = Field(default_factory=list)
    metadata: dict[str, Any] = Field(default_factory=dict)
    expires_at: str | None = None


class Annotation(BaseModel):
    """All annotations of one message from here on: the body of `annotation`."""

    model_config = ConfigDict(frozen=True)

    message_id: str
    message_seq: int
    stored_at: str
    annotations: dict[str, Any]


class Progress(NamedTuple):
    """Where a conversation stands after a record. Each carries it, so the last one tells all."""

    seq: int
    """Of the record; grows over all generations of the file, and across a deletion."""
    version: int
    message_count: int
    """Messages so far in this generation."""
    facts_at: int
    """Offset of the latest record that holds the facts."""
    updated: str

    def after(self, kind: Kind, offset: int, at: str) -> "Progress":
        """Where it stands after a record of this kind, written at `offset` at the time `at`."""
        seq = self.seq + 1
        match kind:
            case "message":
                return Progress(seq, seq, self.message_count + 1, self.facts_at, at)
            case "metadata":
                return Progress(seq, seq, self.message_count, offset, self.updated)
            case "continuation":
                return Progress(seq, self.version, self.message_count, offset, self.updated)
            case "annotation":
                return Progress(seq, self.version, self.message_count, self.facts_at, self.updated)
            case "header" | "tombstone":
                return Progress(seq, seq, 0, offset, at)

    def after_damage(self, lost: int) -> "Progress":
        """Where it stands after `lost` unreadable records: their numbers are not used again."""
        if not lost:
            return self
        seq = self.seq + lost
        return Progress(seq, seq, self.message_count, self.facts_at, self.updated)


NOTHING = Progress(seq=0, version=0, message_count=0, facts_at=0, updated="")


class Draft(NamedTuple):
    """A record to be written."""

    kind: Kind
    body: dict[str, Any]
    encoded: bytes


def make_draft(kind: Kind, body: dict[str, Any]) -> Draft:
    """A record with this body.

    Raises:
        ValueError: The body is not JSON.
    """
    return Draft(kind, body, encode_json(body))


class Record(NamedTuple):
    """One line, read or written."""

    offset: int
    kind: str
    left: int
    """How many records of the same write follow: a write counts only when all of them are there."""
    progress: Progress
    body: dict[str, Any]
    body_bytes: int


def encode_batch(
    progress: Progress, offset: int, at: str, drafts: Sequence[Draft]
) -> tuple[bytes, list[Record]]:
    """The lines of one write that begins at `offset`."""
    lines: list[bytes] = []
    records: list[Record] = []
    for left, draft in zip(range(len(drafts) - 1, -1, -1), drafts, strict=True):
        progress = progress.after(draft.kind, offset, at)
        line = _encode_line(draft, left, progress)
        size = len(draft.encoded)
        records.append(Record(offset, draft.kind, left, progress, draft.body, size))
        lines.append(line)
        offset += len(line)
    return b"".join(lines), records


class Generation:
    """The records of a new generation, encoded one by one: its file may be larger than memory.

    It appears whole or not at all, so no record of it says that others must follow.
    """

    def __init__(self, progress: Progress, at: str, drafts: Iterable[Draft]) -> None:
        """`progress`: of the generation before; `at`: when this one was made."""
        self.progress = progress
        self.end = 0
        self._at = at
        self._drafts = drafts

    def encode(self) -> Iterator[tuple[bytes, Record]]:
        """Each line with its record; `progress` and `end` then tell of it."""
        for draft in self._drafts:
            self.progress = self.progress.after(draft.kind, self.end, self._at)
            line = _encode_line(draft, 0, self.progress)
            size = len(draft.encoded)
            yield line, Record(self.end, draft.kind, 0, self.progress, draft.body, size)
            self.end += len(line)


def _encode_line(draft: Draft, left: int, progress: Progress) -> bytes:
    front = (
        f'{{"seq":{progress.seq},"kind":"{draft.kind}","left":{left},"version":{progress.version},'
        f'"count":{progress.message_count},"facts_at":{progress.facts_at},"updated":"{progress.updated}"'
    )
    line = front.encode() + _BODY + draft.encoded
    return b'%b%b%08x"}\n' % (line, _CHECKSUM, zlib.crc32(line))


def parse_line(offset: int, line: bytes) -> Record | None:
    """The record of a line (without its line break), or None if the line is damaged."""
    checked = line[:-_SUFFIX_BYTES]
    if line[len(checked) :] != b'%b%08x"}' % (_CHECKSUM, zlib.crc32(checked)):
        return None
    try:
        fields = _parse_json(line)
        progress = Progress(
            fields["seq"],
            fields["version"],
            fields["count"],
            fields["facts_at"],
            fields["updated"],
        )
        body_bytes = len(checked) - checked.index(_BODY) - len(_BODY)
        return Record(offset, fields["kind"], fields["left"], progress, fields["body"], body_bytes)
    except (ValueError, KeyError, TypeError, RecursionError):
        return None


def _parse_json(line: bytes) -> dict[str, Any]:
    try:
        return from_json(line)  # three times as fast, but it knows 200 levels only
    except ValueError:
        return json.loads(line)


def to_message(body: Mapping[str, Any], annotations: Mapping[str, Any] | None = None) -> Message:
    """A stored message, checked when it was stored; with these annotations if they are given."""
    fields = {name: value for name, value in body.items() if name in _FIELDS}
    if annotations is not None:
        fields["annotations"] = annotations or None
    return _BLANK.model_copy(update=fields)  # half the time of `model_construct`


def count_lost(line: bytes) -> int:
    """How many records a damaged line stood for: more than one where a line break was hit."""
    return max(1, line.count(_START_OF_RECORD))
