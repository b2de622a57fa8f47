"""Stores what people write, and has it answered in its chat's order."""

from collections import OrderedDict
from dataclasses import replace
from functools import partial

from bot import wording
from bot.answering import Answerer, Question
from bot.arrivals import AttachmentArrived, Origin
from bot.deliveries import DeliveryFacts, StoredMessage, load_message, parse_delivery
from bot.lanes import Lanes
from bot.prompt_storing import append, describe, first_id, store_once, unanswered
from bot.runs import Runs
from bot.store_patience import keep_trying
from client.conversations import RemoteConversationStore, ToolCaller
from client.coordinator.coordinator import Coordinator
from client.coordinator.request import TurnRequest
from client.spool.spool import Spool
from client.store_absence import STORE_SECONDS
from servers.conversations.contract import Message

_CUT_UNITS = 2_048
"""Telegram's programs cut a long text in the second half of 4,096 UTF-16 units."""
_LOOKED_AT = 100
"""Of the latest messages."""
_REMEMBERED = 1_000
"""Albums."""


class Prompts:
    """What people write, on its way to an answer. Taking the same in again has no effect."""

    def __init__(
        self,
        hub: ToolCaller,
        coordinator: Coordinator,
        *,
        answerer: Answerer,
        lanes: Lanes,
        runs: Runs,
        spool: Spool,
    ) -> None:
        self._hub = hub
        self._coordinator = coordinator
        self._answerer = answerer
        self._lanes = lanes
        self._runs = runs
        self._spool = spool
        self._albums: OrderedDict[tuple[int, str], None] = OrderedDict()
        """Those of which something is stored, by chat."""

    async def take_text(
        self,
        owner: str,
        conversation_id: str,
        origin: Origin,
        text: str,
        *,
        is_forwarded: bool = False,
    ) -> None:
        """Store a message, however long that takes, and have it answered after those before it."""
        facts = unanswered(origin.chat_id, origin.message_id, origin.person)
        request = TurnRequest(
            conversation_id=conversation_id,
            prompt=text,
            owner=owner,
            metadata=describe(origin) | ({"forwarded": True} if is_forwarded else {}),
            user_annotations=facts.to_annotations(),
        )

        async def store(message_id: str) -> bool:
            accepted = await self._coordinator.accept(replace(request, message_id=message_id))
            return not accepted.repeated

        message_id, novelty = await store_once(origin, store)
        where = StoredMessage(owner, conversation_id, message_id)
        if novelty == "new" or (novelty == "maybe" and await self._waits(where)):
            question = Question(where, facts, quote=self._lanes.is_busy(origin.chat_id))
            is_long = len(text.encode("utf-16-le")) // 2 > _CUT_UNITS
            self._runs.push(question, more_may_come=is_long)

    async def _waits(self, where: StoredMessage) -> bool:
        """Whether a stored message is without an answer, and nobody is about to give one."""
        if self._runs.has(where):
            return False
        message = await keep_trying(partial(load_message, self._hub, where), "read a message")
        facts = parse_delivery(message.annotations if message else None)
        return facts is not None and facts.state == "unanswered"

    async def take_attachment(
        self, owner: str, conversation_id: str, arrival: AttachmentArrived
    ) -> None:
        """Keep that something came which can't be understood, and what is said to it, as a turn.

        Of an album that is said once, to what comes first of it.
        """
        origin, album = arrival.origin, arrival.album
        facts = DeliveryFacts(state="pending", channel="telegram", chat_id=origin.chat_id)
        is_said = album is not None and await keep_trying(
            partial(self._knows, owner, conversation_id, origin, album), "look for an album"
        )

        async def store(message_id: str) -> bool:
            note = Message(
                message_id=message_id,
                role="user",
                content=wording.render_attachment_note(arrival.kind, arrival.caption),
                turn_id=message_id,
                metadata=describe(origin, album),
            )
            reply = Message(
                message_id=f"{message_id}/1",
                role="assistant",
                content=wording.render_attachment(arrival.kind, arrival.caption)
                if album is None
                else wording.ALBUM,
                turn_id=message_id,
                metadata={"final": True},
                annotations=facts.to_annotations(),
            )
            messages = [note] if is_said else [note, reply]
            return await append(self._hub, self._spool, owner, conversation_id, messages)

        message_id, novelty = await store_once(origin, store)
        if album is not None:
            self._albums[origin.chat_id, album] = None
            if len(self._albums) > _REMEMBERED:
                self._albums.popitem(last=False)
        if novelty != "old" and not is_said:
            where = StoredMessage(owner, conversation_id, f"{message_id}/1")
            self._lanes.push(origin.chat_id, partial(self._answerer.deliver_stored, where))

    async def _knows(self, owner: str, conversation_id: str, origin: Origin, album: str) -> bool:
        """Whether something else of an album is stored, be it by an earlier start."""
        if (origin.chat_id, album) in self._albums:
            return True
        store = RemoteConversationStore(self._hub, owner, timeout_seconds=STORE_SECONDS)
        page = await store.load_conversation(conversation_id, limit=_LOOKED_AT)
        return any(
            message.message_id != first_id(origin)
            and (message.metadata or {}).get("album") == album
            for message in page.messages
        )
