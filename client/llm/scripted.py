"""A model that says what it is told: for tests, for scripts in YAML, and under the tour."""

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field

import anyio
from anyio.lowlevel import checkpoint

from client.llm.protocol import (
    BadRequestError,
    Completion,
    ModelError,
    ModelEvent,
    ModelRequest,
    TextDelta,
    ThoughtDelta,
)

_PIECES = 4
"""A text is streamed in at most this many deltas, so that readers meet more than one."""


@dataclass(frozen=True, slots=True)
class Held:
    """Streams the first piece, sets `reached`, and goes on when `release` is set."""

    completion: Completion
    reached: anyio.Event = field(default_factory=anyio.Event)
    release: anyio.Event = field(default_factory=anyio.Event)


@dataclass(frozen=True, slots=True)
class Interrupted:
    """Streams `text`, then fails with `error`."""

    text: str
    error: ModelError


Reply = Callable[[ModelRequest], Completion]
Step = Completion | ModelError | Held | Interrupted | Reply


class ScriptedModel:
    """Answers each request with the next of `steps`, or every one by a function of the request.

    A `ModelError` among the steps is raised. `requests` holds what was asked, in order.
    """

    def __init__(
        self,
        steps: Sequence[Step] | Reply,
        *,
        name: str = "scripted/script",
        context_tokens: int = 100_000,
        max_output_tokens: int = 4_096,
    ) -> None:
        self.requests: list[ModelRequest] = []
        self._steps = steps
        self._name = name
        self._context_tokens = context_tokens
        self._max_output_tokens = max_output_tokens

    @property
    def name(self) -> str:
        """`scripted/` and what kind of script."""
        return self._name

    @property
    def context_tokens(self) -> int:
        """As given."""
        return self._context_tokens

    @property
    def max_output_tokens(self) -> int:
        """As given."""
        return self._max_output_tokens

    @asynccontextmanager
    async def stream(self, request: ModelRequest) -> AsyncGenerator[AsyncIterator[ModelEvent]]:
        """Answer with the next step.

        Raises:
            BadRequestError: There is no step left.
        """
        self.requests.append(request)
        await checkpoint()
        step = self._choose(request)
        if isinstance(step, ModelError):
            raise step
        async with aclosing(_play(step)) as events:
            yield events

    def _choose(self, request: ModelRequest) -> Completion | ModelError | Held | Interrupted:
        if callable(self._steps):
            return self._steps(request)
        position = len(self.requests)
        if position > len(self._steps):
            raise BadRequestError(
                f"The script is over: it has {len(self._steps)} steps, this is request {position}."
            )
        step = self._steps[position - 1]
        return step(request) if callable(step) else step


async def _play(step: Completion | Held | Interrupted) -> AsyncGenerator[ModelEvent]:
    if isinstance(step, Interrupted):
        for piece in _pieces(step.text):
            yield TextDelta(piece)
            await checkpoint()
        raise step.error
    completion = step.completion if isinstance(step, Held) else step
    deltas: list[ModelEvent] = [ThoughtDelta(piece) for piece in _pieces(completion.thoughts)]
    deltas += [TextDelta(piece) for piece in _pieces(completion.text)]
    for delta in deltas[:1]:
        yield delta
    if isinstance(step, Held):
        step.reached.set()
        await step.release.wait()
    for delta in deltas[1:]:
        await checkpoint()
        yield delta
    await checkpoint()
    yield completion


def _pieces(text: str) -> list[str]:
    size = max(1, -(-len(text) // _PIECES))
    return [text[start : start + size] for start in range(0, len(text), size)]
