"""What a person is asked before a tool runs, what they answer, and how both are stored."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal, Protocol

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from servers.conversations.contract import Message

_QUESTION = "question:"
_ANSWER = "answer:"

Action = Literal["accept", "decline", "cancel", "expired", "unreachable"]


class Question(BaseModel):
    """Whether one call may be made. The arguments are those that will be sent, to the letter."""

    model_config = ConfigDict(frozen=True)

    number: int
    """Among the questions of the message that makes the call."""
    call_id: str
    tool: str
    """The model's name for it: `server__tool`."""
    reason: str
    """Why it is asked, as the end of "asked because …"."""
    fingerprint: str
    """Of the tool as it was described when the question was made."""
    expires_at: datetime
    arguments: dict[str, Any] = Field(default_factory=dict, exclude=True)
    """Stored with the call, not with the question."""


class Answer(BaseModel):
    """What came of a question. `unreachable`: there is nobody who could be asked."""

    model_config = ConfigDict(frozen=True)

    action: Action


class Asker(Protocol):
    """Puts questions to a person, one at a time."""

    async def ask(self, question: Question) -> Answer:
        """Ask, and wait for the answer; the caller cancels this when the question expires."""
        ...


class NobodyToAsk:
    """Where no person can be asked: tells so at once, which holds for "no"."""

    async def ask(self, question: Question) -> Answer:  # noqa: ARG002 - whatever it is
        """There is nobody."""
        return Answer(action="unreachable")


def to_annotations(questions: Mapping[str, Question]) -> dict[str, Any]:
    """Questions by call, as annotations of the message that makes the calls."""
    return {
        f"{_QUESTION}{question.number}": question.model_dump(mode="json")
        for question in questions.values()
    }


def answer_annotation(question: Question, answer: Answer) -> dict[str, Any]:
    """An answer as an annotation; its key is its own, so that two writers don't meet."""
    return {f"{_ANSWER}{question.number}": answer.model_dump(mode="json")}


def stored_questions(message: Message) -> dict[str, tuple[Question, Answer | None]]:
    """The questions stored with a message, by the call that they are about."""
    annotations = message.annotations or {}
    found: dict[str, tuple[Question, Answer | None]] = {}
    for key, value in annotations.items():
        if not key.startswith(_QUESTION):
            continue
        stored = annotations.get(f"{_ANSWER}{key.removeprefix(_QUESTION)}")
        try:
            question = Question.model_validate(value)
            answer = None if stored is None else Answer.model_validate(stored)
        except ValidationError:
            continue  # another program's, or damaged: the call then counts as started
        found[question.call_id] = (question, answer)
    return found


def refusal(answer: Answer) -> str:
    """What the model reads in place of a result when the call was not made."""
    match answer.action:
        case "expired":
            return "Not called: this needs the user's yes, and no answer came in time."
        case "unreachable":
            return (
                "Not called: this needs the user's yes, which can't be given here. Tell the user "
                "what you wanted to do, and that it was not done."
            )
        case _:
            return "Not called: the user declined. Don't try it again unless they ask for it."
