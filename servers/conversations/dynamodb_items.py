"""Items of the table: their keys, and what stands in them.

All items of a conversation share one partition key, made of owner and id:

M#<ordinal>            the log: every change is one item, put at the next ordinal
P#<ordinal>#<token>#<n>      parts of a log item that is too large for one
G#<token>#<n>          messages of a history that was written as a whole (rewritten, copied)
P#G#<token>#<n>#<m>    parts of one of these
A#<token>#<number>     the annotations of a message, where they were changed, or tell of a delivery
N#<life>               how many attachments there are, and which buckets hold bytes of them
F#<life>#<attachment>  an attachment; Q#<life>#<attachment>#<token>#<n> its bytes
C                      the entry in listings; it may lag behind the log by a minute
X                      the time at which it is to be removed
Z                      that something of an earlier history is still to be removed

Under a partition key with an owner and no id stands O: that there is such an owner.

The log is the truth. A writer puts an item at the ordinal after the last one it knows, on the
condition that nothing is there: who is late finds what was there first, in the refusal itself. So
a rewrite or a deletion, which is an item of the log as well, stops writers that don't know of it.
"""

import json
import secrets
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

import zstandard
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from servers.aws.dynamodb import Attributes
from servers.conversations.contract import encode_json, to_timestamp
from servers.conversations.figures import Figures

Kind = Literal["messages", "facts", "history", "tombstone"]
"""`history` begins a new history, with what it holds; `facts` changes title and the like."""

INDEX = "listing"
ENTRY, EXPIRY, LEFTOVERS, OWNER = "C", "X", "Z", "O"
LOG = "M#"
DELIVERIES = "!delivery#"
EXPIRIES = "!expires"
OWNERS = "!owners"
CLEANING = "!leftovers"
"""What stands in the place of an owner in the index; an owner's own entries begin with `@`."""

_PART_BYTES = 300_000
_WORTH_COMPRESSING_BYTES = 200
_LEVEL = 3
_PLAIN, _ZSTD = b"\0", b"\1"
_MAX_PAYLOAD_BYTES = 16 * 1024 * 1024
_DIGITS = 20
"""Of a moment: from the year to the microsecond."""
_LATEST = 10**_DIGITS - 1
_ID_CHARACTERS = 200


class DamagedError(Exception):
    """An item is not as we write it."""


class Header(BaseModel):
    """Where a conversation stands after an item of its log."""

    model_config = ConfigDict(frozen=True, populate_by_name=True, extra="ignore")

    kind: Kind = Field(validation_alias="k", serialization_alias="k")
    generation: int = Field(validation_alias="g", serialization_alias="g")
    """Ordinal of the item that began the history."""
    token: str = Field(validation_alias="t", serialization_alias="t")
    """Of the history: names its `G#` and `A#` items."""
    life: int = Field(validation_alias="l", serialization_alias="l")
    """Ordinal of the item that made the conversation: attachments belong to a life."""
    count: int = Field(validation_alias="n", serialization_alias="n")
    """Messages so far."""
    added: int = Field(default=0, validation_alias="c", serialization_alias="c")
    """How many of them are in this item."""
    whole: int = Field(default=0, validation_alias="b", serialization_alias="b")
    """How many `G#` items the history begins with."""
    parts: int = Field(default=0, validation_alias="p", serialization_alias="p")
    """In how many `P#` items the rest of this one lies."""
    updated: str = Field(validation_alias="u", serialization_alias="u")
    facts_at: int = Field(validation_alias="f", serialization_alias="f")
    """Ordinal of the item that holds the facts."""
    expires_at: str | None = Field(default=None, validation_alias="x", serialization_alias="x")
    written: str | None = Field(default=None, validation_alias="q", serialization_alias="q")
    """When it was written, where `updated` is a time before that."""
    writer: str = Field(validation_alias="w", serialization_alias="w")
    """Made anew for each write: tells a writer whether what stands there is its own."""
    figures: tuple[int | str | None, ...] = Field(
        default=(), validation_alias="y", serialization_alias="y"
    )

    def to_json(self) -> str:
        """As stored."""
        return self.model_dump_json(by_alias=True, exclude_defaults=True)


@dataclass(frozen=True, slots=True)
class LogItem:
    """An item of the log, or of the history that it begins with."""

    sk: str
    header: Header
    data: bytes
    """What it holds, encoded; empty if that lies in parts."""

    @property
    def first(self) -> int:
        """Number of its first message."""
        return self.header.count - self.header.added


def partition(owner: str, conversation_id: str) -> str:
    """The partition key of a conversation: an owner holds no line break."""
    return f"{owner}\n{conversation_id}"


def split_partition(pk: str) -> tuple[str, str]:
    """Owner and conversation id."""
    owner, _, conversation_id = pk.partition("\n")
    return owner, conversation_id


def log_key(ordinal: int) -> str:
    """Sort key of an item of the log."""
    return f"{LOG}{ordinal:016d}"


def ordinal_of(sk: str) -> int:
    """The ordinal of an item of the log."""
    return int(sk.removeprefix(LOG))


def first_ordinal() -> int:
    """Where the log of a conversation begins of which nothing is known.

    Above all that one of the same id may have had before and that was forgotten since: nobody
    writes a thousand times a second for years.
    """
    return int(time.time() * 1000)


def history_key(token: str, number: int) -> str:
    """Sort key of a part of a history."""
    return f"G#{token}#{number:08d}"


def annotation_key(token: str, number: int) -> str:
    """Sort key of a message's annotations."""
    return f"A#{token}#{number:012d}"


def part_key(sk: str, writer: str, number: int) -> str:
    """Sort key of a part of an item that is too large."""
    owner = sk.removeprefix(LOG)
    return f"P#{owner}#{writer}#{number:04d}"


def make_writer() -> str:
    """A name for one write."""
    return secrets.token_hex(6)


def make_token(ordinal: int) -> str:
    """A name for the history that is to begin at an ordinal: others may try the same."""
    return f"{ordinal:016d}-{secrets.token_hex(4)}"


def is_before(sk: str, ordinal: int, token: str) -> bool:
    """Whether nothing needs an item any more once the history `token` has begun at `ordinal`."""
    kind, _, rest = sk.partition("#")
    if kind == "P" and rest.startswith("G#"):
        kind, rest = "G", rest.removeprefix("G#")
    of = rest.partition("#")[0]
    if kind in ("G", "A"):
        return of != token and of <= f"{ordinal:016d}~"
    return kind in ("M", "P") and of < f"{ordinal:016d}"


def is_of_life_before(sk: str, life: int) -> bool:
    """Whether it belongs to an attachment of a life before."""
    kind, _, rest = sk.partition("#")
    return kind in ("F", "N", "Q") and rest.partition("#")[0] < f"{life:016d}"


def entry_place(updated: str, conversation_id: str) -> str:
    """Where an entry stands in its owner's listing: newest first, then by id."""
    digits = "".join(character for character in updated if character.isdigit())
    return f"{_LATEST - int(digits):0{_DIGITS}d}#{conversation_id[:_ID_CHARACTERS]}"


def entry_time(place: str) -> str:
    """The `last_updated` that an entry's place tells.

    Raises:
        ValueError: It is no place of an entry.
    """
    digits = f"{_LATEST - int(place[:_DIGITS]):0{_DIGITS}d}"
    date, time_of_day = digits[:8], digits[8:]
    moment = datetime.strptime(date + time_of_day, "%Y%m%d%H%M%S%f").replace(tzinfo=UTC)
    return to_timestamp(moment)


def to_log_item(item: Attributes) -> LogItem:
    """An item that was read.

    Raises:
        DamagedError: It is not as we write it.
    """
    try:
        header = Header.model_validate_json(str(item["h"]))
        data = item.get("d", b"")
        if not isinstance(data, bytes):
            raise DamagedError("its content is no binary attribute")
        return LogItem(str(item["sk"]), header, data)
    except (KeyError, ValidationError) as error:
        raise DamagedError(str(error)) from None


def encode_payload(messages: Sequence[bytes], facts: Mapping[str, Any] | None) -> bytes:
    """What an item holds: messages, as JSON each, and facts if there are some."""
    parts = [b'{"messages":[', b",".join(messages), b"]"]
    if facts is not None:
        parts += [b',"facts":', encode_json(facts)]
    data = b"".join([*parts, b"}"])
    if len(data) >= _WORTH_COMPRESSING_BYTES:
        packed = zstandard.ZstdCompressor(level=_LEVEL).compress(data)
        if len(packed) < len(data):
            return _ZSTD + packed
    return _PLAIN + data


def decode_payload(data: bytes) -> tuple[list[dict[str, Any]], dict[str, Any] | None]:
    """Messages and facts.

    Raises:
        DamagedError: It is not what `encode_payload` made.
    """
    form, rest = data[:1], data[1:]
    try:
        if form == _ZSTD:
            rest = zstandard.ZstdDecompressor().decompress(rest, max_output_size=_MAX_PAYLOAD_BYTES)
        elif form != _PLAIN:
            raise DamagedError("its content has an unknown form")
        held = json.loads(rest)
        return list(held["messages"]), held.get("facts")
    except (zstandard.ZstdError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise DamagedError(str(error)) from None


def split_parts(data: bytes) -> list[bytes]:
    """The pieces of what is too large for one item; none if it isn't."""
    if len(data) <= _PART_BYTES:
        return []
    return [data[at : at + _PART_BYTES] for at in range(0, len(data), _PART_BYTES)]


def group(sizes: Sequence[int], most: int, most_bytes: int) -> Iterator[slice]:
    """Neighbours that go into one item: at most so many, of so many bytes, one at least."""
    start = room = 0
    for number, size in enumerate(sizes):
        if number > start and (number - start == most or size > room):
            yield slice(start, number)
            start, room = number, 0
        room = (room if number > start else most_bytes) - size
    if start < len(sizes):
        yield slice(start, len(sizes))


def figures_of(header: Header) -> Figures:
    """The sums over a conversation's messages."""
    try:
        return Figures(*header.figures)  # pyright: ignore[reportArgumentType] - as they were stored
    except TypeError:
        return Figures()
