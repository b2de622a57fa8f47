"""Short ways to make messages and to say what is stored."""

from datetime import UTC, datetime, timedelta
from typing import Any

from servers.conversations.contract import Message, to_timestamp
from servers.conversations.store import ConversationStore

OWNER = "ada"
ID = "telegram:42"


def user(message_id: str | None = None, content: str = "hello", **fields: Any) -> Message:
    return Message(message_id=message_id, role="user", content=content, **fields)


def assistant(
    message_id: str | None = None, content: str | list[dict[str, Any]] = "hi", **fields: Any
) -> Message:
    return Message(message_id=message_id, role="assistant", content=content, **fields)


def users(count: int, start: int = 0, size: int = 5) -> list[Message]:
    return [user(f"m{n}", f"{n}:".ljust(size, "x")) for n in range(start, start + count)]


def in_seconds(seconds: float) -> str:
    return to_timestamp(datetime.now(UTC) + timedelta(seconds=seconds))


async def load_ids(
    store: ConversationStore, conversation_id: str = ID, owner: str = OWNER
) -> list[str | None]:
    loaded = await store.load_conversation(owner, conversation_id)
    return [message.message_id for message in loaded.messages]


async def load_by_pages(
    store: ConversationStore, limit: int, conversation_id: str = ID
) -> list[list[str | None]]:
    """The ids of each page, oldest page first."""
    pages: list[list[str | None]] = []
    before = None
    for _ in range(1_000):
        page = await store.load_conversation(OWNER, conversation_id, limit=limit, before=before)
        pages.insert(0, [message.message_id for message in page.messages])
        before = page.next_cursor
        if before is None:
            return pages
    raise AssertionError("the pages have no end")


async def list_ids(store: ConversationStore, owner: str = OWNER, **arguments: Any) -> list[str]:
    listed = await store.list_conversations(owner, **arguments)
    return [conversation.conversation_id for conversation in listed.conversations]
