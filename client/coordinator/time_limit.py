"""A turn's time limit, which stands still while a person thinks."""

import math
from collections.abc import Generator
from contextlib import contextmanager

import anyio


class TimeLimit:
    """So many seconds of work; cancels what runs within `running`."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._scope = anyio.CancelScope()
        self.is_stopped = False
        """Whether somebody wanted an end before the time was over."""

    @contextmanager
    def running(self) -> Generator[None]:
        """Left without an error when the time is over, or after `stop`."""
        self._scope.deadline = anyio.current_time() + self._seconds
        with self._scope:
            yield

    def stop(self) -> None:
        """Let the time be over now."""
        self.is_stopped = True
        self._scope.cancel()

    @contextmanager
    def paused(self) -> Generator[None]:
        """The time meanwhile does not count."""
        left = self._scope.deadline - anyio.current_time()
        self._scope.deadline = math.inf
        try:
            yield
        finally:
            self._scope.deadline = anyio.current_time() + left
