"""When a conversation in DynamoDB was written to last, and whether that is too long ago."""

from datetime import UTC, datetime, timedelta

from servers.conversations.contract import to_timestamp

_LATEST_MILLISECONDS = 253_402_300_799_000
"""Of a moment that Python's clock knows; no log begins later."""


def written_at(ordinal: int, updated: str, written: str | None) -> str:
    """When the item of a log with this number was written, or a little before.

    `updated` alone does not tell: what is imported may be old, and titles don't move it. A log's
    numbers begin at the clock's milliseconds, which tells when its conversation came here.
    """
    begun = datetime.fromtimestamp(min(ordinal, _LATEST_MILLISECONDS) / 1000, UTC)
    return max(to_timestamp(begun), updated, written or "")


def is_left_alone(written: str, now: str, idle_days: float | None) -> bool:
    """Whether nothing was written for too long; never without `idle_days`."""
    return idle_days is not None and written < days_before(now, idle_days)


def days_before(now: str, days: float) -> str:
    """The moment so long before."""
    return to_timestamp(datetime.fromisoformat(now) - timedelta(days=days))
