"""Further attempts at what failed for now, where repeating is safe."""

import random
from collections.abc import Awaitable, Callable
from typing import TypeVar

import anyio

from servers.tools.results import ToolFailedError

_FIRST_WAIT_SECONDS = 0.25
_LONGEST_WAIT_SECONDS = 8.0

T = TypeVar("T")


class Attempts:
    """How often a tool's call may be tried. `may_repeat`: even if the endpoint saw it already."""

    def __init__(self, retries: int, *, may_repeat: bool) -> None:
        self._retries = retries
        self._may_repeat = may_repeat

    async def run(self, attempt: Callable[[], Awaitable[T]], deadline: float) -> T:
        """What an attempt gives. Between attempts: full jitter, or what `Retry-After` says.

        Raises:
            ToolFailedError: All failed, or what came can't be tried again before `deadline`.
        """
        for tried in range(1, self._retries + 2):
            try:
                return await attempt()
            except ToolFailedError as error:
                wait = self._find_wait(error, tried)
                if wait is None or anyio.current_time() + wait >= deadline:
                    raise _tell_attempts(error, tried) from None
            await anyio.sleep(wait)
        raise AssertionError("the last attempt returns or raises")

    def _find_wait(self, error: ToolFailedError, tried: int) -> float | None:
        """Seconds until the next attempt; None: there is none."""
        is_safe = self._may_repeat or not error.was_sent
        if tried > self._retries or not error.may_pass or not is_safe:
            return None
        if error.detail.retry_after_seconds is not None:
            return error.detail.retry_after_seconds
        longest = min(_LONGEST_WAIT_SECONDS, _FIRST_WAIT_SECONDS * 2 ** (tried - 1))
        return random.uniform(0, longest)  # noqa: S311 - spreads callers, hides nothing


def _tell_attempts(error: ToolFailedError, tried: int) -> ToolFailedError:
    if tried == 1:
        return error
    detail = error.detail
    return ToolFailedError(
        detail.code,
        f"{detail.message} (tried {tried} times)",
        field=detail.field,
        retry_after_seconds=detail.retry_after_seconds,
    )
