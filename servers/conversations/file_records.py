"""The line format of a conversation's file: numbered, checksummed JSON, one record a line."""

import json
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import from_json

from servers.conversations.contract import Message, encode_json

Kind = Literal["header", "continuation", "metadata", "message", "annotation", "tombstone"]
"""`header` or `tombstone` begins a generation, and a file. `continuation` tells the facts again:
where a file begins whose earlier lines were sealed, or because the header alone would tell them.
Readers pass over kinds they don't know."""

_START_OF_RECORD = b'{"seq":'
_MESSAGE_KIND = b',"kind":"message",'
_MESSAGE_KIND_WITHIN = 64
_BODY = b',"body":'
_CHECKSUM = b',"crc":"'
_ABSENT: Mapping[str, Any] = dict.fromkeys(Message.model_fields)
_SET_FIELDS = set(_ABSENT)
_FIELDS = len(_ABSENT)
_new = object.__new__
_put = object.__setattr__
_put_set_fields, _put_extra, _put_private = (
    vars(BaseModel)[slot].__set__
    for slot in ("__pydantic_fields_set__", "__pydantic_extra__", "__pydantic_private__")
)
_SUFFIX = _CHECKSUM + b'%08x"}'
_SUFFIX_BYTES = len(_SUFFIX % 0)


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
    """Records of a new generation, encoded one by one: its file may be larger than memory.

    It appears whole or not at all, so no record of it says that others must follow.
    """

    def __init__(
        self, progress: Progress, at: str, drafts: Iterable[Draft], *, end: int = 0
    ) -> None:
        """`progress` and `end`: of what comes before; `at`: when this was made."""
        self.progress = progress
        self.end = end
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
    return line + _SUFFIX % zlib.crc32(line) + b"\n"


def parse_line(offset: int, line: bytes) -> Record | None:
    """The record of a line (without its line break), or None if the line is damaged."""
    return parse_lines([(offset, line)])[0]


def parse_lines(lines: Sequence[tuple[int, bytes]]) -> list[Record | None]:
    """The same for many lines, in half the time."""
    whole = [line if is_whole(line) else b"null" for _, line in lines]
    return [
        fields and _to_record(offset, line, fields)
        for (offset, line), fields in zip(lines, _parse_json(whole), strict=True)
    ]


def is_whole(line: bytes) -> bool:
    """Whether a line is as it was written."""
    return line.endswith(_SUFFIX % zlib.crc32(line[:-_SUFFIX_BYTES]))


def body_of(line: bytes) -> bytes:
    """The body of a whole line's record, as JSON."""
    return line[line.index(_BODY) + len(_BODY) : -_SUFFIX_BYTES]


class BodiesOfBlock(NamedTuple):
    """What a block of whole lines holds."""

    messages: list[bytes]
    """The bodies of its messages, as JSON."""
    others: list[tuple[int, bytes]]
    """The lines of its other records, and how many messages come before each."""
    first_seq: int
    last_seq: int


def find_bodies(block: bytes, *, is_proven: bool) -> BodiesOfBlock | None:
    """The bodies in a block of lines, unparsed; None if a line is not as it was written.

    `is_proven`: that was made sure of already.
    """
    messages: list[bytes] = []
    others: list[tuple[int, bytes]] = []
    view, find, crc32 = memoryview(block), block.find, zlib.crc32
    start = last = 0
    while start < len(block):
        end = find(b"\n", start)
        body_end = end - _SUFFIX_BYTES
        if not is_proven and block[body_end:end] != _SUFFIX % crc32(view[start:body_end]):
            return None
        if find(_MESSAGE_KIND, start, start + _MESSAGE_KIND_WITHIN) > 0:
            messages.append(block[find(_BODY, start) + len(_BODY) : body_end])
        else:
            others.append((len(messages), block[start:end]))
        last, start = start, end + 1
    return BodiesOfBlock(messages, others, _seq_at(block, 0), _seq_at(block, last))


def _seq_at(block: bytes, start: int) -> int:
    return int(block[start + len(_START_OF_RECORD) : block.index(b",", start)])


def _parse_json(lines: Sequence[bytes]) -> list[Any]:
    # One call for all lines takes half the time; pydantic's parser knows 200 levels only.
    with suppress(ValueError):
        parsed = from_json(b"[%b]" % b",".join(lines), cache_strings="keys")
        if len(parsed) == len(lines):
            return parsed
    return [_parse_alone(line) for line in lines]


def _parse_alone(line: bytes) -> Any:  # noqa: ANN401 - JSON
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None


def parse_json(data: bytes) -> Any:  # noqa: ANN401 - JSON
    """What `encode_json` made of it, however deep: the fast parser knows 200 levels only.

    Raises:
        ValueError: It is no JSON.
    """
    try:
        return from_json(data)
    except ValueError:
        return json.loads(data)


def _to_record(offset: int, line: bytes, fields: Mapping[str, Any]) -> Record | None:
    try:
        progress = Progress(
            fields["seq"], fields["version"], fields["count"], fields["facts_at"], fields["updated"]
        )
        body_bytes = len(line) - _SUFFIX_BYTES - line.index(_BODY) - len(_BODY)
        return Record(offset, fields["kind"], fields["left"], progress, fields["body"], body_bytes)
    except (ValueError, KeyError, TypeError):
        return None


def may_tell_facts(line: bytes) -> bool:
    """Whether a line may hold facts: most need not be parsed to know that they don't."""
    return line.find(_MESSAGE_KIND, 0, _MESSAGE_KIND_WITHIN) < 0


def parse_facts(record: Record | None) -> Facts | None:
    """The facts a record holds, None if it holds none."""
    if record is None or record.kind not in ("header", "continuation", "metadata", "tombstone"):
        return None
    try:
        return Facts.model_validate(record.body)
    except ValidationError:
        return None


def to_message(body: Mapping[str, Any], annotations: Mapping[str, Any] | None = None) -> Message:
    """A stored message, checked when it was stored; with these annotations if they are given."""
    # What `model_construct` does, in a sixth of its time: long histories are made of this.
    message = _new(Message)
    fields = {**_ABSENT, **body}
    if len(fields) > _FIELDS:  # a newer program stored it
        for name in fields.keys() - _SET_FIELDS:
            del fields[name]
    if annotations is not None:
        fields["annotations"] = annotations or None
    _put(message, "__dict__", fields)
    _put_set_fields(message, _SET_FIELDS)
    _put_extra(message, None)
    _put_private(message, None)
    return message


def count_lost(line: bytes) -> int:
    """How many records a damaged line stood for: more than one where a line break was hit."""
    return max(1, line.count(_START_OF_RECORD))
