"""How often a tool was called, how that went, how long it took: sums that can be added up."""

import math
from typing import Self

from pydantic import BaseModel, Field

STEPS_PER_DOUBLING = 8
"""Buckets end 9 % apart, so the middle of one is off by 4.5 % at most."""
_SMALLEST_SECONDS = 0.001
_FIRST, _LAST = -32, 160
"""From 1/16 ms to 17 minutes; what is beyond counts as that."""


class Figures(BaseModel):
    """Sums over calls, of one tool. `buckets` tell how many calls took how long."""

    calls: int = Field(default=0, ge=0)
    errors: dict[str, int] = {}
    """By code."""
    seconds: float = Field(default=0.0, ge=0)
    bytes_in: int = Field(default=0, ge=0)
    buckets: dict[int, int] = {}

    def count(self, error: str | None, seconds: float, bytes_in: int) -> None:
        """Add a call; `error` is the code of one that failed."""
        bucket = _to_bucket(seconds)
        self.calls += 1
        self.seconds += seconds
        self.bytes_in += bytes_in
        self.buckets[bucket] = self.buckets.get(bucket, 0) + 1
        if error is not None:
            self.errors[error] = self.errors.get(error, 0) + 1

    def add(self, other: Self) -> None:
        """Add what was counted elsewhere."""
        self.calls += other.calls
        self.seconds += other.seconds
        self.bytes_in += other.bytes_in
        for bucket, count in other.buckets.items():
            self.buckets[bucket] = self.buckets.get(bucket, 0) + count
        for code, count in other.errors.items():
            self.errors[code] = self.errors.get(code, 0) + count

    def quantile(self, share: float) -> float:
        """The seconds that this share of the calls took at most, within 5 %."""
        wanted = max(1, math.ceil(self.calls * share))
        for bucket in sorted(self.buckets):
            wanted -= self.buckets[bucket]
            if wanted <= 0:
                return to_seconds(bucket - 0.5)
        return 0.0


def to_seconds(bucket: float) -> float:
    """Where a bucket ends; bucket 0 ends at 1 ms."""
    return _SMALLEST_SECONDS * 2 ** (bucket / STEPS_PER_DOUBLING)


def _to_bucket(seconds: float) -> int:
    if seconds <= 0:
        return _FIRST
    step = math.ceil(math.log2(seconds / _SMALLEST_SECONDS) * STEPS_PER_DOUBLING)
    return min(max(step, _FIRST), _LAST)
