"""Calls to the conversation server that wait for it: it may be away, but nothing may be lost."""

import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar

import anyio

from client.conversations import ConversationCallError
from client.hub.errors import HubError
from client.store_absence import is_passing

ResultT = TypeVar("ResultT")

_FIRST_DELAY_SECONDS = 0.2
_LONGEST_DELAY_SECONDS = 15.0
_SECONDS_BETWEEN_WARNINGS = 60.0

logger = logging.getLogger(__name__)


async def keep_trying(operation: Callable[[], Awaitable[ResultT]], purpose: str) -> ResultT:
    """Call until there is a result; for ever, but cancellable. `operation` must be safe to repeat.

    Raises:
        HubError, ConversationCallError: It was refused for a reason that doesn't pass.
    """
    delay, warned_at = _FIRST_DELAY_SECONDS, float("-inf")
    while True:
        try:
            result = await operation()
        except (HubError, ConversationCallError) as error:
            if not is_passing(error):
                raise
            if anyio.current_time() - warned_at >= _SECONDS_BETWEEN_WARNINGS:
                logger.warning("Waiting for the conversation server to %s: %s", purpose, error)
                warned_at = anyio.current_time()
        else:
            if warned_at != float("-inf"):
                logger.warning("The conversation server answers again")
            return result
        await anyio.sleep(delay)
        delay = min(delay * 2, _LONGEST_DELAY_SECONDS)
