"""Puts a turn's questions to its person, one at a time."""

from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta

import anyio

from client.asking.questions import Answer, Asker, NobodyToAsk, Question
from client.asking.server_questions import ask_within
from client.coordinator.events import QuestionAnswered, QuestionAsked


class Questioner:
    """Who may be asked during one turn, and for how long."""

    def __init__(
        self,
        asker: Asker | None,
        *,
        whose: tuple[str | None, str],
        timeout_seconds: float,
        pause: Callable[[], AbstractContextManager[None]],
        emit: Callable[[QuestionAsked | QuestionAnswered], Awaitable[None]],
    ) -> None:
        """`whose`: owner and conversation. `pause`: the turn's time stands still meanwhile."""
        self.whose = whose
        self.has_somebody = asker is not None
        self._asker = asker or NobodyToAsk()
        self._timeout_seconds = timeout_seconds
        self._pause = pause
        self._emit = emit
        self._turn = anyio.Lock()

    def expiry(self) -> datetime:
        """When a question that is made now expires."""
        return datetime.now(UTC) + timedelta(seconds=self._timeout_seconds)

    async def ask(self, question: Question, done: anyio.Event | None = None) -> Answer:
        """The answer; without one before it expires, that. As `ask_within` about `done`."""
        async with self._turn:
            await self._emit(QuestionAsked(question))
            with self._pause():
                answer = await ask_within(self._asker, question, done)
            await self._emit(QuestionAnswered(question, answer))
            return answer
