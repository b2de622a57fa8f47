"""What of a conversation has to be the same at both ends, and the hash of it."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any

from servers.conversations.contract import Conversation

_FACTS = ("title", "tags", "metadata", "created_at", "expires_at")
_AS_IF_ABSENT: tuple[object, ...] = (None, False, {})
"""Values of a message's fields that the contract takes for none."""

Wire = Mapping[str, Any]
"""Messages and facts as JSON, as they crossed the wire: so nothing is lost between two ends."""


def facts_of(conversation: Conversation | Wire) -> dict[str, Any]:
    """The facts that move: what a conversation is called, not what was counted."""
    wire = conversation.model_dump() if isinstance(conversation, Conversation) else conversation
    return {name: wire.get(name) for name in _FACTS}


def hash_facts(conversation: Conversation | Wire) -> str:
    """Equal where they are."""
    return hashlib.sha256(_encode(facts_of(conversation))).hexdigest()


def content_of(message: Wire) -> dict[str, Any]:
    """All of a message but its annotations."""
    return {
        name: value
        for name, value in message.items()
        if name != "annotations" and value not in _AS_IF_ABSENT
    }


def annotations_of(message: Wire) -> dict[str, Any]:
    """The annotations, {} if there are none."""
    return message.get("annotations") or {}


class ContentHash:
    """SHA-256 over facts and messages, in order, annotations included."""

    def __init__(self, facts: Wire) -> None:
        self.count = 0
        self._sha256 = hashlib.sha256(_encode(facts_of(facts)))

    def add(self, messages: Iterable[Wire]) -> None:
        """The next messages."""
        for message in messages:
            self._sha256.update(b"\n")
            self._sha256.update(_encode([content_of(message), annotations_of(message)]))
            self.count += 1

    def hexdigest(self) -> str:
        """The hash of all so far."""
        return self._sha256.hexdigest()


def _encode(value: object) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode()
