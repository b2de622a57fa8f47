"""How what people write is stored: under ids that make taking it in again harmless."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Literal

from bot.arrivals import Origin
from bot.deliveries import DeliveryFacts
from bot.store_patience import keep_trying
from client.conversations import ConversationCallError, RemoteConversationStore, ToolCaller
from client.spool.spool import Spool
from client.store_absence import STORE_SECONDS
from servers.conversations.contract import Message

Store = Callable[[str], Awaitable[bool]]
"""Stores a message under the id given, and says if it is new."""


async def append(
    hub: ToolCaller,
    spool: Spool,
    owner: str,
    conversation_id: str,
    messages: Sequence[Message],
) -> bool:
    """Store messages after what waits in the spool; False: they were stored before.

    Raises:
        HubError, ConversationCallError: They were not, or nobody knows.
    """
    await spool.replay(owner, conversation_id)
    store = RemoteConversationStore(hub, owner, timeout_seconds=STORE_SECONDS)
    return (await store.append_messages(conversation_id, messages)).appended > 0


def telegram_id(message_id: str) -> int:
    """The id that Telegram gave to a stored message of a person (`telegram:<chat>:<id>…`)."""
    return int(message_id.split(":")[2])


Novelty = Literal["new", "maybe", "old"]
"""Whether a message was stored now: a try that seemed to fail may have done it, or an earlier one.
"""


async def store_once(origin: Origin, store: Store) -> tuple[str, Novelty]:
    """Store a message, however long that takes; its id, and whether it is new.

    Another message may have this one's id (a different bot's, or this one before it was edited):
    then it gets a second one.
    """
    message_id = first_id(origin)
    try:
        return message_id, await _store_in_time(message_id, store)
    except ConversationCallError as error:
        if error.code != "conflict":
            raise
    second_id = f"{message_id}:{origin.sent_at}"
    return second_id, await _store_in_time(second_id, store)


async def _store_in_time(message_id: str, store: Store) -> Novelty:
    tries = 0

    async def attempt() -> bool:
        nonlocal tries
        tries += 1
        return await store(message_id)

    if await keep_trying(attempt, "store a message"):
        return "new"
    return "maybe" if tries > 1 else "old"


def first_id(origin: Origin) -> str:
    """What a message's id is unless another message has it."""
    return f"telegram:{origin.chat_id}:{origin.message_id}"


def unanswered(chat_id: int, message_id: int, person: str) -> DeliveryFacts:
    """The facts of a message that waits for its answer."""
    return DeliveryFacts(
        state="unanswered",
        channel="telegram",
        chat_id=chat_id,
        reply_to=message_id,
        person=person,
    )


def describe(origin: Origin, album: str | None = None) -> dict[str, object]:
    """When it was sent, so that messages of two bots with the same id are not taken for one."""
    facts: dict[str, object] = {"telegram": {"sent_at": origin.sent_at}}
    return facts if album is None else {**facts, "album": album}
