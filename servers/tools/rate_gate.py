"""Holds a tool's requests to its `rate_limit`."""

from collections import deque

import anyio

from agentic.config.rate_limit import RateLimit
from servers.tools.results import ToolFailedError


class RateGate:
    """Lets so many through in any stretch of so many seconds; the others wait in their order."""

    def __init__(self, limit: RateLimit) -> None:
        self._limit = limit
        self._starts: deque[float] = deque(maxlen=limit.calls)
        """When the latest went through, or will."""

    async def wait(self, deadline: float) -> None:
        """Return when it is this request's turn.

        Raises:
            ToolFailedError: That would be after `deadline` (of the event loop's clock).
        """
        now = anyio.current_time()
        start = now
        if len(self._starts) == self._limit.calls:
            start = max(now, self._starts[0] + self._limit.seconds)
        if start > deadline:
            raise ToolFailedError(
                "unavailable",
                f"the tool is held to {self._limit}; try again in {start - now:.0f} seconds",
                retry_after_seconds=round(start - now, 3),
            )
        self._starts.append(start)
        await anyio.sleep_until(start)
