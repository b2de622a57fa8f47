"""Short ways to make documents."""

from collections.abc import Sequence
from typing import Any

from servers.conversations.contract import Message
from servers.conversations.contract_documents import DOCUMENT_FORMAT, ConversationDocument
from tests.servers.conversations.messages import ID


def document(messages: Sequence[Message] = (), **facts: Any) -> ConversationDocument:
    """Of `ID`, unless the facts say otherwise."""
    return ConversationDocument.model_validate(
        {
            "format": DOCUMENT_FORMAT,
            "conversation": {"conversation_id": ID, **facts},
            "messages": list(messages),
        }
    )
