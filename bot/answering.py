"""Answers stored messages: a turn of the Coordinator each, its reply handed to the courier."""

import logging
import secrets
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import partial

import anyio

from bot import wording
from bot.absence import AbsenceNotices
from bot.chat_asker import ChatAsker
from bot.chat_models import ChatModels, UnusableModelError
from bot.courier import Courier
from bot.deliveries import DeliveryFacts, StoredMessage, load_message, parse_delivery
from bot.figures import Figures
from bot.live_reply import LiveReply
from bot.open_questions import OpenQuestions
from bot.post import Post
from bot.rendering import Button, Part
from bot.store_patience import keep_trying
from client.conversations import ToolCaller
from client.coordinator.coordinator import Coordinator
from client.coordinator.events import ToolFinished, TurnEvent, TurnFailed, TurnFinished
from client.coordinator.request import TurnRequest
from client.llm.protocol import TextDelta

STOP_DATA = "stop:"
"""Begins the data of a button that stops an answer; the message that is answered follows."""
_STORE_FAILURES = 3
_MAX_ATTEMPTS = 3
"""Starts of the bot. A message that was never finished in so many may be what stops it."""
_MAX_SENTENCE_CHARACTERS = 3_000

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Question:
    """A stored user message that waits for an answer."""

    where: StoredMessage
    facts: DeliveryFacts
    quote: bool
    """Whether the answer says which message it is for: others came between."""
    shown: Mapping[int, Part] = field(default_factory=dict[int, Part])
    """What Telegram shows of the answer already, by its ids of messages."""
    said: str = ""
    """What there was of the answer when it ended early, in Markdown."""
    used_tools: bool = False
    """Whether tools were used for it, which may have returned files."""


class Answerer:
    """Answers messages and finishes deliveries. Doing either again after a crash is safe."""

    def __init__(
        self,
        hub: ToolCaller,
        coordinator: Coordinator,
        *,
        courier: Courier,
        post: Post,
        notices: AbsenceNotices,
        figures: Figures,
        questions: OpenQuestions,
        models: ChatModels,
    ) -> None:
        self._hub = hub
        self._coordinator = coordinator
        self._courier = courier
        self._post = post
        self._notices = notices
        self._figures = figures
        self._questions = questions
        self._models = models
        self._running: dict[int, Question] = {}
        """What is being answered, by chat."""

    def stop(self, chat_id: int, message_id: int | None = None) -> bool:
        """Stop what is being answered in a chat, or only the answer to this message of the chat.

        False if that is not under way.
        """
        question = self._running.get(chat_id)
        if question is None or message_id not in (None, question.facts.reply_to):
            return False
        where = question.where
        return self._coordinator.stop(where.conversation_id, where.owner)

    async def answer(self, question: Question) -> None:
        """Answer a message; a turn that fails is told in one sentence.

        When the store is away the person is told, once. A reply that could not be stored waits in
        the spool and is delivered; a turn that has none is run again when the store is back.
        """
        failures = 0
        while True:
            outcome, question = await self._run_turn(question)
            if isinstance(outcome, TurnFinished):
                break
            failures += 1
            if outcome.code == "cancelled":
                await self.tell_stopped(question)
                return
            if outcome.code != "store" or failures == _STORE_FAILURES:
                sentence = wording.render_failure(outcome.message, outcome.reference)
                await self._tell(question, sentence)
                return
            await self._notices.tell(question.facts.chat_id, wording.STORE_AWAY)
            await self._courier.wait_for_store(question.where, question.facts)
        chat_id = question.facts.chat_id
        if outcome.is_stored:
            await self._hand_over(question, outcome)
            self._notices.is_back(chat_id)
            return
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._notices.tell_later, chat_id, wording.NOT_STORED_YET)
            await self._hand_over(question, outcome)
            tasks.cancel_scope.cancel()
        if not question.used_tools:  # else its files were waited for, so the store is back
            await self._notices.tell(chat_id, wording.NOT_STORED_YET)

    async def answer_again(self, question: Question) -> None:
        """Answer a message that an earlier start of the bot took in and did not answer."""
        attempts = question.facts.attempts + 1
        if attempts > _MAX_ATTEMPTS:
            logger.error("Given up after %d starts: %s", _MAX_ATTEMPTS, question.where.message_id)
            await self._tell(question, wording.render_given_up(_MAX_ATTEMPTS))
            return
        facts = question.facts.moved("unanswered", attempts=attempts)
        await self._courier.keep(question.where, facts)
        await self.answer(Question(question.where, facts, question.quote, used_tools=True))

    async def tell_stopped(self, question: Question) -> None:
        """Say in place of an answer, or behind what there is of it, that it was stopped."""
        await self._tell(question, wording.render_stopped(question.said))

    async def deliver_stored(self, where: StoredMessage) -> None:
        """Send what is stored and has not, or perhaps not, been sent."""
        message = await keep_trying(lambda: load_message(self._hub, where), "read a reply")
        facts = parse_delivery(message.annotations) if message else None
        if message is None or facts is None or facts.state not in ("pending", "attempting"):
            return  # deleted, or done meanwhile
        if message.role == "assistant" and message.turn_id is not None:
            facts = await self._close_question(where, message.turn_id, facts)
        await self._courier.deliver(where, facts, facts.text or message.text())

    async def _close_question(
        self, where: StoredMessage, turn_id: str, reply: DeliveryFacts
    ) -> DeliveryFacts:
        """Keep that a stored reply answers its message; the reply's facts with what was shown."""
        place = replace(where, message_id=turn_id)
        message = await keep_trying(lambda: load_message(self._hub, place), "read a message")
        facts = parse_delivery(message.annotations if message else None) or reply
        await self._close(place, facts)
        return _with_drafts(reply, facts)

    async def _run_turn(self, question: Question) -> tuple[TurnFinished | TurnFailed, Question]:
        """How a turn ended, and the question with what the chat was shown meanwhile."""
        where, facts = question.where, question.facts
        live = LiveReply(
            self._post,
            facts,
            _reply_facts(question).reply_to,
            partial(self._courier.keep, where),
            stop=Button(wording.STOP, f"{STOP_DATA}{facts.reply_to}"),
        )
        self._running[facts.chat_id] = question
        request = TurnRequest(
            conversation_id=where.conversation_id,
            prompt="",
            owner=where.owner,
            message_id=where.message_id,
            person=facts.person,
            stored=True,
            resumable=True,
            reply_annotations=_reply_facts(question).to_annotations(),
            asker=ChatAsker(self._questions, self._post, facts.chat_id, facts.reply_to),
            joined=facts.run,
        )
        last: TurnEvent | None = None
        used_tools = question.used_tools
        began = anyio.current_time()
        try:
            chosen = await self._models.find(where.owner, facts.chat_id)
            request = replace(request, model=chosen)
            async with self._showing(live), self._coordinator.stream(request) as events:
                async for event in events:
                    if isinstance(event, TextDelta) and not live.text:
                        self._figures.first_text.observe(anyio.current_time() - began)
                    used_tools |= isinstance(event, ToolFinished)
                    live.feed(event)
                    last = event
            assert isinstance(last, TurnFinished | TurnFailed)
        except UnusableModelError as error:
            reference = secrets.token_hex(4)
            logger.warning("No turn in %s, reference %s: %s", where, reference, error)
            last = TurnFailed(
                where.conversation_id, where.message_id, "model", str(error), reference
            )
        except Exception:  # boundary: the person gets a sentence, the log the rest
            reference = secrets.token_hex(4)
            logger.exception("A turn in %s broke, reference %s", where.conversation_id, reference)
            last = TurnFailed(
                where.conversation_id, where.message_id, "internal", wording.BROKEN, reference
            )
        finally:
            del self._running[facts.chat_id]
        outcome = "finished" if isinstance(last, TurnFinished) else last.code
        self._figures.turns.labels(outcome).inc()
        return last, replace(
            question, facts=live.facts, shown=live.shown, said=live.text, used_tools=used_tools
        )

    async def _hand_over(self, question: Question, finished: TurnFinished) -> None:
        """Deliver a turn's reply; one that was stored before may have been sent already."""
        where = StoredMessage(
            question.where.owner, question.where.conversation_id, finished.message_id
        )
        facts = _reply_facts(question)
        is_repeated = bool(finished.metadata.get("repeated"))
        if is_repeated:
            stored = await keep_trying(lambda: load_message(self._hub, where), "read a reply")
            facts = parse_delivery(stored.annotations if stored else None) or facts
            facts = _with_drafts(facts, question.facts)
        # First this, then sending: so a delivered reply never has an unanswered question.
        await self._close(question.where, question.facts)
        if facts.state in ("pending", "attempting"):
            await self._courier.deliver(
                where,
                facts,
                finished.content,
                question.shown,
                has_files=is_repeated or question.used_tools,
            )

    async def _close(self, where: StoredMessage, facts: DeliveryFacts) -> None:
        """Keep that a message is answered, after those that its answer is for, too."""
        await self._close_run(where, facts)
        await self._courier.keep(where, facts.moved("answered"))

    async def _close_run(self, where: StoredMessage, facts: DeliveryFacts) -> None:
        answered = DeliveryFacts(state="answered", channel="telegram", chat_id=facts.chat_id)
        for message_id in facts.run:
            await self._courier.keep(replace(where, message_id=message_id), answered)

    async def _tell(self, question: Question, sentence: str) -> None:
        await self._close_run(question.where, question.facts)
        sentence = sentence[:_MAX_SENTENCE_CHARACTERS]
        quoted = question.facts.reply_to if question.quote else None
        facts = question.facts.moved("pending", text=sentence, reply_to=quoted)
        await self._courier.deliver(
            question.where, facts, sentence, question.shown, has_files=question.used_tools
        )

    @asynccontextmanager
    async def _showing(self, live: LiveReply) -> AsyncGenerator[None]:
        """Show that there is something coming, and what there is of it."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._post.keep_typing, live.facts.chat_id)
            async with anyio.create_task_group() as growing:
                growing.start_soon(_show, live)
                try:
                    yield
                finally:
                    live.finish()
            tasks.cancel_scope.cancel()


async def _show(live: LiveReply) -> None:
    try:
        await live.run()
    except Exception:  # boundary: that it can't be shown early must not end the turn
        logger.exception("A reply is not shown while it grows")


def _reply_facts(question: Question) -> DeliveryFacts:
    return DeliveryFacts(
        state="pending",
        channel="telegram",
        chat_id=question.facts.chat_id,
        reply_to=question.facts.reply_to if question.quote else None,
        drafts=question.facts.drafts,
        drafting=question.facts.drafting,
    )


def _with_drafts(reply: DeliveryFacts, asked: DeliveryFacts) -> DeliveryFacts:
    """A stored reply's facts with what was shown of it, which its message's facts tell."""
    if reply.state != "pending":
        return reply  # it knows already
    return reply.moved("pending", drafts=asked.drafts, drafting=asked.drafting)
