"""What a poll has brought and is not taken in yet: a sign that more of a chat is about to come."""

from collections.abc import Iterable, Mapping
from typing import Any

import anyio


class Ahead:
    """The messages of one poll, by chat. Nothing is ahead of a webhook's updates."""

    def __init__(self) -> None:
        self._chats: dict[int, int] = {}
        """Chats by the ids of their updates."""
        self._changed = anyio.Event()

    def bring(self, updates: Iterable[Mapping[str, Any]]) -> None:
        """A poll has brought these, as Telegram sends them, in place of what there was."""
        self._chats = {
            update["update_id"]: update["message"]["chat"]["id"]
            for update in updates
            if "message" in update
        }
        self._tell()

    def take(self, update_id: int) -> None:
        """This one is taken in."""
        if self._chats.pop(update_id, None) is not None:
            self._tell()

    async def wait_for_rest(self, chat_id: int) -> None:
        """Return when all of a chat is taken in, which may wait for the store."""
        while chat_id in self._chats.values():
            await self._changed.wait()

    def _tell(self) -> None:
        self._changed.set()
        self._changed = anyio.Event()
