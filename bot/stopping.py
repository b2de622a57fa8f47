"""Signals that end the bot: the first lets running turns finish, the second does not."""

import signal
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import anyio


class Stopping:
    """What the first signal ends, and what the second; later ones change nothing."""

    def __init__(self, at_first: anyio.CancelScope) -> None:
        self.at_first = at_first
        self.at_second: anyio.CancelScope | None = None

    @asynccontextmanager
    async def listen(self) -> AsyncGenerator[None]:
        """Take signals until what is opened within is closed."""
        async with anyio.create_task_group() as listening:
            listening.start_soon(self._listen)
            try:
                yield
            finally:
                listening.cancel_scope.cancel()

    async def _listen(self) -> None:
        with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
            async for _ in signals:
                if self.at_first.cancel_called and self.at_second:
                    self.at_second.cancel()
                self.at_first.cancel()
