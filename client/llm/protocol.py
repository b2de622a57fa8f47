"""The port for language models: what is asked, the events of an answer, and how it fails.

ModelError
├── BadKeyError            the key is missing, wrong or not allowed      operator
├── RateLimitedError       too many requests; `retry_after_seconds`      user: wait
├── ContextTooLongError    the history doesn't fit                       coordinator: cut and try
again ├── RefusedError           the provider declined to answer               user ├──
BadRequestError        the provider rejects what was sent            developer ├──
ModelNotFoundError     no such model there                           operator └──
ModelUnavailableError  down, unreachable, silent, garbage            user: try again
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from agentic.config.models import Price
from servers.conversations.contract import Message

REASONING_BLOCKS = frozenset({"thinking", "redacted_thinking"})
"""Types of content blocks that only the model that made them understands."""

StopReason = Literal["end", "tool_use", "max_tokens", "refused"]


@dataclass(frozen=True, slots=True)
class ToolDefinition:
    """A tool as a model sees it. `name`: letters, digits, `_`, `-`, at most 64."""

    name: str
    description: str
    input_schema: Mapping[str, Any]
    read_only: bool = False
    """Its server says that a call changes nothing."""


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one or more requests. `input_tokens` counts cached ones too."""

    input_tokens: int = 0
    output_tokens: int = 0
    cached_input_tokens: int = 0

    def __add__(self, other: "Usage") -> "Usage":
        return Usage(
            self.input_tokens + other.input_tokens,
            self.output_tokens + other.output_tokens,
            self.cached_input_tokens + other.cached_input_tokens,
        )


@dataclass(frozen=True, slots=True)
class ModelRequest:
    """One step's question.

    `messages` are whole turns in order: an assistant message with `tool_use` blocks is followed by
    one `tool` message for each. They hold no `system` message. Providers map them to their own
    shapes.
    """

    instructions: str
    messages: Sequence[Message]
    tools: Sequence[ToolDefinition] = ()


@dataclass(frozen=True, slots=True)
class TextDelta:
    """A piece of the answer as it is written."""

    text: str


@dataclass(frozen=True, slots=True)
class ThoughtDelta:
    """A piece of the model's reasoning, where the provider shows it."""

    text: str


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A tool the model wants called. `arguments` is None when `raw` is no JSON object."""

    id: str
    name: str
    arguments: dict[str, Any] | None
    raw: str = ""


@dataclass(frozen=True, slots=True)
class Completion:
    """The whole of one step's answer; always the last event."""

    text: str
    tool_calls: Sequence[ToolCall] = ()
    stop_reason: StopReason = "end"
    usage: Usage = field(default_factory=Usage)
    thoughts: str = ""
    reasoning: Sequence[Mapping[str, Any]] = ()
    """The provider's own blocks (signed thoughts) that it wants back, unchanged, while its calls go
    on: they come first in the content of the message that holds the calls."""
    model: str = ""
    """The model's name as the provider gave it."""


ModelEvent = TextDelta | ThoughtDelta | Completion


class LanguageModel(Protocol):
    """A model that answers in a stream."""

    @property
    def name(self) -> str:
        """`provider/model`, for people and for what is stored with a turn."""
        ...

    @property
    def context_tokens(self) -> int:
        """Size of the window: instructions, history, tools and answer together."""
        ...

    @property
    def max_output_tokens(self) -> int:
        """How much of the window is kept for the answer."""
        ...

    def stream(
        self, request: ModelRequest
    ) -> AbstractAsyncContextManager[AsyncIterator[ModelEvent]]:
        """Ask; inside the context, iterate: deltas, then exactly one `Completion`, then the end.

        Leaving the context early ends the request at the provider. A silence longer than the
        configured time ends it as `ModelUnavailableError`. Nothing is retried here once an event
        has been seen.

        Raises:
            ModelError: On entering or while iterating.
        """
        ...


@dataclass(frozen=True, slots=True)
class ChosenModel:
    """A model, and what it costs if that is known."""

    model: LanguageModel
    price: Price | None = None


class ModelError(Exception):
    """A model did not answer. The text says what happened and what to do, and holds no secret."""

    def __init__(self, message: str, *, retry_after_seconds: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class BadKeyError(ModelError):
    """The key is missing, wrong, or not allowed to do this."""


class RateLimitedError(ModelError):
    """Too many requests or no credit; `retry_after_seconds` if the provider said so."""


class ContextTooLongError(ModelError):
    """The request is longer than the model's window."""


class RefusedError(ModelError):
    """The provider declined to answer."""


class BadRequestError(ModelError):
    """The provider rejects the request itself; repeating it is useless."""


class ModelNotFoundError(ModelError):
    """The provider knows no such model, or the key may not use it."""


class ModelUnavailableError(ModelError):
    """Down, unreachable, silent for too long, or answering garbage; trying again later may help."""
