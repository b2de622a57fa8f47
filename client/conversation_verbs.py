"""The verbs of a store that a conversation as an object needs."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from servers.conversations.contract import Message
from servers.conversations.contract_results import (
    AnnotateResult,
    AppendResult,
    DeleteResult,
    LoadResult,
    SaveResult,
)


class ConversationVerbs(Protocol):
    """What the manager needs of a store, as `RemoteConversationStore` has it."""

    async def load_conversation(
        self, conversation_id: str, *, limit: int = 50, before: str | None = None
    ) -> LoadResult:
        """The latest messages, a page."""
        ...

    async def append_messages(
        self,
        conversation_id: str,
        messages: Sequence[Message],
        *,
        expected_version: int | None = None,
    ) -> AppendResult:
        """Add messages."""
        ...

    async def save_conversation(
        self,
        conversation_id: str,
        messages: Sequence[Message],
        *,
        expected_version: int | None = None,
    ) -> SaveResult:
        """Make the history exactly this."""
        ...

    async def annotate_message(
        self, conversation_id: str, message_id: str, annotations: Mapping[str, Any]
    ) -> AnnotateResult:
        """Merge annotations by key."""
        ...

    async def delete_conversation(self, conversation_id: str) -> DeleteResult:
        """Remove it."""
        ...
