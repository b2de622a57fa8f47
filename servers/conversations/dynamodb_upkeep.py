"""What a store in DynamoDB does by itself: entries that wait, what expires, what was left over."""

import logging
from datetime import UTC, datetime, timedelta

import anyio

from servers.aws.dynamodb import verb
from servers.conversations.contract import to_timestamp
from servers.conversations.dynamodb_changes import remove_expired
from servers.conversations.dynamodb_listings import find_expired, find_idle, find_left_over
from servers.conversations.dynamodb_writes import Writer
from servers.conversations.store_errors import ConversationError

_log = logging.getLogger(__name__)

_PAUSE_SECONDS = 5.0
_SWEEP_SECONDS = 600.0
_AT_ONCE = 100
_IDLE_PAUSE_SECONDS = 60.0
_IDLE_SWEEP_SECONDS = 86_400.0
"""It asks for each owner, and what has expired is hidden meanwhile."""
_REMOVER_SECONDS = 60.0
"""So long whoever began anew, or deleted, is left to remove what was there before."""


async def keep_up(writer: Writer) -> None:
    """Write entries that wait, and sweep now and then, until cancelled."""
    swept_at = -_SWEEP_SECONDS
    while True:
        await anyio.sleep(_PAUSE_SECONDS)
        verb.set("upkeep")
        try:
            since = anyio.current_time() - writer.listing_seconds
            await writer.list_what_waits(older_than=since)
            if anyio.current_time() - swept_at >= _SWEEP_SECONDS:
                swept_at = anyio.current_time()
                await sweep(writer)
        except ConversationError as error:
            _log.warning("the upkeep of the conversation store waits: %s", error)


async def remove_idle(writer: Writer) -> None:
    """Remove now and then, until cancelled, what was left alone for too long."""
    pause_seconds = _IDLE_PAUSE_SECONDS
    while writer.idle_days is not None:
        await anyio.sleep(pause_seconds)
        pause_seconds = _IDLE_SWEEP_SECONDS
        verb.set("upkeep")
        try:
            await sweep_idle(writer)
        except ConversationError as error:
            _log.warning("conversations that were left alone are removed later: %s", error)


async def sweep_idle(writer: Writer) -> None:
    """Remove all conversations that were left alone for too long."""
    async for pair in find_idle(writer, to_timestamp(datetime.now(UTC))):
        await remove_expired(writer, *pair)


async def sweep(writer: Writer, *, remover_seconds: float = _REMOVER_SECONDS) -> None:
    """Remove conversations that have expired, and what a killed process left, some at a time.

    `remover_seconds`: what was begun to be removed since is left to whoever does it.
    """
    now = datetime.now(UTC)
    for pair in await find_expired(writer, to_timestamp(now), _AT_ONCE):
        await remove_expired(writer, *pair)
    until = to_timestamp(now - timedelta(seconds=remover_seconds))
    for pair in await find_left_over(writer, until, _AT_ONCE):
        await writer.clean_up(await writer.read(*pair))
