"""Short ways to make documents."""

from collections.abc import AsyncIterator, Sequence
from typing import Any, cast

from servers.conversations.contract import Message
from servers.conversations.contract_documents import (
    DOCUMENT_FORMAT,
    ConversationDocument,
    ExportFormat,
)
from servers.conversations.store import ConversationStore
from tests.servers.conversations.messages import ID, OWNER


def document(messages: Sequence[Message] = (), **facts: Any) -> ConversationDocument:
    """Of `ID`, unless the facts say otherwise."""
    return ConversationDocument.model_validate(
        {
            "format": DOCUMENT_FORMAT,
            "conversation": {"conversation_id": ID, **facts},
            "messages": list(messages),
        }
    )


async def export_pages(
    store: ConversationStore, conversation_id: str = ID, format: ExportFormat = "json"
) -> AsyncIterator[Any]:
    """The documents of all pages."""
    cursor = None
    for _ in range(1_000):
        page = await store.export_conversation(OWNER, conversation_id, format=format, cursor=cursor)
        yield page.document
        cursor = page.next_cursor
        if cursor is None:
            return
    raise AssertionError("the pages have no end")


async def export_messages(store: ConversationStore, conversation_id: str = ID) -> list[Message]:
    """The messages of all pages."""
    return [
        Message(**message)
        async for page in export_pages(store, conversation_id)
        for message in cast("list[dict[str, Any]]", page["messages"])
    ]


async def export_text(store: ConversationStore, conversation_id: str = ID) -> str:
    """All pages as Markdown."""
    return "".join([page async for page in export_pages(store, conversation_id, "markdown")])
