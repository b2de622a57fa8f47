"""Stores once more what a person wrote before: in other words, or to be answered again."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from bot.answering import Question
from bot.arrivals import Origin
from bot.deliveries import StoredMessage, load_message, parse_delivery
from bot.lanes import Lanes
from bot.prompt_storing import append, store_once, telegram_id, unanswered
from bot.store_patience import keep_trying
from client.conversations import RemoteConversationStore, ToolCaller
from client.coordinator.history import REPLACED
from client.spool.spool import Spool
from servers.conversations.contract import Message


class SaidAnew:
    """Doing the same again has no effect. The store is waited for."""

    def __init__(self, hub: ToolCaller, lanes: Lanes, spool: Spool) -> None:
        self._hub = hub
        self._lanes = lanes
        self._spool = spool

    async def store(
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

        def compose(base: str) -> list[Message]:
            last = len(said) - 1
            ids = [
                message.message_id or (base if number == last else f"{base}.{number}")
                for number, message in enumerate(said)
            ]
            facts = unanswered(origin.chat_id, telegram_id(ids[-1]), origin.person)
            leading = facts.moved("unanswered", run=(*before, *ids[:-1]))
            return [
                message.model_copy(
                    update={
                        "message_id": message_id,
                        "turn_id": message_id,
                        "annotations": (
                            leading if message_id == ids[-1] else facts
                        ).to_annotations(),
                    }
                )
                for message_id, message in zip(ids, said, strict=True)
            ]

        async def store(base: str) -> bool:
            return await append(self._hub, self._spool, owner, conversation_id, compose(base))

        base, novelty = await store_once(origin, store)
        last = compose(base)[-1]
        facts = parse_delivery(last.annotations)
        if novelty == "old" or facts is None:
            return None
        where = StoredMessage(owner, conversation_id, last.message_id or "")
        return Question(where, facts, quote=self._lanes.is_busy(origin.chat_id))

    async def reword(
        self, owner: str, waiting: Sequence[Question], origin: Origin, text: str
    ) -> Sequence[Question]:
        """Store `text` in place of the first of these, and the others anew behind it.

        After a crash in between, both are answered together.
        """
        old = [
            await keep_trying(partial(load_message, self._hub, each.where), "read what waits")
            for each in waiting
        ]
        known = [message for message in old if message is not None]
        if len(known) < len(waiting) or known[0].text() == text:
            return waiting
        wheres = [
            replace(each.where, message_id=f"{each.where.message_id}:{origin.sent_at}")
            for each in waiting
        ]
        new = [
            message.model_copy(
                update={
                    "message_id": where.message_id,
                    "turn_id": where.message_id,
                    "content": message.content if number else text,
                    "created_at": None,
                }
            )
            for number, (message, where) in enumerate(zip(known, wheres, strict=True))
        ]
        conversation_id = waiting[0].where.conversation_id
        await keep_trying(
            lambda: append(self._hub, self._spool, owner, conversation_id, new), "store a message"
        )
        store = RemoteConversationStore(self._hub, owner)
        for question, where in zip(waiting, wheres, strict=True):
            answered = question.facts.moved("answered").to_annotations()
            await keep_trying(
                partial(
                    store.annotate_message,
                    conversation_id,
                    question.where.message_id,
                    {REPLACED: where.message_id, **answered},
                ),
                "replace a message",
            )
        return [
            replace(question, where=where) for question, where in zip(waiting, wheres, strict=True)
        ]
