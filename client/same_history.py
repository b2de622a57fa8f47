"""Whether a store holds a conversation as another one does, and it can be gone on with there."""

from collections.abc import AsyncGenerator
from contextlib import aclosing

from client.conversation_verbs import ConversationVerbs
from servers.conversations.contract import MAX_LOAD_LIMIT, Message


class HistoryDiffersError(Exception):
    """The other store does not hold what this one holds; the text names the first difference."""


async def read_backwards(store: ConversationVerbs, conversation_id: str) -> AsyncGenerator[Message]:
    """All messages, the latest first, a page in memory."""
    before: str | None = None
    while True:
        page = await store.load_conversation(conversation_id, limit=MAX_LOAD_LIMIT, before=before)
        for message in reversed(page.messages):
            yield message
        before = page.next_cursor
        if before is None:
            return


async def check_holds(
    store: ConversationVerbs, conversation_id: str, present: AsyncGenerator[Message]
) -> None:
    """Compare the present history, latest first, with the store's, which may go on behind it.

    Raises:
        HistoryDiffersError: The store lacks a message, has another in its place, or begins
            earlier.
    """
    async with aclosing(present), aclosing(read_backwards(store, conversation_id)) as stored:
        latest = await anext(present, None)
        if latest is None:
            return
        other = await _find(latest, stored)
        _check_same(latest, other)
        async for message in present:
            _check_same(message, await anext(stored, None))
        if await anext(stored, None) is not None:
            raise HistoryDiffersError("it begins there with messages that are not here")


async def _find(wanted: Message, messages: AsyncGenerator[Message]) -> Message | None:
    async for message in messages:
        if message.message_id == wanted.message_id:
            return message
    return None


def _check_same(message: Message, other: Message | None) -> None:
    if other is None or other.message_id != message.message_id:
        raise HistoryDiffersError(f"message {message.message_id!r} is not there")
    if other.content_key() != message.content_key():
        raise HistoryDiffersError(f"message {message.message_id!r} is another one there")
