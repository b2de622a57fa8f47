"""The threads of the embedded store: lanes, limits, callers that go away."""

import asyncio
from threading import Event

import anyio
import pytest
from anyio import to_thread

from servers.conversations.file_threads import JobThreads, open_job_threads


class Work:
    """A job that ends when it is told to."""

    def __init__(self) -> None:
        self.began, self.may_end = Event(), Event()
        self.is_over = False

    def __call__(self) -> str:
        self.began.set()
        assert self.may_end.wait(10)
        self.is_over = True
        return "done"


async def begun(work: Work) -> None:
    assert await to_thread.run_sync(work.began.wait, 10)


async def test_jobs_of_a_lane_come_one_after_another_and_who_left_is_passed_over() -> None:
    first, left, last, other = works = [Work() for _ in range(4)]
    with anyio.fail_after(30):
        async with open_job_threads(4) as threads, anyio.create_task_group() as tasks:
            tasks.start_soon(threads.run, first, 7)
            await begun(first)
            async with anyio.create_task_group() as leaving:
                leaving.start_soon(threads.run, left, 7)
                await anyio.wait_all_tasks_blocked()
                leaving.cancel_scope.cancel()
            tasks.start_soon(threads.run, last, 7)
            tasks.start_soon(threads.run, other, 8)
            await begun(other)
            assert not last.began.is_set()
            for work in works:
                work.may_end.set()
        assert [work.is_over for work in works] == [True, False, True, True]


async def test_jobs_beyond_the_limit_come_in_their_order() -> None:
    done: list[int] = []
    first = Work()
    with anyio.fail_after(30):
        async with open_job_threads(1) as threads, anyio.create_task_group() as tasks:
            tasks.start_soon(threads.run, first)
            await begun(first)
            for number in range(20):
                tasks.start_soon(threads.run, lambda number=number: done.append(number), number % 3)
                await anyio.wait_all_tasks_blocked()
            first.may_end.set()
    assert sorted(done) == list(range(20))
    assert [number for number in done if number % 3 == 1] == list(range(1, 20, 3))


async def test_a_job_that_began_is_waited_for_by_who_is_cancelled_and_its_outcome_kept() -> None:
    work, kept = Work(), list[str]()

    async def keep(threads: JobThreads) -> None:
        kept.append(await threads.run(work))
        await anyio.sleep_forever()  # the cancellation is told here

    with anyio.fail_after(30):
        async with open_job_threads(1) as threads, anyio.create_task_group() as tasks:
            tasks.start_soon(keep, threads)
            await begun(work)
            tasks.cancel_scope.cancel()
            with anyio.CancelScope(shield=True):
                await anyio.wait_all_tasks_blocked()
            assert not kept
            work.may_end.set()
    assert kept == ["done"]


async def test_a_job_that_began_is_waited_for_by_a_task_that_is_cancelled_again_and_again() -> None:
    work = Work()
    with anyio.fail_after(30):
        async with open_job_threads(1) as threads:
            task = asyncio.get_running_loop().create_task(threads.run(work))
            await begun(work)
            for _ in range(3):
                task.cancel()
                await anyio.wait_all_tasks_blocked()
            assert not task.done()
            work.may_end.set()
            with pytest.raises(asyncio.CancelledError):
                await task
    assert work.is_over


async def test_nothing_begins_for_who_is_cancelled_already() -> None:
    work = Work()
    with anyio.fail_after(30):
        async with open_job_threads(1) as threads:
            with anyio.CancelScope() as scope:
                scope.cancel()
                await threads.run(work)
            assert await threads.run(lambda: 3) == 3
    assert not work.began.is_set()


async def test_what_a_job_raises_is_raised_to_who_waits_for_it() -> None:
    def fail() -> None:
        raise KeyError("x")

    with anyio.fail_after(30):
        async with open_job_threads(1) as threads:
            for _ in range(2):
                with pytest.raises(KeyError, match="x"):
                    await threads.run(fail)
