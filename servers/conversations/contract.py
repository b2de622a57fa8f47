"""What crosses the wire between the conversation server and its clients.

Pydantic and the standard library only, so that any client can import it.
"""

import json
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Literal, Self, cast

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

MAX_ID_BYTES = 1_024
MAX_MESSAGE_ID_CHARACTERS = 256
MAX_MESSAGE_BYTES = 512 * 1024
"""As JSON, without id, time and annotations, so that a stored message can always be annotated."""
MAX_BATCH_MESSAGES = 1_000
MAX_BATCH_BYTES = 3 * 1024 * 1024
MAX_PAGE_BYTES = 512 * 1024
MAX_FACTS_BYTES = 16 * 1024
"""Of metadata and of annotations, each, as JSON."""
MAX_FACTS_CHANGES_BYTES = 64 * 1024
"""Of changes to them, which may remove many keys; what comes out of the merge counts."""
MAX_TITLE_CHARACTERS = 500
MAX_TAGS = 50
MAX_TAG_CHARACTERS = 64
MAX_OFFSET = 1_000_000_000
MAX_LOAD_LIMIT = 500
MAX_LIST_LIMIT = 1_000
MAX_MERGE_SOURCES = 100
MAX_MERGE_MESSAGES = 50_000
"""In all sources together: a merge sorts them."""
MAX_SEARCH_LIMIT = 100
MAX_QUERY_CHARACTERS = 1_000
MAX_QUERY_WORDS = 64
"""A Chinese, Japanese, Korean or Thai character counts as one."""
REPEAT_WINDOW_MESSAGES = 4_096
"""A repeated append is recognised at least among this many latest messages."""
RESOURCE_SCHEME = "conversation://"

Role = Literal["user", "assistant", "tool", "system"]

_RFC3339 = re.compile(
    r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]([01]\d|2[0-3]):[0-5]\d)", re.ASCII
)
_NOT_IN_SIZE = {"message_id", "created_at", "annotations"}
_ENCODER = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_STRINGS_OF_BLOCKS: Mapping[str, tuple[str, ...]] = {
    "text": ("text",),
    "image": ("data", "mimeType"),
    "audio": ("data", "mimeType"),
    "resource_link": ("uri", "name"),
    "tool_use": ("id", "name"),
}


class SizeError(ValueError):
    """A size limit is exceeded: reported as `too_large` where other wrong values are `invalid`."""


def to_timestamp(moment: datetime) -> str:
    """An aware moment as stored and sent: UTC, microseconds, `Z`; sorts as text."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def parse_timestamp(text: str) -> str:
    """RFC 3339 text with an offset in the form of `to_timestamp`, or ValueError saying why not."""
    if not _RFC3339.fullmatch(text):
        raise ValueError("must be an RFC 3339 time with an offset, such as 2026-01-31T09:30:00Z")
    try:
        return to_timestamp(datetime.fromisoformat(text.upper()))
    except OverflowError:
        raise ValueError("is not a time of the years 1 to 9999 in UTC") from None
    except ValueError:
        raise ValueError("is no such date or time (leap seconds are not known)") from None


def check_conversation_id(conversation_id: str) -> str:
    """Return `conversation_id` if it can be one: 1 to 1,024 bytes of UTF-8, no NUL.

    Raises:
        ValueError: It cannot.
    """
    try:
        size = len(conversation_id.encode("utf-8"))
    except UnicodeEncodeError:
        raise ValueError("must be valid Unicode (it holds a lone surrogate)") from None
    if not 1 <= size <= MAX_ID_BYTES:
        raise ValueError(f"has 1 to {MAX_ID_BYTES} bytes of UTF-8, this one has {size}")
    if "\0" in conversation_id:
        raise ValueError("holds no NUL character")
    return conversation_id


def encode_json(value: object) -> bytes:
    """`value` as compact UTF-8 JSON.

    Raises:
        ValueError: It is no JSON value (NaN, infinity), nests too deeply, or holds NUL or a lone
        surrogate.
    """
    try:
        data = _ENCODER.encode(value).encode("utf-8")
    except UnicodeEncodeError:
        raise ValueError("holds a lone surrogate, which is not valid Unicode: remove it") from None
    except RecursionError:
        raise ValueError("is nested too deeply") from None
    except TypeError:
        raise ValueError("is not a JSON value") from None
    except ValueError:
        raise ValueError("holds a number that JSON has not (NaN or infinite)") from None
    if b"\\u0000" in data and _holds_nul(value):
        raise ValueError("holds a NUL character: remove it")
    return data


def check_facts(facts: Mapping[str, Any], max_bytes: int = MAX_FACTS_BYTES) -> None:
    """Raise `SizeError` or `ValueError` if this can't be metadata, annotations or their changes."""
    size = len(encode_json(facts))
    if size > max_bytes:
        raise SizeError(f"has at most {max_bytes} bytes as JSON, this has {size}")


def _holds_nul(value: object) -> bool:
    if isinstance(value, str):
        return "\0" in value
    if isinstance(value, Mapping):
        pairs = cast("Mapping[str, object]", value).items()
        return any(_holds_nul(key) or _holds_nul(item) for key, item in pairs)
    if isinstance(value, list | tuple):
        return any(map(_holds_nul, cast("Sequence[object]", value)))
    return False


def _check_block(block: dict[str, Any]) -> None:
    kind = block.get("type")
    if not isinstance(kind, str) or not kind:
        raise ValueError("a content block needs a type, such as text")
    for field in _STRINGS_OF_BLOCKS.get(kind, ()):
        if not isinstance(block.get(field), str):
            raise ValueError(f"a block of type {kind} needs {field}, a string")  # noqa: TRY004 - for pydantic
    if kind == "tool_use" and not isinstance(block.get("input"), dict):
        raise ValueError("a block of type tool_use needs input, an object")


class Message(BaseModel):
    """One stored item of a conversation. Absent optional fields are left out on the wire."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    message_id: str | None = Field(
        default=None,
        description="Made by the writer, so that a repeated append is recognised; the server "
        "makes one if absent. 1 to 256 characters, no control characters.",
    )
    role: Role
    content: str | list[dict[str, Any]] = Field(
        description="A string, or content blocks in MCP's shapes: text, image, audio, "
        "resource_link, tool_use {id, name, input}; unknown types are kept as they came."
    )
    name: str | None = None
    thoughts: str | None = None
    tool_call_id: str | None = Field(
        default=None, description="On a tool's result: the id of its tool_use block."
    )
    is_error: bool | None = Field(
        default=None, strict=True, description="On a tool's result: whether it failed."
    )
    turn_id: str | None = Field(
        default=None, description="The message_id of the user message that began the turn."
    )
    metadata: dict[str, Any] | None = None
    annotations: dict[str, Any] | None = Field(
        default=None, description="Small facts that may change later (delivery, feedback)."
    )
    created_at: str | None = Field(
        default=None,
        description="RFC 3339 with an offset, kept in UTC; set by the store when absent.",
    )

    @field_validator("message_id")
    @classmethod
    def _check_message_id(cls, message_id: str | None) -> str | None:
        if message_id is None:
            return None
        if not 1 <= len(message_id) <= MAX_MESSAGE_ID_CHARACTERS:
            raise ValueError(f"has 1 to {MAX_MESSAGE_ID_CHARACTERS} characters")
        if _CONTROL.search(message_id):
            raise ValueError("holds no control characters")
        return message_id

    @field_validator("created_at")
    @classmethod
    def _normalise_time(cls, created_at: str | None) -> str | None:
        return None if created_at is None else parse_timestamp(created_at)

    @field_validator("content")
    @classmethod
    def _check_blocks(cls, content: str | list[dict[str, Any]]) -> str | list[dict[str, Any]]:
        if isinstance(content, list):
            for block in content:
                _check_block(block)
        return content

    @field_validator("metadata", "annotations")
    @classmethod
    def _check_size_of_facts(cls, facts: dict[str, Any] | None) -> dict[str, Any] | None:
        if facts is not None:
            check_facts(facts)
        return facts

    @model_validator(mode="after")
    def _check_whole(self) -> Self:
        if self.role in ("user", "system") and not self.content:
            raise ValueError(f"the content of a {self.role} message must not be empty")
        self.check_size()
        return self

    def check_size(self) -> None:
        """Raise `SizeError` if the message is larger than `MAX_MESSAGE_BYTES`."""
        wire = self.to_wire()
        try:
            size = len(encode_json(wire))  # all of it, of which less may count
        except ValueError as error:
            raise ValueError(f"the message {error}") from None
        if size > MAX_MESSAGE_BYTES:
            size = len(encode_json({k: wire[k] for k in wire.keys() - _NOT_IN_SIZE}))
        if size > MAX_MESSAGE_BYTES:
            raise SizeError(
                f"a message has at most {MAX_MESSAGE_BYTES} bytes as JSON, its id, time and "
                f"annotations not counted, this one has {size}"
            )

    def to_wire(self) -> dict[str, Any]:
        """The message as JSON, without what is absent. Null inside blocks and facts is kept."""
        return {name: value for name, value in self.__dict__.items() if value is not None}

    def content_key(self) -> str:
        """Equal for two messages exactly when the contract calls their content the same."""
        same = (self.role, self.content, self.name, self.thoughts, self.tool_call_id, self.turn_id)
        return json.dumps(
            [*same, bool(self.is_error), self.metadata or {}], sort_keys=True, separators=(",", ":")
        )

    def text(self) -> str:
        """What a person reads of the content: the string, or its text blocks, one a line."""
        if isinstance(self.content, str):
            return self.content
        return "\n".join(block["text"] for block in self.content if block["type"] == "text")


class Conversation(BaseModel):
    """A conversation's own facts, without its messages."""

    model_config = ConfigDict(frozen=True)

    conversation_id: str
    owner: str
    title: str | None = None
    tags: list[str] = Field(default_factory=list)
    metadata: dict[str, Any] = Field(default_factory=dict)
    created_at: str
    last_updated: str = Field(description="Time of the last stored message change.")
    message_count: int
    version: int = Field(description="Grows with every change; compare for equality only.")
    expires_at: str | None = None
