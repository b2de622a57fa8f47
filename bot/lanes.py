"""Order within a chat, and many chats at once."""

import logging
import secrets
from collections import deque
from collections.abc import Awaitable, Callable

import anyio
from anyio.abc import TaskGroup

Job = Callable[[], Awaitable[None]]

logger = logging.getLogger(__name__)


class Lanes:
    """Runs the jobs of each chat one after the other, and at most `at_once` over all chats."""

    def __init__(
        self,
        tasks: TaskGroup,
        *,
        at_once: int,
        on_failure: Callable[[int, str], Awaitable[None]],
    ) -> None:
        """`on_failure` tells a chat that a job of its failed, by a reference that the log has."""
        self._tasks = tasks
        self._on_failure = on_failure
        self._free = anyio.Semaphore(at_once)
        self._lanes: dict[int, deque[Job]] = {}
        self._closing = False
        self._idle = anyio.Event()

    @property
    def waiting(self) -> int:
        """How many jobs wait or run, over all chats."""
        return sum(map(len, self._lanes.values()))

    def is_busy(self, chat_id: int) -> bool:
        """Whether something is running or waiting in this chat."""
        return chat_id in self._lanes

    def busy_time(self, chat_id: int) -> object | None:
        """The same object for as long as a chat is busy without a pause; None: it is not busy."""
        return self._lanes.get(chat_id)

    def push(self, chat_id: int, job: Job) -> None:
        """Run the job after those of the same chat that came before."""
        if chat_id in self._lanes:
            self._lanes[chat_id].append(job)
            return
        self._lanes[chat_id] = deque([job])
        self._tasks.start_soon(self._run, chat_id)

    async def finish(self) -> None:
        """Start no more jobs, and wait until those that run are done."""
        self._closing = True
        if self._lanes:
            await self._idle.wait()

    async def _run(self, chat_id: int) -> None:
        lane = self._lanes[chat_id]
        while lane and not self._closing:
            async with self._free:
                if not self._closing:
                    await self._do(chat_id, lane[0])
            lane.popleft()
        del self._lanes[chat_id]
        if not self._lanes:
            self._idle.set()
            self._idle = anyio.Event()

    async def _do(self, chat_id: int, job: Job) -> None:
        try:
            await job()
        except Exception:  # boundary: what one message runs into must not stop the others
            reference = secrets.token_hex(4)
            logger.exception("Something in chat %s broke, reference %s", chat_id, reference)
            try:
                await self._on_failure(chat_id, reference)
            except Exception:  # boundary: as above
                logger.exception("That it broke was not told, reference %s", reference)
