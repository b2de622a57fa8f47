"""What a store is given and gives that is no answer of a tool."""

from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict


class ConversationUpdate(BaseModel):
    """Changes to a conversation's own facts. A field that is not set is left as it is.

    `None` clears `title` and `expires_at`; `tags` replaces; `metadata` merges by key, `None`
    removes a key.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    title: str | None = None
    tags: list[str] | None = None
    metadata: dict[str, Any] | None = None
    expires_at: str | None = None


@dataclass(frozen=True, slots=True)
class AttachmentPart:
    """Bytes of an attachment, and what it is."""

    name: str
    mime_type: str
    size: int
    """Of the whole attachment, in bytes."""
    offset: int
    """Of the first byte of `data`."""
    data: bytes
