"""A conversation as it was found in a file, in our own shapes, whatever wrote the file."""

import hashlib
import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from servers.conversations.contract import (
    MAX_ID_BYTES,
    MAX_MESSAGE_ID_CHARACTERS,
    MAX_TITLE_CHARACTERS,
    Message,
    parse_timestamp,
    to_timestamp,
)

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


@dataclass(frozen=True, slots=True)
class Found:
    """A conversation to be stored."""

    conversation_id: str
    title: str
    """What a person calls it."""
    facts: dict[str, Any]
    """Its `conversation` in a document, the id included."""
    messages: Iterable[Message]
    """A list where they are at hand; else they are read from the file as they are taken."""
    counted: int | None = None
    """How many messages its document says it has."""

    @property
    def count(self) -> int | None:
        """How many messages there are to be stored, where that is known before they are read."""
        return len(self.messages) if isinstance(self.messages, list) else self.counted


def to_message_id(wanted: str | None, *otherwise: object) -> str:
    """`wanted` if it can be an id, else one made of it, or of `otherwise` where there is none."""
    if not wanted:
        return f"made-{digest(*otherwise)}"
    cleaned = _CONTROL.sub("", wanted)
    if cleaned == wanted and len(wanted) <= MAX_MESSAGE_ID_CHARACTERS:
        return wanted
    return f"{cleaned[:100]}-{digest(wanted)}"


def to_conversation_id(prefix: str, wanted: str | None, *otherwise: object) -> str:
    """The id under which a foreign conversation is stored."""
    chosen = f"{prefix}:{wanted or 'made-' + digest(*otherwise)}"
    if len(chosen.encode()) <= MAX_ID_BYTES:
        return chosen
    return f"{prefix}:made-{digest(wanted)}"


def digest(*parts: object) -> str:
    """The same 32 characters for the same parts."""
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:32]


def to_title(text: str | None) -> str | None:
    """A title on one line, no longer than titles are."""
    return " ".join(_CONTROL.sub(" ", text or "").split())[:MAX_TITLE_CHARACTERS] or None


def from_seconds(seconds: float | None) -> str | None:
    """A time given in seconds since 1970, if it is one."""
    if seconds is None or not math.isfinite(seconds) or seconds <= 0:
        return None
    try:
        return to_timestamp(datetime.fromtimestamp(seconds, UTC))
    except (OverflowError, ValueError, OSError):
        return None


def from_text(text: str | None) -> str | None:
    """A time given as RFC 3339, if it is one."""
    try:
        return parse_timestamp(text) if text else None
    except ValueError:
        return None
