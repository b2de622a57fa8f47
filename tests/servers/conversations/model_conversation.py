"""What the model holds of one conversation."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, NamedTuple

from servers.conversations.contract import Conversation, Message, to_timestamp
from servers.conversations.file_directory import key_of
from servers.conversations.store_errors import ConflictError

_NO_FACTS: Mapping[str, Any] = {"title": None, "tags": [], "metadata": {}, "expires_at": None}


@dataclass
class Attachment:
    """An attachment as far as it has come."""

    name: str
    mime_type: str
    total_size: int | None
    data: bytes = b""

    @property
    def is_complete(self) -> bool:
        return self.total_size is None or len(self.data) == self.total_size


class Moment(NamedTuple):
    """When a message was stored, as far as its conversation tells; an import may say: long ago."""

    last_updated: str
    tie: str
    """The contract leaves open whose comes first of what was stored at one time."""
    number: int


@dataclass
class Held:
    """What is held under one owner and id; it stays when the conversation goes."""

    owner: str
    conversation_id: str
    version: int = 0
    """The greatest ever."""
    generation: int = 0
    exists: bool = False
    created_at: str = ""
    last_updated: str = ""
    facts: dict[str, Any] = field(default_factory=dict[str, Any])
    messages: list[Message] = field(default_factory=list[Message])
    stored_at: dict[str, Moment] = field(default_factory=dict[str, Moment])
    """Of each message."""
    sizes: dict[str, int] = field(default_factory=dict[str, int])
    """Of each message as it was stored: what is annotated later does not count."""
    attachments: dict[str, Attachment] = field(default_factory=dict[str, Attachment])

    @property
    def lives(self) -> bool:
        """Whether it is there for a caller."""
        expires_at = self.facts.get("expires_at")
        return self.exists and (expires_at is None or expires_at > to_timestamp(datetime.now(UTC)))

    @property
    def current_version(self) -> int:
        return self.version if self.lives else 0

    def begin(self) -> None:
        """Become a new conversation, if it isn't one."""
        if not self.lives:
            self.exists, self.created_at, self.facts = True, "", dict(_NO_FACTS)
            self.messages, self.stored_at, self.sizes, self.attachments = [], {}, {}, {}
            self.generation += 1

    def by_id(self) -> dict[str, Message]:
        """The messages that a caller sees."""
        return {str(m.message_id): m for m in self.messages} if self.lives else {}

    def whole_attachments(self) -> list[str]:
        """The ids of those that can be read, in the order they were begun."""
        return [each for each, attachment in self.attachments.items() if attachment.is_complete]

    def check_version(self, expected: int | None) -> None:
        if expected is not None and expected != self.current_version:
            raise self.conflict("not the expected version")

    def conflict(self, text: str, name: str | None = None) -> ConflictError:
        return ConflictError(text, field=name, current_version=self.current_version)

    def to_conversation(self) -> Conversation:
        return Conversation(
            conversation_id=self.conversation_id,
            owner=self.owner,
            created_at=self.created_at,
            last_updated=self.last_updated,
            message_count=len(self.messages),
            version=self.version,
            **self.facts,
        )


Tie = Callable[[Held, int], str]
"""Where the message of this number comes among those that were stored at the same time."""


def by_conversation(held: Held, number: int) -> str:
    """As in files."""
    return key_of(held.owner, held.conversation_id)


def by_number(held: Held, number: int) -> str:
    """As in DynamoDB: those that begin a conversation first."""
    return f"{number:012d}{held.owner}\n{held.conversation_id}"
