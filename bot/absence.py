"""Tells a chat that the store is away: once, until it is back."""

import anyio

from bot.post import Post
from client.store_absence import PATIENCE_SECONDS


class AbsenceNotices:
    """Who has been told."""

    def __init__(self, post: Post) -> None:
        self._post = post
        self._told: set[int] = set()

    async def tell(self, chat_id: int, text: str) -> None:
        """Say it, unless this chat knows already."""
        if chat_id not in self._told:
            self._told.add(chat_id)
            await self._post.say(chat_id, text)

    async def tell_later(self, chat_id: int, text: str) -> None:
        """Say it when it has lasted some seconds; to be cancelled when the store is back."""
        await anyio.sleep(PATIENCE_SECONDS)
        await self.tell(chat_id, text)

    def is_back(self, chat_id: int) -> None:
        """Something of this chat was stored: the next absence is a new one."""
        self._told.discard(chat_id)
