"""Stores what people write, and puts it into its chat's lane to be answered."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial

from bot import wording
from bot.answering import Answerer, Question
from bot.arrivals import AttachmentArrived, Origin
from bot.busy_notes import BusyNotes
from bot.deliveries import DeliveryFacts, StoredMessage
from bot.lanes import Lanes
from bot.store_patience import keep_trying
from client.conversations import ConversationCallError, RemoteConversationStore, ToolCaller
from client.coordinator.coordinator import Coordinator
from client.coordinator.request import TurnRequest
from client.spool.spool import Spool
from client.store_absence import STORE_SECONDS
from servers.conversations.contract import Message

Store = Callable[[str], Awaitable[bool]]
"""Stores a message under the id given, and says if it is new."""


class Prompts:
    """What people write, on its way to an answer. Taking the same in again has no effect."""

    def __init__(
        self,
        hub: ToolCaller,
        coordinator: Coordinator,
        *,
        answerer: Answerer,
        lanes: Lanes,
        notes: BusyNotes,
        spool: Spool,
    ) -> None:
        self._hub = hub
        self._coordinator = coordinator
        self._answerer = answerer
        self._lanes = lanes
        self._notes = notes
        self._spool = spool

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
        facts = DeliveryFacts(
            state="unanswered",
            channel="telegram",
            chat_id=origin.chat_id,
            reply_to=origin.message_id,
            person=origin.person,
        )
        request = TurnRequest(
            conversation_id=conversation_id,
            prompt=text,
            owner=owner,
            metadata=_metadata(origin) | ({"forwarded": True} if is_forwarded else {}),
            user_annotations=facts.to_annotations(),
        )

        async def store(message_id: str) -> bool:
            accepted = await self._coordinator.accept(replace(request, message_id=message_id))
            return not accepted.repeated

        message_id, is_new = await _store_once(origin, store)
        if is_new:
            where = StoredMessage(owner, conversation_id, message_id)
            question = Question(where, facts, quote=self._lanes.is_busy(origin.chat_id))
            job = partial(self._answerer.answer, question)
            self._notes.push(origin.chat_id, origin.message_id, job)

    async def take_attachment(
        self, owner: str, conversation_id: str, arrival: AttachmentArrived
    ) -> None:
        """Keep that something came which can't be understood, and what is said to it, as a turn."""
        origin = arrival.origin
        facts = DeliveryFacts(state="pending", channel="telegram", chat_id=origin.chat_id)

        async def store(message_id: str) -> bool:
            note = Message(
                message_id=message_id,
                role="user",
                content=wording.render_attachment_note(arrival.kind, arrival.caption),
                turn_id=message_id,
                metadata=_metadata(origin),
            )
            reply = Message(
                message_id=f"{message_id}/1",
                role="assistant",
                content=wording.render_attachment(arrival.kind, arrival.caption),
                turn_id=message_id,
                metadata={"final": True},
                annotations=facts.to_annotations(),
            )
            await self._spool.replay(owner, conversation_id)
            conversations = RemoteConversationStore(self._hub, owner, timeout_seconds=STORE_SECONDS)
            result = await conversations.append_messages(conversation_id, [note, reply])
            return result.appended > 0

        message_id, is_new = await _store_once(origin, store)
        if is_new:
            where = StoredMessage(owner, conversation_id, f"{message_id}/1")
            self._lanes.push(origin.chat_id, partial(self._answerer.deliver_stored, where))


async def _store_once(origin: Origin, store: Store) -> tuple[str, bool]:
    """Store a message, however long that takes; its id, and whether it may have to be handled.

    Another message may have this one's id (a different bot's, or this one before it was edited):
    then it gets a second one.
    """
    message_id = f"telegram:{origin.chat_id}:{origin.message_id}"
    try:
        return message_id, await _store_in_time(message_id, store)
    except ConversationCallError as error:
        if error.code != "conflict":
            raise
    second_id = f"{message_id}:{origin.sent_at}"
    return second_id, await _store_in_time(second_id, store)


async def _store_in_time(message_id: str, store: Store) -> bool:
    tries = 0

    async def attempt() -> bool:
        nonlocal tries
        tries += 1
        return await store(message_id)

    is_new = await keep_trying(attempt, "store a message")
    # A try that seemed to fail may have stored it: then that it is there already tells nothing.
    return is_new or tries > 1


def _metadata(origin: Origin) -> dict[str, object]:
    """When it was sent, so that messages of two bots with the same id are not taken for one."""
    return {"telegram": {"sent_at": origin.sent_at}}
