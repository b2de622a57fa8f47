"""Which conversation a chat's messages belong to: `/reset` begins a new one, the old one is kept.

A chat begins with the conversation `telegram:<chat>`. Its metadata remembers when `/reset` was
sent: `{"telegram_resets": [[sent_at, message_id], …]}`. A message belongs to the conversation of
the last reset before it, `telegram:<chat>:<sent_at>.<message_id>`. So an update that comes twice,
or late, goes where it belongs.
"""

from collections.abc import Sequence

from pydantic import TypeAdapter, ValidationError

from bot.arrivals import Origin
from client.conversations import ConversationCallError, RemoteConversationStore, ToolCaller

_KEY = "telegram_resets"
_KEPT_RESETS = 200
"""Older ones matter to no message that can still come; metadata has a limit."""

Reset = tuple[int, int]
_resets = TypeAdapter(list[Reset])


class ChatConversations:
    """Finds the conversation of a message, and begins new ones.

    Methods raise `HubError` and `ConversationCallError` when the store can't say, and may be
    called again.
    """

    def __init__(self, hub: ToolCaller) -> None:
        self._hub = hub
        self._resets: dict[tuple[str, int], Sequence[Reset]] = {}
        """By owner and chat; as many as there are people who may talk."""

    async def find(self, owner: str, origin: Origin) -> str:
        """The id of the conversation that this message belongs to."""
        earlier = [
            reset for reset in await self._load(owner, origin.chat_id) if reset < _at(origin)
        ]
        first = f"telegram:{origin.chat_id}"
        return f"{first}:{earlier[-1][0]}.{earlier[-1][1]}" if earlier else first

    async def begin_new(self, owner: str, origin: Origin) -> bool:
        """Later messages than this one belong to a new conversation. False if they did already."""
        resets = await self._load(owner, origin.chat_id)
        if _at(origin) in resets:
            return False
        longer = sorted([*resets, _at(origin)])[-_KEPT_RESETS:]
        store = RemoteConversationStore(self._hub, owner)
        try:
            await store.update_conversation(f"telegram:{origin.chat_id}", metadata={_KEY: longer})
        except ConversationCallError as error:
            if error.code != "not_found":
                raise
            longer = []  # there is no conversation, so the next message begins one anyway
        self._resets[owner, origin.chat_id] = longer
        return True

    async def _load(self, owner: str, chat_id: int) -> Sequence[Reset]:
        if (owner, chat_id) not in self._resets:
            store = RemoteConversationStore(self._hub, owner)
            try:
                conversation = await store.get_conversation(f"telegram:{chat_id}")
                found = _resets.validate_python(conversation.metadata.get(_KEY, []))
            except ConversationCallError as error:
                if error.code != "not_found":
                    raise
                found = []
            except ValidationError:
                found = []  # somebody else's hand: better the first conversation than none
            self._resets[owner, chat_id] = sorted(found)
        return self._resets[owner, chat_id]


def _at(origin: Origin) -> Reset:
    return origin.sent_at, origin.message_id
