"""Threads for a store's jobs: the way there and back takes half of what it does through anyio's.

It is most of what an append takes beyond the disk's time.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue
from threading import Thread
from typing import Any, TypeVar

import anyio

_T = TypeVar("_T")


class JobThreads:
    """At most `limit` threads, started when all others are at work."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._free = anyio.Semaphore(limit, fast_acquire=True)
        self._jobs: SimpleQueue[tuple[Callable[[], Any], asyncio.Future[Any]] | None]
        self._jobs = SimpleQueue()
        self._threads: list[Thread] = []

    def close(self) -> None:
        """End the threads, when their jobs are done."""
        for _ in self._threads:
            self._jobs.put(None)
        for thread in self._threads:
            thread.join()

    async def run(self, job: Callable[[], _T]) -> _T:
        """What `job` returns or raises in a thread; once it has begun, its end is waited for."""
        async with self._free:
            if self._limit - self._free.value > len(self._threads):
                thread = Thread(target=self._work, name="conversation store", daemon=True)
                thread.start()
                self._threads.append(thread)
            future: asyncio.Future[_T] = asyncio.get_running_loop().create_future()
            with anyio.CancelScope(shield=True):
                self._jobs.put((job, future))
                await future
            return future.result()

    def _work(self) -> None:
        while (given := self._jobs.get()) is not None:
            _do(*given)
            del given  # or what a job holds would be kept until the next one comes


def _do(job: Callable[[], _T], future: asyncio.Future[_T]) -> None:
    try:
        result = job()
    except BaseException as error:  # noqa: BLE001 - boundary: whoever waits for the job gets it
        _tell(future, future.set_exception, error)
    else:
        _tell(future, future.set_result, result)


def _tell(future: asyncio.Future[Any], tell: Callable[[Any], None], outcome: object) -> None:
    with suppress(RuntimeError):  # the event loop is closed: nobody waits any more
        future.get_loop().call_soon_threadsafe(_tell_if_awaited, future, tell, outcome)


def _tell_if_awaited(
    future: asyncio.Future[Any], tell: Callable[[Any], None], outcome: object
) -> None:
    if not future.cancelled():
        tell(outcome)
