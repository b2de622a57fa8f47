"""What servers ask during the calls of a step: stored before anybody is asked, and after."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import anyio
from mcp_types import ElicitResult

from client.asking.forms import AnswerError
from client.asking.holding import fingerprint
from client.asking.questions import Answer, CallQuestion
from client.asking.server_questions import ServerQuestion, create_questions, to_result
from client.asking.stored import (
    ServerAsked,
    answer_annotations,
    create_server_asked,
    question_annotations,
)
from client.conversations import ConversationCallError
from client.coordinator.held_calls import create_question
from client.coordinator.questioner import Questioner
from client.coordinator.record import TurnRecord, TurnTakenError
from client.hub.elicitation import Elicitation, Resumption, UnanswerableError
from client.hub.errors import HubError
from client.hub.servers import HubTool
from client.llm.protocol import ToolCall

logger = logging.getLogger(__name__)

_NOT_STORED = "The server asked the user something; it was told no, as that could not be stored."
_NOT_ANSWERED: Mapping[str, str] = {
    "expired": "The server asked the user something; no answer came in time, and it was told so.",
    "unreachable": (
        "The server asked the user something, which can't be answered here; it was told so. Tell "
        "the user what the server wanted."
    ),
}
_FAILURES = (HubError, ConversationCallError, TurnTakenError)
"""Of storing; who takes the turn away is noticed when it is gone on with."""


class StepQuestions:
    """The questions of servers during the calls that one message makes."""

    def __init__(
        self,
        questioner: Questioner,
        record: TurnRecord,
        *,
        message_id: str,
        asked_before: int,
        keep_results: Callable[[], None],
    ) -> None:
        """`keep_results`: what is done is stored before somebody is asked."""
        self._questioner = questioner
        self._record = record
        self._message_id = message_id
        self._number = asked_before
        self._keep_results = keep_results
        self._turn = anyio.Lock()

    def for_call(self, call: ToolCall, tool: HubTool) -> "CallQuestions | None":
        """Who answers what the tool's server asks during the call, if there is somebody."""
        return CallQuestions(self, call, tool) if self._questioner.has_somebody else None

    @property
    def whose(self) -> object:
        """The turn's owner and conversation."""
        return self._questioner.whose

    def create_question(self, call: ToolCall, tool: HubTool, reason: str) -> CallQuestion:
        """Whether the call may be gone on with."""
        self._number += 1
        return create_question(call, tool, reason, self._number, self._questioner.expiry())

    async def ask(
        self, call: ToolCall, tool: HubTool, elicitation: Elicitation, notes: list[str]
    ) -> dict[str, ElicitResult]:
        """Store what is asked, ask, and store what came of it; `notes` for the model are added."""
        async with self._turn:
            expires_at = self._questioner.expiry()
            questions = create_questions(
                elicitation.requests, server=tool.server, tool=call.name, expires_at=expires_at
            )
            self._number += 1
            asked = create_server_asked(
                elicitation,
                number=self._number,
                call_id=call.id,
                tool=call.name,
                fingerprint=fingerprint(tool),
                expires_at=expires_at,
            )
            try:
                self._keep_results()
                await self._record.flush()
                await self._record.annotate(self._message_id, question_annotations([asked]))
            except _FAILURES:
                notes.append(_NOT_STORED)
                return dict.fromkeys(questions, ElicitResult(action="cancel"))
            return await self._put(asked, questions, elicitation.done, notes)

    async def ask_again(self, asked: ServerAsked, server: str, notes: list[str]) -> Resumption:
        """Put what an earlier run of the turn asked; what its call is gone on with.

        Raises:
            UnanswerableError: It is none that could be put to anybody.
        """
        elicitation = asked.reopen()
        if elicitation is None:
            raise UnanswerableError("it can't be asked again")
        questions = create_questions(
            elicitation.requests, server=server, tool=asked.tool, expires_at=asked.expires_at
        )
        results = await self._put(asked, questions, {}, notes)
        return Resumption({**results}, elicitation.state)

    async def _put(
        self,
        asked: ServerAsked,
        questions: Mapping[str, ServerQuestion],
        done: Mapping[str, anyio.Event],
        notes: list[str],
    ) -> dict[str, ElicitResult]:
        answers: dict[str, Answer] = {}
        for key, question in questions.items():
            answers[key] = answer = await self._questioner.ask(question, done.get(key))
            if answer.action in _NOT_ANSWERED:
                notes.append(_NOT_ANSWERED[answer.action])
            if answer.action != "accept":
                # The others are put away with it.
                answers = {**dict.fromkeys(questions, Answer("cancel")), **answers}
                break
        try:
            results = {key: to_result(questions[key], answer) for key, answer in answers.items()}
            await self._record.annotate(
                self._message_id, answer_annotations(asked, list(answers.values()))
            )
        except AnswerError:
            logger.exception("What was answered to %s does not fit its form", asked.tool)
        except _FAILURES:
            notes.append(_NOT_STORED)
        else:
            return results
        return dict.fromkeys(questions, ElicitResult(action="cancel"))


@dataclass(slots=True)
class CallQuestions:
    """What is asked during one call; an `Answerer` of the hub."""

    step: StepQuestions
    call: ToolCall
    tool: HubTool
    notes: list[str] = field(default_factory=list[str])
    """For the model, about questions that nobody answered."""

    @property
    def whose(self) -> object:
        """The turn's owner and conversation."""
        return self.step.whose

    async def answer(self, elicitation: Elicitation) -> dict[str, ElicitResult]:
        """Ask, one turn's questions one after the other."""
        return await self.step.ask(self.call, self.tool, elicitation, self.notes)
