"""How fast Telegram may be asked to show things: in one chat, in a group, and over all.

Telegram publishes about one message a second in a chat, 20 a minute in a group and 30 a second over
all; who sends faster is told to pause. A pause holds in the chat that it was told for, and there
alone.
"""

from collections import deque
from dataclasses import dataclass, field

import anyio

IN_CHAT = (3, 3.0)
"""One a second, so that the end of a reply need not wait for what was just shown of it."""
_IN_GROUP = (20, 60.0)
_OVER_ALL = (30, 1.0)
_CHANGES_OVER_ALL = (20, 1.0)
"""So that replies that are shown while they grow leave room for those that are done."""
_KEPT_CHATS = 1_000


class Window:
    """At most `limit` in any stretch of `seconds`; who comes first is let through first."""

    def __init__(self, limit: int, seconds: float) -> None:
        self._seconds = seconds
        self._latest: deque[float] = deque(maxlen=limit)
        self._order = anyio.Lock()

    async def enter(self) -> None:
        """Wait for a place, and take it."""
        async with self._order:
            if len(self._latest) == self._latest.maxlen:
                await anyio.sleep_until(self._latest[0] + self._seconds)
            self._latest.append(anyio.current_time())

    @property
    def is_idle(self) -> bool:
        """Whether nothing of what was let through counts any more."""
        newest = self._latest[-1] if self._latest else float("-inf")
        return not self._order.locked() and newest + self._seconds <= anyio.current_time()


@dataclass
class _Chat:
    window: Window
    group_window: Window = field(default_factory=lambda: Window(*_IN_GROUP))
    paused_until: float = float("-inf")

    @property
    def is_idle(self) -> bool:
        past = self.paused_until <= anyio.current_time()
        return past and self.window.is_idle and self.group_window.is_idle


class Pace:
    """Lets requests through as fast as Telegram wants them."""

    def __init__(self, in_chat: tuple[int, float] = IN_CHAT) -> None:
        """`in_chat`: how many messages, in how many seconds."""
        self._in_chat = in_chat
        self._chats: dict[int, _Chat] = {}
        self._all = Window(*_OVER_ALL)
        self._changes = Window(*_CHANGES_OVER_ALL)

    async def wait(self, chat_id: int, *, change: bool = False) -> None:
        """Return when something may be sent to a chat, or, if `change`, something there changed."""
        chat = self._find(chat_id)
        await anyio.sleep_until(chat.paused_until)
        if chat_id < 0:
            await chat.group_window.enter()
        await chat.window.enter()
        if change:
            await self._changes.enter()
        await self._all.enter()

    def pause(self, chat_id: int, seconds: float) -> None:
        """Let nothing through to this chat for so long."""
        chat = self._find(chat_id)
        chat.paused_until = max(chat.paused_until, anyio.current_time() + seconds)

    def pause_left(self, chat_id: int) -> float:
        """Seconds until a pause is over; 0 if there is none."""
        chat = self._chats.get(chat_id)
        return max(0.0, chat.paused_until - anyio.current_time()) if chat else 0.0

    def _find(self, chat_id: int) -> _Chat:
        if len(self._chats) >= _KEPT_CHATS and chat_id not in self._chats:
            self._chats = {known: chat for known, chat in self._chats.items() if not chat.is_idle}
        return self._chats.setdefault(chat_id, _Chat(Window(*self._in_chat)))
