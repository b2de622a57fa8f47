"""What a person is asked during a turn, and what they answer."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, Protocol

from pydantic import BaseModel, ConfigDict, Field

from client.asking.forms import Form, Value
from client.asking.pages import Page

Action = Literal["accept", "decline", "cancel", "expired", "unreachable"]


class CallQuestion(BaseModel):
    """Whether one call may be made. The arguments are those that will be sent, to the letter."""

    model_config = ConfigDict(frozen=True)

    kind: Literal["call"] = "call"
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


@dataclass(frozen=True, slots=True)
class FormQuestion:
    """What a server wants to be told before its tool goes on. It is given the answer."""

    server: str
    tool: str
    form: Form
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class PageQuestion:
    """Whether a person has gone through a page of a server's choice. We never open it."""

    server: str
    tool: str
    page: Page
    expires_at: datetime


Question = CallQuestion | FormQuestion | PageQuestion


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of a question. `unreachable`: there is nobody who could be asked.

    `values` are those of a form, by field; its presets need not be among them. They are the
    server's alone: nothing stores or shows them.
    """

    action: Action
    values: Mapping[str, Value] = field(default_factory=dict[str, Value], repr=False)


class Asker(Protocol):
    """Puts questions to a person, one at a time."""

    async def ask(self, question: Question) -> Answer:
        """Ask, and wait for the answer; the caller cancels this when the question expires."""
        ...


class NobodyToAsk:
    """Where no person can be asked: tells so at once, which holds for "no"."""

    async def ask(self, question: Question) -> Answer:  # noqa: ARG002 - whatever it is
        """There is nobody."""
        return Answer("unreachable")


def refusal(action: Action) -> str:
    """What the model reads in place of a result when a call was not made."""
    match action:
        case "expired":
            return "Not called: this needs the user's yes, and no answer came in time."
        case "unreachable":
            return (
                "Not called: this needs the user's yes, which can't be given here. Tell the user "
                "what you wanted to do, and that it was not done."
            )
        case _:
            return "Not called: the user declined. Don't try it again unless they ask for it."
