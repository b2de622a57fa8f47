"""People who may not talk: one polite line a day each, and nothing is stored of them."""

import logging
from collections import OrderedDict
from collections.abc import Callable
from datetime import UTC, date, datetime

import anyio

from bot import wording
from bot.arrivals import Origin
from bot.post import Post

_REMEMBERED = 1_000
"""People; when there are more in a day, the one longest ago may get the line twice."""
_WAITING = 20
"""Lines to be sent; when more wait, strangers get none."""

logger = logging.getLogger(__name__)


def _today() -> date:
    return datetime.now(UTC).date()


class Strangers:
    """Tells strangers their id and what the operator can do with it."""

    def __init__(self, post: Post, today: Callable[[], date] = _today) -> None:
        self._post = post
        self._today = today
        self._told: OrderedDict[int, date] = OrderedDict()
        self._send, self._receive = anyio.create_memory_object_stream[Origin](_WAITING)

    def meet(self, origin: Origin) -> None:
        """Have the line sent, unless it was today. Never waits."""
        today = self._today()
        if self._told.get(origin.user_id) == today:
            return
        self._told[origin.user_id] = today
        self._told.move_to_end(origin.user_id)
        if len(self._told) > _REMEMBERED:
            self._told.popitem(last=False)
        logger.info("Somebody who is not in bot.people wrote: Telegram id %d", origin.user_id)
        try:
            self._send.send_nowait(origin)
        except anyio.WouldBlock:
            logger.debug("Too many strangers at once: %d is told nothing", origin.user_id)

    async def run(self) -> None:
        """Send the lines, one after the other, until cancelled."""
        with self._send, self._receive:
            async for origin in self._receive:
                await self._post.say(origin.chat_id, wording.render_stranger(origin.user_id))
