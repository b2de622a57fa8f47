"""Signals that end what a command does, while what it stands on stays up for its last words."""

import signal
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager

import anyio

from agentic.cli.failures import CommandError

STOPPING_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class StoppedError(CommandError):
    """A signal came. There is nothing to say about it."""

    def __init__(self, number: int) -> None:
        super().__init__("", exit_code=128 + number)


@asynccontextmanager
async def stopped_by(*signals: signal.Signals) -> AsyncGenerator[None]:
    """Cancel the body when one of `signals` comes; more of them don't cut its last words short.

    Raises:
        StoppedError: One came.
    """
    received: list[int] = []
    body = anyio.CancelScope()

    async def listen(arriving: AsyncIterator[signal.Signals]) -> None:
        async for number in arriving:
            received.append(number)
            body.cancel()

    async with anyio.create_task_group() as listening:
        with anyio.open_signal_receiver(*signals) as arriving:
            listening.start_soon(listen, arriving)
            try:
                with body:
                    yield
            finally:
                listening.cancel_scope.cancel()
    if received:
        raise StoppedError(received[0])
