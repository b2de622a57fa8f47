"""The state of delivery of a message, as it is kept in `annotations.delivery` behind MCP.

A user message is `unanswered` from the moment it is stored until its reply is, then `answered`. A
reply is stored as `pending`, is `attempting` before its first part is sent, and ends as `delivered`
or `undeliverable`. When a turn fails, its user message takes a reply's way from `attempting` on,
with the sentence to send as `text`. Messages that one turn answers together are named in the facts
of the last of them before that begins, and are `answered` before it is. So after a crash at any
point the states say what is left to do, and only what was `attempting` may have been seen already.
What is shown of a reply while it grows is kept with its user message.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from client.conversations import RemoteConversationStore, ToolCaller
from servers.conversations.contract import Message

DeliveryState = Literal[
    "unanswered", "answered", "pending", "attempting", "delivered", "undeliverable"
]
_PAGE_MESSAGES = 100
_MAX_PAGES = 50


@dataclass(frozen=True, slots=True)
class StoredMessage:
    """Where a message is kept."""

    owner: str
    conversation_id: str
    message_id: str

    @property
    def turn_id(self) -> str:
        """Of a user message itself, else of the one that it answers (`<turn>/<number>`)."""
        turn_id, _, number = self.message_id.rpartition("/")
        return turn_id if turn_id and number.isdecimal() else self.message_id


class DeliveryFacts(BaseModel):
    """What is kept of a delivery."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    state: DeliveryState
    channel: Literal["telegram"]
    chat_id: int
    reply_to: int | None = None
    """The Telegram message that the reply quotes, or that a user message is."""
    person: str | None = None
    attempts: int = 0
    """How often a start of the bot found the message unanswered."""
    sent: tuple[int, ...] = ()
    """Telegram ids of the parts that have arrived."""
    drafts: tuple[int, ...] = ()
    """Telegram ids of what was shown of the reply while it grew: these become its parts."""
    drafting: bool = False
    """Whether one more of those was on its way: nobody knows if it arrived."""
    text: str | None = None
    """What is sent, when it is not the message's own content."""
    run: tuple[str, ...] = ()
    """Ids of the user messages before this one that its turn answers, too."""
    reason: str | None = None

    def to_annotations(self) -> dict[str, Any]:
        """For `annotate_message` and for a message's annotations."""
        return {"delivery": self.model_dump(mode="json", exclude_defaults=True)}

    def moved(self, state: DeliveryState, **changes: Any) -> "DeliveryFacts":  # noqa: ANN401 - fields
        """The same delivery in another state."""
        return self.model_copy(update={"state": state, **changes})


def parse_delivery(annotations: Mapping[str, Any] | None) -> DeliveryFacts | None:
    """The delivery that these annotations tell of, None if it is none of ours."""
    try:
        return DeliveryFacts.model_validate((annotations or {}).get("delivery"))
    except ValidationError:
        return None


async def load_turn(hub: ToolCaller, where: StoredMessage) -> list[Message]:
    """The messages of a message's turn, looked for among the latest 5,000, in their order.

    Raises:
        HubError, ConversationCallError: The store can't say.
    """
    store = RemoteConversationStore(hub, where.owner)
    turn: list[Message] = []
    cursor: str | None = None
    for _ in range(_MAX_PAGES):
        page = await store.load_conversation(
            where.conversation_id, limit=_PAGE_MESSAGES, before=cursor
        )
        turn[:0] = [m for m in page.messages if where.turn_id in (m.turn_id, m.message_id)]
        cursor = page.next_cursor
        if cursor is None or (turn and turn[0].message_id == where.turn_id):
            break
    return turn


async def load_message(hub: ToolCaller, where: StoredMessage) -> Message | None:
    """The stored message; None if it is not there.

    Raises:
        HubError, ConversationCallError: The store can't say.
    """
    turn = await load_turn(hub, where)
    return next((message for message in turn if message.message_id == where.message_id), None)


async def find_undelivered(store: RemoteConversationStore, chat_id: int) -> list[StoredMessage]:
    """What the store's owner was to get in a chat, and may not have, in no certain order.

    Raises:
        HubError, ConversationCallError: The store can't say.
    """
    assert store.owner is not None
    found: list[StoredMessage] = []
    for state in ("attempting", "pending"):
        page = await store.list_deliveries(state)
        for each in page.deliveries:
            facts = parse_delivery(each.annotations)
            if facts is not None and facts.chat_id == chat_id:
                found.append(StoredMessage(store.owner, each.conversation_id, each.message_id))
    return found
