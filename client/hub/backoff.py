"""How long a connection that ended is left alone: longer if it has no prospects."""

import random

_FIRST_SECONDS = 0.2
_MAX_SECONDS = 30.0
_FIRST_HOPELESS_SECONDS = 5.0
_MAX_HOPELESS_SECONDS = 300.0
"""What speaks no MCP is a mistake in mcp.yml, which a person has to correct."""
_STABLE_SECONDS = 10.0


class Backoff:
    """Twice as long each time, until a connection has lasted."""

    def __init__(self) -> None:
        self._failures = 0

    def next_delay(self, ready_seconds: float | None, *, hopeless: bool) -> float:
        """Seconds until the next attempt; `ready_seconds` is None if this was never ready."""
        if ready_seconds is not None and ready_seconds >= _STABLE_SECONDS:
            self._failures = 0
        if ready_seconds is None or hopeless:
            self._failures = max(self._failures, 1)
        failures, self._failures = self._failures, self._failures + 1
        if failures == 0:
            return 0.0
        first, longest = (
            (_FIRST_HOPELESS_SECONDS, _MAX_HOPELESS_SECONDS)
            if hopeless
            else (_FIRST_SECONDS, _MAX_SECONDS)
        )
        # At random, so that many clients don't come at once.
        return min(first * 2 ** min(failures - 1, 16), longest) * random.uniform(0.5, 1.0)  # noqa: S311 - no secret
