"""Holds a tool's requests to its `rate_limit`."""

from collections import deque

import anyio

from agentic.config.rate_limit import RateLimit
from servers.tools.results import ToolFailedError


class RateGate:
    """Lets so many through in any stretch of so many seconds; the others wait in their order."""

    def __init__(self, limit: RateLimit) -> None:
        self._limit = limit
        self._starts: deque[float] = deque()
        """When the latest went through, or will, in order; those of long ago are forgotten."""

    async def wait(self, deadline: float) -> None:
        """Return when it is this request's turn.

        Raises:
            ToolFailedError: That would be after `deadline` (of the event loop's clock).
        """
        now = anyio.current_time()
        while self._starts and self._starts[0] <= now - self._limit.seconds:
            self._starts.popleft()
        start = now
        if len(self._starts) >= self._limit.calls:
            start = self._starts[-self._limit.calls] + self._limit.seconds
        if start > deadline:
            raise ToolFailedError(
                "unavailable",
                f"the tool is held to {self._limit}; try again in {start - now:.0f} seconds",
                retry_after_seconds=round(start - now, 3),
            )
        self._starts.append(start)
        try:
            await anyio.sleep_until(start)
        except anyio.get_cancelled_exc_class():
            self._starts.remove(start)  # nothing was sent
            raise
