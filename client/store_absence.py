"""The conversation store may be away: which failures say so, and how long it is waited for."""

import random
from collections.abc import Awaitable, Callable
from typing import TypeVar

import anyio

from client.conversations import ConversationCallError
from client.hub.errors import CallTimedOutError, HubError, InvalidArgumentsError

ResultT = TypeVar("ResultT")

STORE_SECONDS = 10.0
"""The longest that one call for a turn may take: what can't go on without its answer fails then."""
PATIENCE_SECONDS = 3.0
"""The longest that a turn waits for a store that is away, before what it produced is spooled."""

_PASSING_CODES = frozenset({"unavailable", "forbidden", "unsupported"})
"""`forbidden` and `unsupported` pass when the operator mends the configuration or the server."""
_FIRST_DELAY_SECONDS = 0.2


def is_passing(error: Exception) -> bool:
    """Whether the same call may succeed later, without anybody changing what is asked."""
    if isinstance(error, ConversationCallError):
        return error.code in _PASSING_CODES
    return isinstance(error, HubError) and not isinstance(error, InvalidArgumentsError)


async def try_for(
    seconds: float,
    operation: Callable[[], Awaitable[ResultT]],
    *,
    retry_seconds: float = PATIENCE_SECONDS,
) -> ResultT:
    """Call until there is a result, for so long at most. `operation` must be safe to repeat.

    What fails is not tried again after `retry_seconds`.

    Raises:
        HubError, ConversationCallError: There was none, or it was refused for a reason that doesn't
        pass.
    """
    last: HubError | ConversationCallError = CallTimedOutError(
        "conversations",
        f"server conversations gave no answer within {seconds:g} s; whether it took effect is "
        "unknown",
        outcome_unknown=True,
    )
    delay = _FIRST_DELAY_SECONDS
    last_try_at = anyio.current_time() + retry_seconds
    with anyio.move_on_after(seconds):
        while True:
            try:
                return await operation()
            except (HubError, ConversationCallError) as error:
                if not is_passing(error):
                    raise
                last = error
            pause = delay * random.uniform(0.5, 1)  # noqa: S311 - no secret
            if anyio.current_time() + pause > last_try_at:
                break
            await anyio.sleep(pause)
            delay *= 2
    raise last
