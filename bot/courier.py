"""Brings stored replies to their chats and keeps book: none is lost, none doubled unmarked."""

import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from types import MappingProxyType

import anyio
from anyio.to_thread import run_sync

from bot.deliveries import DeliveryFacts, StoredMessage
from bot.figures import Figures
from bot.post import NotNow, Outcome, Post, Sent, Uncertain, Undeliverable
from bot.rendering import Part, mark_possible_repeat, render_parts
from bot.store_patience import keep_trying
from bot.tool_files import ToolFiles
from client.conversations import ConversationCallError, RemoteConversationStore, ToolCaller
from client.spool.folder import Entry
from client.spool.spool import Spool
from client.store_absence import STORE_SECONDS

_EMPTY_REPLY = "(I have no words for an answer to this. Ask me again, or in another way.)"
_UNCERTAIN_SENDS = 3
_FIRST_PAUSE_SECONDS = 1.0

logger = logging.getLogger(__name__)


class Courier:
    """Delivers replies. All that it knows is kept behind MCP."""

    def __init__(
        self, hub: ToolCaller, post: Post, files: ToolFiles, spool: Spool, figures: Figures
    ) -> None:
        self._hub = hub
        self._post = post
        self._files = files
        self._spool = spool
        self._figures = figures

    async def keep(self, where: StoredMessage, facts: DeliveryFacts) -> None:
        """Keep the state of a delivery, in the spool while the store is away.

        When that can't be, it waits for the store. A message that was deleted, or that another
        program answered, has none.
        """
        store = RemoteConversationStore(self._hub, where.owner, timeout_seconds=STORE_SECONDS)
        self._figures.deliveries.labels(facts.state).inc()
        annotations = facts.to_annotations()
        entry = Entry(
            owner=where.owner,
            conversation_id=where.conversation_id,
            turn_id=where.turn_id,
            message_id=where.message_id,
            annotations=annotations,
        )

        async def annotate() -> None:
            await store.annotate_message(where.conversation_id, where.message_id, annotations)

        try:
            await keep_trying(
                lambda: self._spool.store(entry, annotate), "keep the state of a delivery"
            )
        except ConversationCallError as error:
            if error.code not in ("not_found", "conflict"):
                raise
            logger.info("The state of delivery of %s is not kept: %s", where.message_id, error)

    async def wait_for_store(self, where: StoredMessage, facts: DeliveryFacts) -> None:
        """Return when the store has taken this state: so it is back."""
        store = RemoteConversationStore(self._hub, where.owner, timeout_seconds=STORE_SECONDS)
        await keep_trying(
            lambda: store.annotate_message(
                where.conversation_id, where.message_id, facts.to_annotations()
            ),
            "go on with a turn",
        )

    async def deliver(
        self,
        where: StoredMessage,
        facts: DeliveryFacts,
        text: str,
        shown: Mapping[int, Part] = MappingProxyType({}),
        *,
        has_files: bool = True,
    ) -> None:
        """Send a reply, from the part on that hasn't arrived; what was shown of it is changed.

        Behind it go the files of its turn, if it may have some. Of parts that are sent, the first
        is marked if it may have arrived before: if the delivery was `attempting`, or a draft was
        on its way.
        """
        texts = await run_sync(render_parts, text) or [Part(_EMPTY_REPLY)]
        plain = sum(part.file is None for part in texts)
        drafts = facts.drafts[:plain]  # a text can't become a file
        first = len(facts.sent) if facts.state == "attempting" else None
        if first is None:
            facts = facts.moved("attempting")
            await self.keep(where, facts)
        number = -1
        async with aclosing(self._with_files(texts, where if has_files else None)) as parts:
            async for part in parts:
                number += 1
                if number < len(facts.sent):
                    continue
                if number < len(drafts):
                    outcome = await self._change(facts, drafts[number], part, shown)
                else:
                    was_begun = facts.drafting and len(facts.drafts) == number < plain
                    outcome = await self._send(facts, part, uncertain=was_begun or number == first)
                if not isinstance(outcome, Sent):
                    await self._leave(where, facts, outcome)
                    return
                facts = facts.moved("attempting", sent=(*facts.sent, outcome.message_id))
                if has_files or len(facts.sent) < len(texts):
                    await self.keep(where, facts)
        await self.keep(where, facts.moved("delivered"))
        for message_id in facts.drafts[plain:]:
            await self._post.remove(facts.chat_id, message_id)

    async def _with_files(
        self, texts: Sequence[Part], where: StoredMessage | None
    ) -> AsyncGenerator[Part]:
        """The texts of a reply; when they are sent, what the tools of its turn returned."""
        for part in texts:
            yield part
        if where is not None:
            for part in await self._files.find(where):
                yield part

    async def _leave(
        self,
        where: StoredMessage,
        facts: DeliveryFacts,
        outcome: Undeliverable | NotNow | Uncertain,
    ) -> None:
        """Keep of a delivery that ends before all has arrived what is left to do."""
        match outcome:
            case Undeliverable(reason):
                logger.warning("A reply can't be delivered (%s): %s", where.message_id, reason)
                await self.keep(where, facts.moved("undeliverable", reason=reason[:500]))
            case NotNow(reason):
                logger.warning("A reply waits for the next start (%s): %s", where, reason)
                await self.keep(where, facts.moved("pending"))
            case Uncertain(reason):
                logger.warning("Nobody knows if a reply arrived (%s): %s", where, reason)

    async def _change(
        self, facts: DeliveryFacts, message_id: int, part: Part, shown: Mapping[int, Part]
    ) -> Outcome:
        """Make a draft a part of the reply; it is sent anew where that can't be."""
        if shown.get(message_id) == part:
            return Sent(message_id)
        outcome = await self._until_certain(
            lambda: self._post.change(facts.chat_id, message_id, part)
        )
        if isinstance(outcome, Undeliverable):
            logger.info("A draft can't become the reply: %s", outcome.reason)
            return await self._send(facts, part, uncertain=False)
        return outcome

    async def _send(self, facts: DeliveryFacts, part: Part, *, uncertain: bool) -> Outcome:
        """Send a part; while it stays uncertain, a few times more, marked as a possible repeat."""
        marked = uncertain
        reply_to = None if facts.sent else facts.reply_to

        async def send() -> Outcome:
            nonlocal marked
            shown, marked = mark_possible_repeat(part) if marked else part, True
            return await self._post.send(facts.chat_id, shown, reply_to)

        return await self._until_certain(send)

    async def _until_certain(self, attempt: Callable[[], Awaitable[Outcome]]) -> Outcome:
        outcome: Outcome = Uncertain("the bot was stopped while sending")
        for number in range(_UNCERTAIN_SENDS):
            if number:
                await anyio.sleep(_FIRST_PAUSE_SECONDS * 3 ** (number - 1))
                # Attempts would be used up while nothing at all is answered.
                await self._post.wait_until_heard()
            outcome = await attempt()
            if not isinstance(outcome, Uncertain):
                break
        return outcome
