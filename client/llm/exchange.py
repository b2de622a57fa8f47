"""One request to a provider and the stream of its answer: retries before it, silence, its end."""

import math
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import Protocol

import anyio

from client.llm.failures import Service
from client.llm.protocol import (
    Completion,
    ModelError,
    ModelEvent,
    ModelUnavailableError,
    RateLimitedError,
    TextDelta,
    ThoughtDelta,
)

_PAUSES_SECONDS = (0.25, 1.0)
"""Before a second and a third attempt, where the provider names no time."""
_MAX_PAUSE_SECONDS = 5.0
"""A provider that asks for more patience than this is an error, so that the user hears of it."""
_AFTERWORD_SECONDS = 5.0
"""How long to wait for figures after the answer is complete."""
_CLOSE_SECONDS = 2.0


class RawStream(Protocol):
    """A vendor's stream of parsed events."""

    async def __anext__(self) -> object:
        """The next event; StopAsyncIteration at the end."""
        ...

    async def close(self) -> None:
        """Give up its connection."""
        ...


class Answer(Protocol):
    """What has been heard so far of one answer."""

    @property
    def heard(self) -> int:
        """Grows with every event that brings something."""
        ...

    @property
    def is_complete(self) -> bool:
        """The model is done; only figures may still come."""
        ...

    @property
    def is_closed(self) -> bool:
        """Nothing more can come."""
        ...

    def hear(self, event: object) -> Sequence[TextDelta | ThoughtDelta]:
        """Take one event; give what it adds to show.

        Raises:
            ModelError: The event says that the model failed.
            ValueError: It has no known shape.
        """
        ...

    def finish(self) -> Completion:
        """The whole answer, once it is complete."""
        ...


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request, ready to be made over a connection of its own.

    `ask` sends it, `close` gives up what was opened for it, `answer` hears what comes, and
    `explain` turns `failures` into errors of ours.
    """

    ask: Callable[[], Awaitable[RawStream]]
    close: Callable[[], Awaitable[None]]
    answer: Answer
    failures: tuple[type[Exception], ...]
    explain: Callable[[Exception], ModelError]
    service: Service
    timeout_seconds: float


@asynccontextmanager
async def stream_answer(exchange: Exchange) -> AsyncGenerator[AsyncIterator[ModelEvent]]:
    """Send the request and give the events of its answer; leaving ends the request.

    Raises:
        ModelError: On entering or while iterating.
    """
    async with _closing(exchange.close):
        raw = await _ask(exchange)
        async with _closing(raw.close), aclosing(_listen(raw, exchange)) as events:
            yield events


@asynccontextmanager
async def _closing(close: Callable[[], Awaitable[None]]) -> AsyncGenerator[None]:
    """Close at the end, also when cancelled, but don't wait for it for long."""
    try:
        yield
    finally:
        with anyio.move_on_after(_CLOSE_SECONDS, shield=True):
            await close()


async def _ask(exchange: Exchange) -> RawStream:
    error: ModelError = exchange.service.silent(exchange.timeout_seconds)
    with anyio.move_on_after(exchange.timeout_seconds):
        for pause in (*_PAUSES_SECONDS, math.inf):
            outcome = await _attempt(exchange)
            if not isinstance(outcome, ModelError):
                return outcome
            error = outcome
            pause_seconds = _choose_pause(error, pause)
            if pause_seconds > _MAX_PAUSE_SECONDS:
                break
            await anyio.sleep(pause_seconds)
    raise error


async def _attempt(exchange: Exchange) -> RawStream | ModelError:
    """One request. An error is given back, not raised: it must not carry the vendor's with it."""
    try:
        return await exchange.ask()
    except exchange.failures as error:
        return exchange.explain(error)


def _choose_pause(error: ModelError, pause: float) -> float:
    if pause == math.inf:
        return math.inf
    if isinstance(error, ModelUnavailableError):
        return pause if error.retry_after_seconds is None else error.retry_after_seconds
    if isinstance(error, RateLimitedError) and error.retry_after_seconds is not None:
        return error.retry_after_seconds
    return math.inf


async def _listen(raw: RawStream, exchange: Exchange) -> AsyncGenerator[ModelEvent]:
    answer = exchange.answer
    deadline = anyio.current_time() + exchange.timeout_seconds
    while not answer.is_closed:
        heard = answer.heard
        deltas = await _hear_next(raw, exchange, deadline)
        if deltas is None:
            break
        for delta in deltas:
            yield delta
        if answer.heard > heard:
            patience = _AFTERWORD_SECONDS if answer.is_complete else exchange.timeout_seconds
            deadline = anyio.current_time() + min(patience, exchange.timeout_seconds)
    if not answer.is_complete:
        raise exchange.service.broken_off() if answer.heard else exchange.service.garbled()
    yield answer.finish()


async def _hear_next(
    raw: RawStream, exchange: Exchange, deadline: float
) -> Sequence[TextDelta | ThoughtDelta] | None:
    """What the next event adds; None at the end, and at any failure after a complete answer."""
    answer = exchange.answer
    error: ModelError = exchange.service.silent(exchange.timeout_seconds)
    with anyio.move_on_after(deadline - anyio.current_time()):
        try:
            return answer.hear(await raw.__anext__())
        except StopAsyncIteration:
            return None
        except exchange.failures as raised:
            error = exchange.explain(raised)
    if answer.is_complete:
        return None
    raise error
