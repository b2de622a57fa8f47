"""The calls of a step that wait for a yes: asked one after the other, each before it is made."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from client.asking.holding import fingerprint, why_held
from client.asking.questions import Answer, CallQuestion
from client.asking.stored import answer_annotations, question_annotations
from client.conversations import ConversationCallError
from client.coordinator.questioner import Questioner
from client.coordinator.record import TurnRecord
from client.hub.errors import HubError
from client.hub.servers import HubTool
from client.llm.protocol import ToolCall
from client.tool_manager import MCPTool

TOOL_CHANGED = "Not called: the tool is described otherwise now than when the user was asked."
NOT_RECORDED = "Not called: the user's yes could not be stored."


class QuestionCancelledError(Exception):
    """The person wanted no more of the turn; the text names the call."""


def create_questions(
    calls: Sequence[ToolCall],
    tools: Mapping[str, MCPTool],
    *,
    read_untrusted: bool,
    expires_at: datetime,
) -> dict[str, CallQuestion]:
    """The questions to be answered before these calls, by the call's id."""
    questions: dict[str, CallQuestion] = {}
    for call in calls:
        tool = tools.get(call.name)
        if tool is None or call.arguments is None:
            continue
        if reason := why_held(tool.facts, read_untrusted=read_untrusted):
            number = len(questions) + 1
            questions[call.id] = create_question(call, tool.facts, reason, number, expires_at)
    return questions


def create_question(
    call: ToolCall, tool: HubTool, reason: str, number: int, expires_at: datetime
) -> CallQuestion:
    """The question whether one call may be made."""
    return CallQuestion(
        number=number,
        call_id=call.id,
        tool=call.name,
        reason=reason,
        fingerprint=fingerprint(tool),
        expires_at=expires_at,
        arguments=call.arguments or {},
    )


async def may_run(
    questioner: Questioner, record: TurnRecord, message_id: str, question: CallQuestion
) -> str | Answer:
    """The answer, stored; or, where it could not be, what the model is told instead.

    Raises:
        QuestionCancelledError: The person stopped the turn instead.
    """
    answer = await questioner.ask(question)
    try:
        told = {**question_annotations([question]), **answer_annotations(question, [answer])}
        await record.annotate(message_id, told)
    except (HubError, ConversationCallError):
        return NOT_RECORDED
    if answer.action == "cancel":
        raise QuestionCancelledError(f"you were asked about {question.tool}, and stopped there")
    return answer
