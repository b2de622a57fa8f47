"""The calls of a step that wait for a yes: asked one after the other, each before it is made."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta

import anyio

from client.asking.holding import fingerprint, why_held
from client.asking.questions import Answer, Asker, Question, answer_annotation
from client.conversations import ConversationCallError
from client.coordinator.events import QuestionAnswered, QuestionAsked
from client.coordinator.record import TurnRecord
from client.hub.errors import HubError
from client.hub.servers import HubTool
from client.llm.protocol import ToolCall

TOOL_CHANGED = "Not called: the tool is described otherwise now than when the user was asked."
NOT_RECORDED = "Not called: the user's yes could not be stored."


class QuestionCancelledError(Exception):
    """The person wanted no more of the turn; the text names the call."""


def create_questions(
    calls: Sequence[ToolCall],
    tools: Mapping[str, HubTool],
    *,
    read_untrusted: bool,
    timeout_seconds: float,
) -> dict[str, Question]:
    """The questions to be answered before these calls, by the call's id."""
    expires_at = datetime.now(UTC) + timedelta(seconds=timeout_seconds)
    questions: dict[str, Question] = {}
    for call in calls:
        tool = tools.get(call.name)
        if tool is None or call.arguments is None:
            continue
        if reason := why_held(tool, read_untrusted=read_untrusted):
            questions[call.id] = Question(
                number=len(questions) + 1,
                call_id=call.id,
                tool=call.name,
                reason=reason,
                fingerprint=fingerprint(tool),
                expires_at=expires_at,
                arguments=call.arguments,
            )
    return questions


class HeldCalls:
    """Asks, and stores what was answered before anything is done about it."""

    def __init__(
        self,
        asker: Asker,
        record: TurnRecord,
        *,
        pause: Callable[[], AbstractContextManager[None]],
        emit: Callable[[QuestionAsked | QuestionAnswered], Awaitable[None]],
    ) -> None:
        """`pause`: the turn's time does not count while a person thinks."""
        self._asker = asker
        self._record = record
        self._pause = pause
        self._emit = emit

    async def ask(self, message_id: str, question: Question) -> Answer:
        """The stored answer to a question of the stored message.

        Raises:
            QuestionCancelledError: The person stopped the turn instead.
            HubError, ConversationCallError: It could not be stored.
        """
        await self._emit(QuestionAsked(question))
        left = (question.expires_at - datetime.now(UTC)).total_seconds()
        answer = Answer(action="expired")
        with self._pause(), anyio.move_on_after(left):
            answer = await self._asker.ask(question)
        await self._emit(QuestionAnswered(question, answer))
        await self._record.annotate(message_id, answer_annotation(question, answer))
        if answer.action == "cancel":
            raise QuestionCancelledError(f"you were asked about {question.tool}, and stopped there")
        return answer

    async def may_run(self, message_id: str, question: Question) -> str | Answer:
        """The answer; or, where it could not be stored, what the model is told instead."""
        try:
            return await self.ask(message_id, question)
        except (HubError, ConversationCallError):
            return NOT_RECORDED
