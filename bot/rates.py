"""How often somebody may do something: a bucket of tokens for each, which fills again by and by."""

from collections import OrderedDict
from dataclasses import dataclass

import anyio

_REMEMBERED = 1_000


@dataclass
class _Bucket:
    tokens: float
    as_of: float
    is_empty: bool = False
    """Since somebody was refused."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Nothing was taken, since there was nothing."""

    seconds: float
    """Until there is one."""
    is_first: bool
    """Of those since one was taken."""


class Rates:
    """A bucket for each user, of the latest 1,000; who was away for longer has a full one."""

    def __init__(self, burst: int, refill_seconds: float) -> None:
        """`burst` at once, and one more every `refill_seconds`."""
        self._burst = burst
        self._refill_seconds = refill_seconds
        self._buckets: OrderedDict[int, _Bucket] = OrderedDict()

    def take(self, user_id: int) -> Refusal | None:
        """Take one, if there is one."""
        now = anyio.current_time()
        bucket = self._buckets.setdefault(user_id, _Bucket(self._burst, now))
        self._buckets.move_to_end(user_id)
        if len(self._buckets) > _REMEMBERED:
            self._buckets.popitem(last=False)
        grown = (now - bucket.as_of) / self._refill_seconds
        bucket.tokens, bucket.as_of = min(self._burst, bucket.tokens + grown), now
        was_empty, bucket.is_empty = bucket.is_empty, bucket.tokens < 1
        if bucket.is_empty:
            return Refusal((1 - bucket.tokens) * self._refill_seconds, not was_empty)
        bucket.tokens -= 1
        return None
