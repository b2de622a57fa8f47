"""Reads a stored history of any length in chronological order, a page at a time."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from agentic.cli.conversation_ids import render_id
from agentic.cli.failures import CommandError
from client.conversations import ConversationCallError, RemoteConversationStore
from servers.conversations.contract import MAX_LOAD_LIMIT, Message
from servers.conversations.contract_results import ConversationWithStats, LoadResult


async def load_facts(store: RemoteConversationStore, conversation_id: str) -> ConversationWithStats:
    """A conversation's own facts.

    Raises:
        CommandError: There is no such conversation.
    """
    try:
        return await store.get_conversation(conversation_id)
    except ConversationCallError as error:
        if error.code != "not_found":
            raise
        raise CommandError(
            f"There is no conversation {render_id(conversation_id)}. "
            "`agentic conversations list` shows all."
        ) from None


@dataclass(slots=True)
class StoredHistory:
    """The latest `limit` messages of a conversation when reading begins, or all of them.

    Pages come newest first. So one pass notes where each begins, and a second reads them from the
    oldest on: what is kept is a cursor for each page, and one page.
    """

    store: RemoteConversationStore
    conversation_id: str
    limit: int | None = None
    damaged: int = field(default=0, init=False)
    """Records that could not be read and are left out; known when all was read."""

    async def read(self) -> AsyncIterator[Message]:
        """The messages, the oldest first."""
        newest = await self._load(None)
        cursors: list[str] = []
        found, oldest = len(newest.messages), newest
        while oldest.next_cursor and (self.limit is None or found < self.limit):
            cursors.append(oldest.next_cursor)
            oldest = await self._load(oldest.next_cursor)
            found += len(oldest.messages)
        surplus = 0 if self.limit is None else max(0, found - self.limit)
        self.damaged = newest.damaged
        for cursor in reversed(cursors):
            page = await self._load(cursor)
            self.damaged += page.damaged
            for message in page.messages[surplus:]:
                yield message
            surplus = 0
        for message in newest.messages[surplus:]:
            yield message

    async def _load(self, before: str | None) -> LoadResult:
        return await self.store.load_conversation(
            self.conversation_id, limit=MAX_LOAD_LIMIT, before=before
        )
