"""What a turn tells while it runs: a closed union of events, for terminals, bots and tests."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from client.asking.questions import Answer, Question
from client.llm.protocol import TextDelta, ThoughtDelta, Usage

FailureCode = Literal["invalid", "model", "store", "limit", "cancelled", "internal"]


@dataclass(frozen=True, slots=True)
class TurnStarted:
    """The user message is stored; the turn has an id."""

    conversation_id: str
    turn_id: str


@dataclass(frozen=True, slots=True)
class ToolStarted:
    """A tool call begins. `tool` is the model's name for it (`server__tool`)."""

    call_id: str
    tool: str
    arguments: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ToolFinished:
    """A tool call ended; `text` is what the model will read, cut to a line or two.

    `kept`: its files that are attachments of the conversation now, as `resource_link` blocks.
    """

    call_id: str
    tool: str
    is_error: bool
    text: str
    seconds: float
    kept: Sequence[Mapping[str, Any]] = ()


@dataclass(frozen=True, slots=True)
class QuestionAsked:
    """A call waits for a person; the question is stored."""

    question: Question


@dataclass(frozen=True, slots=True)
class QuestionAnswered:
    """The wait is over, one way or another."""

    question: Question
    answer: Answer


@dataclass(frozen=True, slots=True)
class StepFinished:
    """The model finished one request; text streamed so far belongs to this step."""

    step: int
    usage: Usage
    has_tool_calls: bool


@dataclass(frozen=True, slots=True)
class TurnFinished:
    """There is a reply. `metadata`: model, usage, cost if known, seconds, steps, tool calls.

    `is_stored` is false while it waits in the spool for a store that is away.
    """

    conversation_id: str
    turn_id: str
    message_id: str
    content: str
    thoughts: str = ""
    metadata: Mapping[str, Any] = field(default_factory=dict[str, Any])
    is_stored: bool = True


@dataclass(frozen=True, slots=True)
class TurnFailed:
    """No reply. `message` is a sentence for the user; `reference` also stands in the log."""

    conversation_id: str
    turn_id: str
    code: FailureCode
    message: str
    reference: str


TurnEvent = (
    TurnStarted
    | TextDelta
    | ThoughtDelta
    | ToolStarted
    | ToolFinished
    | QuestionAsked
    | QuestionAnswered
    | StepFinished
    | TurnFinished
    | TurnFailed
)
