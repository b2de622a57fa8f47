"""When a conversation has expired: at a time of its own, or when it was left alone for too long."""

import time
from dataclasses import dataclass
from datetime import UTC, datetime

from servers.conversations.contract import to_timestamp

_SECONDS_A_DAY = 86_400
_NANOSECONDS = 10**9


@dataclass(frozen=True, slots=True)
class Horizon:
    """A moment: whatever lies beyond it has expired. Its fields are parameters of SQL, too."""

    now: str
    idle_since_ns: int
    """A file to which nothing was written since this time was left alone for too long."""

    def has_passed(self, expires_at: str | None, mtime_ns: int) -> bool:
        """Whether a conversation has expired, by its own time and by that of its file."""
        return mtime_ns < self.idle_since_ns or (expires_at is not None and expires_at <= self.now)


@dataclass(frozen=True, slots=True)
class Expiry:
    """Which conversations expire by themselves: those that nothing was written to for so long.

    What is written counts, and not `last_updated`: what is imported may be old already.
    """

    idle_days: float | None = None
    """None: none do."""

    def look(self) -> Horizon:
        """The horizon now."""
        idle_since_ns = 0
        if self.idle_days is not None:
            idle_since_ns = time.time_ns() - int(self.idle_days * _SECONDS_A_DAY * _NANOSECONDS)
        return Horizon(to_timestamp(datetime.now(UTC)), max(idle_since_ns, 0))


NEVER = Expiry()
