"""Says that a message waits: once in a busy time, silently, and no longer than it waits."""

from collections.abc import Awaitable, Callable

import anyio
from anyio.abc import TaskGroup

from bot import wording
from bot.lanes import Lanes
from bot.post import Post, Sent
from bot.rendering import Part

BUSY_SECONDS = 2.0
"""A wait that is shorter needs no note."""

Job = Callable[[], Awaitable[None]]


class BusyNotes:
    """What waits behind something else in a chat. After a crash a note stays where it is."""

    def __init__(
        self, post: Post, lanes: Lanes, tasks: TaskGroup, busy_seconds: float = BUSY_SECONDS
    ) -> None:
        """`busy_seconds`: how long a message has waited before its note."""
        self._post = post
        self._lanes = lanes
        self._tasks = tasks
        self._busy_seconds = busy_seconds
        self._noted: dict[int, object] = {}
        """The busy time in which there was a note, of each chat."""

    def push(self, chat_id: int, message_id: int, job: Job) -> None:
        """Put a job of this message into its chat's lane, and see to its note if it has to wait."""
        busy_time = self._lanes.busy_time(chat_id)
        if busy_time is None or self._noted.get(chat_id) is busy_time:
            self._lanes.push(chat_id, job)
            return
        begun = anyio.Event()

        async def begin() -> None:
            begun.set()
            await job()

        self._lanes.push(chat_id, begin)
        self._tasks.start_soon(self._note, chat_id, message_id, busy_time, begun)

    async def _note(
        self, chat_id: int, message_id: int, busy_time: object, begun: anyio.Event
    ) -> None:
        with anyio.move_on_after(self._busy_seconds):
            await begun.wait()
            return
        if self._noted.get(chat_id) is busy_time:
            return
        self._noted[chat_id] = busy_time
        note = await self._post.send(chat_id, Part(wording.WAITS_HERE), message_id, silent=True)
        await begun.wait()
        if isinstance(note, Sent):
            await self._post.remove(chat_id, note.message_id)
