"""What a file of conversations consists of: whole conversations, or one whose messages follow.

Understood are an array of conversations, an object with such an array under `conversations`, one
conversation as an object, our own document, and several of these one after the other.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, cast

from agentic.cli.imports.failures import BrokenFileError, UnreadablePieceError
from agentic.cli.imports.json_reader import JsonReader
from agentic.cli.imports.json_values import Decoded, count_values, decode

MAX_CONVERSATION_BYTES = 64 * 1024 * 1024
"""Of one that has to be held whole. Our own documents are read message by message."""
MAX_CONVERSATION_VALUES = 1_500_000
"""The same, of strings, numbers, objects and so on. Each may take hundreds of times its bytes; a
conversation of 20,000 messages has about 800,000."""
_MAX_MESSAGE_BYTES = 8 * 1024 * 1024
"""More than a message of 512 KiB can be, however it is written."""


@dataclass(frozen=True, slots=True)
class Whole:
    """One conversation with all its messages."""

    fields: dict[str, Any]
    cleaned: int = 0


@dataclass(frozen=True, slots=True)
class Begun:
    """The beginning of a document whose messages follow; an error stands for one of them.

    They end where the file breaks, too; then `read_items` says so.
    """

    fields: dict[str, Any]
    messages: Iterator[Decoded | UnreadablePieceError]


@dataclass(frozen=True, slots=True)
class Unreadable:
    """Something that can't be read."""

    reason: str


Item = Whole | Begun | Unreadable


@dataclass(slots=True)
class _Allowance:
    """How much is held of what belongs together, in one piece or in several."""

    max_bytes: int = MAX_CONVERSATION_BYTES
    _bytes: int = 0
    _values: int = 0

    def read_piece(self, reader: JsonReader, name: str = "") -> Decoded | UnreadablePieceError:
        """The next piece, unless with it, and its name, all would be too large."""
        before = reader.offset
        self._bytes += len(name)
        raw = reader.value(self.max_bytes - self._bytes)
        self._bytes += reader.offset - before
        if raw is None:
            return UnreadablePieceError(f"larger than {self.max_bytes // 1024**2} MiB")
        self._values += count_values(raw, MAX_CONVERSATION_VALUES - self._values)
        if self._values > MAX_CONVERSATION_VALUES:
            return UnreadablePieceError(f"of more than {MAX_CONVERSATION_VALUES:,} values")
        try:
            return decode(raw)
        except UnreadablePieceError as error:
            return error


def read_items(reader: JsonReader) -> Iterator[Item]:
    """What the text consists of, in order; the messages of `Begun` end when the next is asked for.

    Raises:
        BrokenFileError: From here on it can't be read.
    """
    while first := reader.peek():
        match first:
            case b"[":
                yield from _read_array(reader)
            case b"{":
                yield from _read_object(reader)
            case _:
                reader.refuse("it is no JSON array or object of conversations")


def _read_array(reader: JsonReader) -> Iterator[Item]:
    for _ in reader.elements():
        yield _read_whole(reader)


def _read_whole(reader: JsonReader) -> Item:
    decoded = _Allowance().read_piece(reader)
    if isinstance(decoded, UnreadablePieceError):
        return Unreadable(str(decoded))
    value = decoded.value
    if not isinstance(value, dict):
        return Unreadable("no JSON object")
    return Whole(cast("dict[str, Any]", value), decoded.cleaned)


def _read_object(reader: JsonReader) -> Iterator[Item]:
    gathered = _Gathered()
    for name in reader.members():
        if name == "conversations" and reader.peek() == b"[":
            gathered.is_container = True
            yield from _read_array(reader)
        elif name == "messages" and reader.peek() == b"[":
            gathered.is_container = True
            messages = _read_messages(reader)
            yield gathered.to_beginning(messages)
            for _ in messages:  # that nobody wanted
                pass
        else:
            gathered.add(name, reader)
    if not gathered.is_container:
        yield gathered.to_item()


@dataclass(slots=True)
class _Gathered:
    """The members of an object, as long as they can be held."""

    fields: dict[str, Any] = field(default_factory=dict[str, Any])
    is_container: bool = False
    """Of conversations or messages, which are told one by one."""
    _allowance: _Allowance = field(default_factory=_Allowance)
    _cleaned: int = 0
    _unreadable: str | None = None

    def add(self, name: str, reader: JsonReader) -> None:
        decoded = self._allowance.read_piece(reader, name)
        if isinstance(decoded, UnreadablePieceError):
            self._unreadable = str(decoded)
        else:
            self.fields[name] = decoded.value
            self._cleaned += decoded.cleaned

    def to_beginning(self, messages: Iterator[Decoded | UnreadablePieceError]) -> Item:
        if self._unreadable:
            return Unreadable(self._unreadable)
        return Begun(dict(self.fields), messages)

    def to_item(self) -> Item:
        if self._unreadable:
            return Unreadable(self._unreadable)
        return Whole(self.fields, self._cleaned)


def _read_messages(reader: JsonReader) -> Iterator[Decoded | UnreadablePieceError]:
    try:
        for _ in reader.elements():
            yield _Allowance(_MAX_MESSAGE_BYTES).read_piece(reader)
    except BrokenFileError:
        return  # what came before is whole; the reader says it again to whoever reads on
