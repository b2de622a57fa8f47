"""Threads for a store's jobs: the way there and back takes a third of what it does through anyio's.

It is most of what an append takes beyond the disk's time.
"""

import asyncio
import os
from asyncio import CancelledError
from collections import deque
from collections.abc import AsyncGenerator, Callable
from contextlib import ExitStack, asynccontextmanager, suppress
from threading import Thread
from typing import Any, Generic, TypeVar, cast

import anyio
import anyio.to_thread
from anyio.lowlevel import checkpoint_if_cancelled

_T = TypeVar("_T")
_TOLD_BYTES = 65_536


class _Job(Generic[_T]):
    __slots__ = (
        "_error",
        "_result",
        "_work",
        "has_begun",
        "is_given_up",
        "is_over",
        "lane",
        "told",
    )

    def __init__(self, work: Callable[[], _T], lane: int | None) -> None:
        self.lane = lane
        self.told: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """That it is over."""
        self.has_begun = self.is_over = self.is_given_up = False
        self._work: Callable[[], _T] | None = work
        self._result: _T | None = None
        self._error: BaseException | None = None

    def do(self) -> None:
        """In a thread. What it holds is let go of with its end."""
        assert self._work is not None
        try:
            self._result = self._work()
        except BaseException as error:  # noqa: BLE001 - boundary: whoever waits for the job gets it
            self._error = error
        self._work = None

    def outcome(self) -> _T:
        """What it returned or raised."""
        if self._error is not None:
            try:
                raise self._error
            finally:
                self._error = None  # else it would keep this alive, by its traceback
        return cast("_T", self._result)


class JobThreads:
    """At most `limit` threads, started when all others are at work; of one event loop.

    Of the jobs of a lane one is at work at a time. Whoever waits does so in no thread.
    """

    def __init__(self, limit: int, given: tuple[int, int], done: tuple[int, int]) -> None:
        """The ends of two pipes: that jobs are given, and, not blocking, that they are done."""
        self._limit = limit
        # A queue's lock would wake a thread on another processor, which then has all to fetch.
        self._given_in, self._given_out = given
        self._done_in, self._done_out = done
        self._jobs: deque[_Job[Any] | None] = deque()
        self._done: deque[_Job[Any]] = deque()
        self._threads: list[Thread] = []
        self._at_work = 0
        self._lanes: dict[int, deque[_Job[Any]]] = {}
        """Who waits for the job that has the lane; there is no entry if none has it."""
        self._ready: deque[_Job[Any]] = deque()
        """Who has a lane, or needs none, and waits for a thread."""

    async def run(self, work: Callable[[], _T], lane: int | None = None) -> _T:
        """What `work` returns or raises in a thread; once it has begun, its end is waited for."""
        await checkpoint_if_cancelled()
        job = _Job(work, lane)
        self._admit(job)
        try:
            await job.told
        except CancelledError:
            if not job.has_begun:
                job.is_given_up = True
                raise
            await self._wait_for_end(job)
            # A scope of anyio tells it again at the next chance: the outcome is not lost.
            if anyio.current_effective_deadline() > float("-inf"):
                raise
        return job.outcome()

    async def _wait_for_end(self, job: _Job[Any]) -> None:
        while not job.is_over:
            job.told = asyncio.get_running_loop().create_future()
            with suppress(CancelledError), anyio.CancelScope(shield=True):
                await job.told

    def _admit(self, job: _Job[Any]) -> None:
        if job.lane is not None:
            waiting = self._lanes.get(job.lane)
            if waiting is not None:
                waiting.append(job)
                return
            self._lanes[job.lane] = deque()
        self._ready.append(job)
        self._begin_ready()

    def _begin_ready(self) -> None:
        while self._ready and self._at_work < self._limit:
            job = self._ready.popleft()
            if job.is_given_up:
                self._leave_lane(job)
                continue
            self._at_work += 1
            if self._at_work > len(self._threads):
                thread = Thread(target=self._work, name="conversation store", daemon=True)
                thread.start()
                self._threads.append(thread)
            job.has_begun = True
            self._give(job)

    def _give(self, job: _Job[Any] | None) -> None:
        self._jobs.append(job)
        os.write(self._given_out, b"\0")

    def _leave_lane(self, job: _Job[Any]) -> None:
        if job.lane is not None:
            waiting = self._lanes[job.lane]
            if waiting:
                self._ready.append(waiting.popleft())
            else:
                del self._lanes[job.lane]

    def take_in(self) -> None:
        """Tell of jobs that are over, and begin those that waited for them."""
        with suppress(BlockingIOError):  # taken in already
            os.read(self._done_in, _TOLD_BYTES)
        while self._done:
            job = self._done.popleft()
            job.is_over = True
            if not job.told.done():
                job.told.set_result(None)
            self._at_work -= 1
            self._leave_lane(job)
        self._begin_ready()

    def _work(self) -> None:
        while os.read(self._given_in, 1) and (job := self._jobs.popleft()) is not None:
            job.do()
            self._done.append(job)
            del job  # or it would be kept until the next one comes
            with suppress(BlockingIOError):  # so much of it waits there that it is seen
                os.write(self._done_out, b"\0")

    def end(self) -> None:
        """End the threads, when their jobs are done; no other job begins."""
        self._limit = 0
        for _ in self._threads:
            self._give(None)
        for thread in self._threads:
            thread.join()


@asynccontextmanager
async def open_job_threads(limit: int) -> AsyncGenerator[JobThreads]:
    """Threads that end with the context; a job that began is waited for."""
    loop = asyncio.get_running_loop()
    with ExitStack() as opened:
        given, done = _open_pipe(opened), _open_pipe(opened)
        for fd in done:
            os.set_blocking(fd, False)
        threads = JobThreads(limit, given, done)
        loop.add_reader(done[0], threads.take_in)
        opened.callback(loop.remove_reader, done[0])
        try:
            yield threads
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.to_thread.run_sync(threads.end)
            threads.take_in()


def _open_pipe(opened: ExitStack) -> tuple[int, int]:
    ends = os.pipe()
    for fd in ends:
        opened.callback(os.close, fd)
    return ends
