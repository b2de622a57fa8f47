"""Stores what people write, and has it answered in its chat's order."""

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from functools import partial

from bot import wording
from bot.answering import Answerer, Question
from bot.arrivals import AttachmentArrived, Origin
from bot.deliveries import DeliveryFacts, StoredMessage
from bot.lanes import Lanes
from bot.runs import Runs
from bot.store_patience import keep_trying
from client.conversations import ConversationCallError, RemoteConversationStore, ToolCaller
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
        facts = _unanswered(origin.chat_id, origin.message_id, origin.person)
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
            is_long = len(text.encode("utf-16-le")) // 2 > _CUT_UNITS
            self._runs.push(question, more_may_come=is_long)

    async def store_again(
        self,
        owner: str,
        conversation_id: str,
        origin: Origin,
        said: Sequence[Message],
        *,
        before: Sequence[str] = (),
    ) -> Question | None:
        """Store messages of a person anew, all or none, for one turn; what is to be answered.

        The last gets the id of `origin` unless it has one, those before it ids beside that.
        `before` are the ids of stored messages that belong to the same turn. None: they were stored
        before.
        """

        async def store(message_id: str) -> bool:
            result = await self._append(owner, conversation_id, compose(message_id))
            return result > 0

        def compose(base: str) -> list[Message]:
            last = len(said) - 1
            ids = [
                message.message_id or (base if number == last else f"{base}.{number}")
                for number, message in enumerate(said)
            ]
            return [
                message.model_copy(
                    update={
                        "message_id": ids[number],
                        "turn_id": ids[number],
                        "annotations": facts_of(ids, number).to_annotations(),
                    }
                )
                for number, message in enumerate(said)
            ]

        def facts_of(ids: Sequence[str], number: int) -> DeliveryFacts:
            is_last = number == len(ids) - 1
            facts = _unanswered(origin.chat_id, telegram_id(ids[-1]), origin.person)
            return facts.moved("unanswered", run=(*before, *ids[:-1])) if is_last else facts

        base, is_new = await _store_once(origin, store)
        if not is_new:
            return None
        ids = [message.message_id or "" for message in compose(base)]
        where = StoredMessage(owner, conversation_id, ids[-1])
        facts = facts_of(ids, len(ids) - 1)
        return Question(where, facts, quote=self._lanes.is_busy(origin.chat_id))

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
                metadata=_metadata(origin, album),
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
            return await self._append(owner, conversation_id, messages) > 0

        message_id, is_new = await _store_once(origin, store)
        if album is not None:
            self._albums[origin.chat_id, album] = None
            if len(self._albums) > _REMEMBERED:
                self._albums.popitem(last=False)
        if is_new and not is_said:
            where = StoredMessage(owner, conversation_id, f"{message_id}/1")
            self._lanes.push(origin.chat_id, partial(self._answerer.deliver_stored, where))

    async def _knows(self, owner: str, conversation_id: str, origin: Origin, album: str) -> bool:
        """Whether something else of an album is stored, be it by an earlier start."""
        if (origin.chat_id, album) in self._albums:
            return True
        store = RemoteConversationStore(self._hub, owner, timeout_seconds=STORE_SECONDS)
        page = await store.load_conversation(conversation_id, limit=_LOOKED_AT)
        return any(
            message.message_id != _first_id(origin)
            and (message.metadata or {}).get("album") == album
            for message in page.messages
        )

    async def _append(self, owner: str, conversation_id: str, messages: Sequence[Message]) -> int:
        """Store messages after what waits in the spool; how many are new."""
        await self._spool.replay(owner, conversation_id)
        store = RemoteConversationStore(self._hub, owner, timeout_seconds=STORE_SECONDS)
        return (await store.append_messages(conversation_id, messages)).appended


def telegram_id(message_id: str) -> int:
    """The id that Telegram gave to a stored message of a person (`telegram:<chat>:<id>…`)."""
    return int(message_id.split(":")[2])


async def _store_once(origin: Origin, store: Store) -> tuple[str, bool]:
    """Store a message, however long that takes; its id, and whether it may have to be handled.

    Another message may have this one's id (a different bot's, or this one before it was edited):
    then it gets a second one.
    """
    message_id = _first_id(origin)
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


def _first_id(origin: Origin) -> str:
    return f"telegram:{origin.chat_id}:{origin.message_id}"


def _unanswered(chat_id: int, message_id: int, person: str) -> DeliveryFacts:
    return DeliveryFacts(
        state="unanswered",
        channel="telegram",
        chat_id=chat_id,
        reply_to=message_id,
        person=person,
    )


def _metadata(origin: Origin, album: str | None = None) -> dict[str, object]:
    """When it was sent, so that messages of two bots with the same id are not taken for one."""
    facts: dict[str, object] = {"telegram": {"sent_at": origin.sent_at}}
    return facts if album is None else {**facts, "album": album}
