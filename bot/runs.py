"""Takes messages together that belong together: what waits in a chat is answered by one turn.

Each message is stored by itself and `unanswered`. Before the turn of the last of them begins, its
facts name those before it, so a crash neither tears a turn apart that has begun nor adds to it.
"""

from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial

import anyio

from bot.ahead import Ahead
from bot.answering import Answerer, Question
from bot.busy_notes import BusyNotes
from bot.courier import Courier
from bot.deliveries import StoredMessage
from bot.lanes import Job, Lanes

MORE_SECONDS = 1.0
"""How long the next part of what was cut in parts is waited for."""
_LONGEST_WAITS = 3
"""So many times that, in all."""
_MOST = 50


@dataclass
class _Run:
    """Messages of one conversation that are answered together."""

    chat_id: int
    questions: list[Question]
    is_again: bool
    """Whether an earlier start of the bot took one of them in."""
    due: float
    """When the next part is no longer waited for."""
    is_open: bool = True
    """Whether it can grow."""
    is_stopped: bool = False
    """Whether it shall not be answered."""
    changed: anyio.Event = field(default_factory=anyio.Event)

    def takes(self, question: Question) -> bool:
        there = self.questions[-1].where
        is_there = (there.owner, there.conversation_id) == (
            question.where.owner,
            question.where.conversation_id,
        )
        return self.is_open and is_there and len(self.questions) < _MOST


class Runs:
    """The messages that wait in each chat."""

    def __init__(
        self,
        answerer: Answerer,
        *,
        courier: Courier,
        lanes: Lanes,
        notes: BusyNotes,
        ahead: Ahead,
        more_seconds: float = MORE_SECONDS,
    ) -> None:
        """`more_seconds`: how long the next part of a text that was cut is waited for."""
        self._answerer = answerer
        self._courier = courier
        self._lanes = lanes
        self._notes = notes
        self._ahead = ahead
        self._more_seconds = more_seconds
        self._last: dict[int, _Run] = {}
        """Of each chat, until it begins."""
        self._in_hand: set[StoredMessage] = set()
        """What waits or is being answered."""

    def push(
        self, question: Question, *, more_may_come: bool = False, is_again: bool = False
    ) -> None:
        """Have a stored message answered, with those that it stands behind.

        It is waited for more if there is more of the chat in the same poll, or if `more_may_come`.
        `is_again`: an earlier start of the bot took it in.
        """
        self._in_hand.add(question.where)
        chat_id = question.facts.chat_id
        due = anyio.current_time() + (self._more_seconds if more_may_come else 0)
        run = self._last.get(chat_id)
        if run is not None and run.takes(question):
            run.questions.append(question)
            run.is_again |= is_again
            run.due = due
            run.changed.set()
            return
        run = self._last[chat_id] = _Run(chat_id, [question], is_again, due)
        self._put(question, partial(self._answer, run), is_again=is_again)

    def push_begun(self, question: Question, *, is_again: bool) -> None:
        """Have a message answered by a turn that is settled: nothing joins it."""
        self.end(question.facts.chat_id)
        answer = self._answerer.answer_again if is_again else self._answerer.answer
        where = question.where
        all_of_it = [
            replace(where, message_id=one) for one in (*question.facts.run, where.message_id)
        ]

        async def run() -> None:
            with self._holding(all_of_it):
                await answer(question)

        self._in_hand.update(all_of_it)
        self._put(question, run, is_again=is_again)

    def has(self, where: StoredMessage) -> bool:
        """Whether this message waits or is being answered."""
        return where in self._in_hand

    def end(self, chat_id: int) -> None:
        """Something else was done in this chat: what is written from now on is another turn's."""
        run = self._last.get(chat_id)
        if run is not None:
            run.is_open, run.due = False, 0
            run.changed.set()

    def stop(self, chat_id: int) -> bool:
        """Have what waits last in a chat told as stopped; False if all there is has begun."""
        run = self._last.get(chat_id)
        if run is None:
            return False
        self.end(chat_id)
        run.is_stopped = True
        return True

    def take_back(self, chat_id: int, is_wanted: Callable[[str], bool]) -> Sequence[Question]:
        """Take what waits last in a chat and has not begun out of its lane, if it is wanted.

        `is_wanted` is asked for each message of it, by its id.
        """
        run = self._last.get(chat_id)
        if run is None or not any(is_wanted(each.where.message_id) for each in run.questions):
            return ()
        self.end(chat_id)
        del self._last[chat_id]
        taken, run.questions = run.questions, []
        self._in_hand.difference_update(question.where for question in taken)
        return taken

    @contextmanager
    def _holding(self, messages: Sequence[StoredMessage]) -> Generator[None]:
        """They are in hand until the context is left."""
        try:
            yield
        finally:
            self._in_hand.difference_update(messages)

    def _put(self, question: Question, job: Job, *, is_again: bool) -> None:
        facts = question.facts
        if is_again or facts.reply_to is None:
            self._lanes.push(facts.chat_id, job)
        else:
            self._notes.push(facts.chat_id, facts.reply_to, job)

    async def _answer(self, run: _Run) -> None:
        await self._gather(run)
        if run.questions:  # else they were taken back
            with self._holding([question.where for question in run.questions]):
                await self._answer_all(run)

    async def _answer_all(self, run: _Run) -> None:
        *earlier, last = run.questions
        facts = last.facts.moved(
            "unanswered", run=tuple(question.where.message_id for question in earlier)
        )
        question = replace(last, facts=facts, quote=run.questions[0].quote)
        if run.is_stopped:
            await self._answerer.tell_stopped(question)
            return
        if run.is_again:
            await self._answerer.answer_again(question)
            return
        if earlier:
            await self._courier.keep(question.where, facts)
        await self._answerer.answer(question)

    async def _gather(self, run: _Run) -> None:
        """Wait for what is on its way, for some seconds at most; all there is then is the run."""
        chat_id = run.chat_id
        with anyio.move_on_after(_LONGEST_WAITS * self._more_seconds):
            await self._ahead.wait_for_rest(chat_id)
            while (left := run.due - anyio.current_time()) > 0 and len(run.questions) < _MOST:
                run.changed = anyio.Event()
                with anyio.move_on_after(left):
                    await run.changed.wait()
                await self._ahead.wait_for_rest(chat_id)
        if self._last.get(chat_id) is run:
            del self._last[chat_id]
