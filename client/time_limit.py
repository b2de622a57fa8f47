"""A time limit that stands still while a person thinks."""

import math
from collections.abc import Generator
from contextlib import contextmanager

import anyio


class TimeLimit:
    """So many seconds of work, in one stretch or several; cancels what runs within `running`."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._left = seconds
        self._pauses = 0
        self._scope = anyio.CancelScope()
        self.is_stopped = False
        """Whether somebody wanted an end before the time was over."""

    @property
    def left(self) -> float:
        """Seconds, between stretches."""
        return max(0.0, self._left)

    def spend(self, seconds: float) -> None:
        """Count time that went by between stretches."""
        self._left -= seconds

    @contextmanager
    def running(self) -> Generator[None]:
        """Left without an error when the time is over, or after `stop`."""
        self._scope = anyio.CancelScope(deadline=anyio.current_time() + self._left)
        if self.is_stopped:
            self._scope.cancel()
        with self._scope:
            try:
                yield
            finally:
                self._left = self._scope.deadline - anyio.current_time()

    def stop(self) -> None:
        """Let the time be over now."""
        self.is_stopped = True
        self._scope.cancel()

    @contextmanager
    def paused(self) -> Generator[None]:
        """The time meanwhile does not count, however many pauses overlap."""
        if self._pauses == 0:
            self._left = self._scope.deadline - anyio.current_time()
            self._scope.deadline = math.inf
        self._pauses += 1
        try:
            yield
        finally:
            self._pauses -= 1
            if self._pauses == 0:
                self._scope.deadline = anyio.current_time() + self._left
