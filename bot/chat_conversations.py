"""Which conversation a chat's messages belong to: commands begin new ones and change between them.

A chat begins with the conversation `telegram:<chat>`. Its metadata remembers each change:
`{"telegram_switches": [[sent_at, message_id, conversation_id], …]}`. A message belongs to the
conversation of the last change before it, so an update that comes twice, or late, goes where it
belongs. Conversations of all an owner's devices can be changed to.
"""

from collections.abc import Mapping, Sequence

from pydantic import TypeAdapter, ValidationError

from bot.arrivals import Origin
from bot.chat_records import ChatRecords, first_conversation
from servers.conversations.contract import encode_json

_KEY = "telegram_switches"
_OLD_KEY = "telegram_resets"
"""As versions before this one wrote it: `[sent_at, message_id]`, of what is named by them."""
_KEPT_BYTES = 8_000
"""Older changes matter to no message that can still come; metadata has a limit."""
_UNDO_SECONDS = 86_400
_RECENT = 8

Switch = tuple[int, int, str]
_switches = TypeAdapter(list[Switch])
_old_switches = TypeAdapter(list[tuple[int, int]])


class ChatConversations:
    """Finds the conversation of a message, and changes to others.

    Methods raise `HubError` and `ConversationCallError` when the store can't say, and may be
    called again.
    """

    def __init__(self, records: ChatRecords) -> None:
        self._records = records
        self._switches: dict[tuple[str, int], Sequence[Switch]] = {}
        """By owner and chat; as many as there are people who may talk."""

    async def find(self, owner: str, origin: Origin) -> str:
        """The id of the conversation that this message belongs to."""
        earlier = await self._earlier(owner, origin)
        return earlier[-1][2] if earlier else first_conversation(origin.chat_id)

    async def list_recent(self, owner: str, chat_id: int) -> list[str]:
        """The ids of those that the chat was in last, the latest first."""
        switches = await self._load(owner, chat_id)
        ids = [*(switch[2] for switch in reversed(switches)), first_conversation(chat_id)]
        return list(dict.fromkeys(ids))[:_RECENT]

    async def begin_new(self, owner: str, origin: Origin) -> bool:
        """Later messages than this one belong to a new conversation. False if they did already."""
        return await self.change(owner, origin, name_new(origin))

    async def change(self, owner: str, origin: Origin, conversation_id: str) -> bool:
        """Later messages than this one belong there. False if this message said so before."""
        switches = await self._load(owner, origin.chat_id)
        if any((sent_at, message_id) == _at(origin) for sent_at, message_id, _ in switches):
            return False
        longer = _fitting(sorted([*switches, (*_at(origin), conversation_id)]))
        # Where there is no conversation, the next message begins one anyway.
        is_needed = conversation_id != name_new(origin)
        if await self._records.merge(owner, origin.chat_id, {_KEY: longer}, may_create=is_needed):
            self._switches[owner, origin.chat_id] = longer
        return True

    async def undo(self, owner: str, origin: Origin) -> str | None:
        """Go back to where the chat was before its last change; None if that is over a day ago."""
        switches = await self._load(owner, origin.chat_id)
        if any((sent_at, message_id) == _at(origin) for sent_at, message_id, _ in switches):
            return await self.find(owner, origin)
        earlier = await self._earlier(owner, origin)
        if not earlier or origin.sent_at - earlier[-1][0] > _UNDO_SECONDS:
            return None
        before = earlier[-2][2] if len(earlier) > 1 else first_conversation(origin.chat_id)
        await self.change(owner, origin, before)
        return before

    async def _earlier(self, owner: str, origin: Origin) -> Sequence[Switch]:
        switches = await self._load(owner, origin.chat_id)
        return [switch for switch in switches if switch[:2] < _at(origin)]

    async def _load(self, owner: str, chat_id: int) -> Sequence[Switch]:
        if (owner, chat_id) not in self._switches:
            found = _read(chat_id, await self._records.load(owner, chat_id))
            self._switches[owner, chat_id] = sorted(found)
        return self._switches[owner, chat_id]


def name_new(origin: Origin) -> str:
    """The id of the conversation that a command begins."""
    return f"{first_conversation(origin.chat_id)}:{origin.sent_at}.{origin.message_id}"


def _read(chat_id: int, metadata: Mapping[str, object]) -> list[Switch]:
    try:
        old = _old_switches.validate_python(metadata.get(_OLD_KEY, []))
        new = _switches.validate_python(metadata.get(_KEY, []))
    except ValidationError:
        return []  # somebody else's hand: better the first conversation than none
    named = [
        (sent_at, message_id, f"{first_conversation(chat_id)}:{sent_at}.{message_id}")
        for sent_at, message_id in old
    ]
    return list({*named, *new})


def _fitting(switches: Sequence[Switch]) -> Sequence[Switch]:
    while len(switches) > 1 and len(encode_json(switches)) > _KEPT_BYTES:
        switches = switches[1:]
    return switches


def _at(origin: Origin) -> tuple[int, int]:
    return origin.sent_at, origin.message_id
