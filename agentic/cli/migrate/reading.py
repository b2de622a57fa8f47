"""Reads conversations of one end in the way a migration needs: all of them, from the oldest on."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Any, cast

from agentic.cli.migrate.content import Wire
from agentic.cli.unique_ids import UniqueIds
from client.attachments import RemoteAttachments, ToolsAndResources
from client.conversations import ConversationCallError, RemoteConversationStore
from servers.conversations.contract import MAX_LIST_LIMIT, Conversation
from servers.conversations.contract_results import AttachmentsResult, Delivery

UNFINISHED = ("unanswered", "pending", "attempting")
"""States of deliveries that somebody still acts on."""


@dataclass(frozen=True, slots=True)
class Page:
    """A page of an exported conversation."""

    document: dict[str, Any]

    @property
    def facts(self) -> dict[str, Any]:
        """The conversation's own, as of this page."""
        return self.document["conversation"]

    @property
    def messages(self) -> list[Wire]:
        """In order."""
        return self.document["messages"]


class Place:
    """One end: its conversations for any owner."""

    def __init__(self, hub: ToolsAndResources, server: str) -> None:
        self.name = server
        self._hub = hub

    def store(self, owner: str | None) -> RemoteConversationStore:
        """The verbs for one owner, or for none where they span owners."""
        return RemoteConversationStore(self._hub, owner, self.name)

    def attachments(self, owner: str) -> RemoteAttachments:
        """The attachments of one owner."""
        return RemoteAttachments(self._hub, owner, self.name)

    async def list_owners(self) -> AsyncGenerator[str]:
        """All who have conversations, each once."""
        seen: set[str] = set()
        cursor: str | None = None
        while True:
            page = await self.store(None).list_owners(cursor=cursor)
            for owner in page.owners:
                if owner not in seen:
                    seen.add(owner)
                    yield owner
            cursor = page.next_cursor
            if cursor is None:
                return

    async def list_conversations(self, owner: str) -> AsyncGenerator[list[Conversation]]:
        """An owner's, in pages."""
        cursor: str | None = None
        while True:
            page = await self.store(owner).list_conversations(limit=MAX_LIST_LIMIT, cursor=cursor)
            yield page.conversations
            cursor = page.next_cursor
            if cursor is None:
                return

    async def list_attachments(
        self, owner: str, conversation_id: str
    ) -> AsyncGenerator[AttachmentsResult]:
        """A conversation's, in pages."""
        cursor: str | None = None
        while True:
            page = await self.store(owner).list_attachments(conversation_id, cursor=cursor)
            yield page
            cursor = page.next_cursor
            if cursor is None:
                return

    async def read(self, owner: str, conversation_id: str) -> AsyncGenerator[Page]:
        """All of a conversation, in pages, each id once; none if there is no such conversation.

        Raises:
            ConversationCallError: It can't be read; `stale_cursor`: it was rewritten meanwhile.
        """
        cursor: str | None = None
        ids = UniqueIds()
        while True:
            try:
                page = await self.store(owner).export_conversation(conversation_id, cursor=cursor)
            except ConversationCallError as error:
                if error.code == "not_found" and cursor is None:
                    return
                raise
            document = cast("dict[str, Any]", page.document)
            for message in document["messages"]:
                message |= ids.find_changes(message["message_id"], message.get("turn_id"))
            yield Page(document)
            cursor = page.next_cursor
            if cursor is None:
                return

    async def count_lost(self, owner: str, conversation_id: str) -> int:
        """How many records of a conversation can't be read, and are left out of its pages."""
        lost = 0
        read = 0
        async for page in self.read(owner, conversation_id):
            read += len(page.messages)
            lost = max(0, page.facts["message_count"] - read)
        return lost

    async def list_unfinished(self) -> AsyncGenerator[Delivery]:
        """All deliveries that somebody still acts on, over all owners."""
        for state in UNFINISHED:
            cursor: str | None = None
            while True:
                page = await self.store(None).list_deliveries(state, cursor=cursor)
                for delivery in page.deliveries:
                    yield delivery
                cursor = page.next_cursor
                if cursor is None:
                    break
