"""Telegram's flood control, as far as it is known: so many messages in so much time."""

from collections import defaultdict, deque
from collections.abc import Mapping
from math import ceil
from typing import Any

import anyio

from tests.fakes.telegram.refusals import RefusedError


class Pace:
    """At most `messages` to a chat, and `overall` to all, in each stretch of `seconds`."""

    def __init__(self, *, messages: int, overall: int, seconds: float) -> None:
        self._limits = {"chat": messages, "all": overall}
        self._seconds = seconds
        self._sent: defaultdict[object, deque[float]] = defaultdict(deque)

    def check(self, parameters: Mapping[str, Any]) -> None:
        """Count one message.

        Raises:
            RefusedError: It is one too many. It does not count.
        """
        now = anyio.current_time()
        places = (("chat", parameters.get("chat_id")), ("all", None))
        for kind, place in places:
            times = self._sent[place]
            while times and times[0] <= now - self._seconds:
                times.popleft()
            if len(times) >= self._limits[kind]:
                wait = max(1, ceil(times[0] + self._seconds - now))
                raise RefusedError(429, f"Too Many Requests: retry after {wait}", retry_after=wait)
        for _, place in places:
            self._sent[place].append(now)
