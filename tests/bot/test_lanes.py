"""Order within a chat, and a limit over all of them."""

from functools import partial

import anyio
import pytest

from bot.lanes import Lanes


async def unexpected(chat_id: int, reference: str) -> None:
    raise AssertionError((chat_id, reference))


async def test_jobs_of_a_chat_run_in_order_and_only_so_many_chats_at_once() -> None:
    running: list[int] = []
    done: list[tuple[int, int]] = []
    most = 0
    release = anyio.Event()

    async def job(chat_id: int, number: int) -> None:
        nonlocal most
        running.append(chat_id)
        most = max(most, len(running))
        assert running.count(chat_id) == 1
        if len(running) == 3:
            release.set()
        await release.wait()
        running.remove(chat_id)
        done.append((chat_id, number))

    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            lanes = Lanes(tasks, at_once=3, on_failure=unexpected)
            for number in range(4):
                for chat_id in range(5):
                    lanes.push(chat_id, partial(job, chat_id, number))

    assert most == 3
    for chat_id in range(5):
        assert [number for chat, number in done if chat == chat_id] == [0, 1, 2, 3]


async def test_a_job_that_breaks_is_told_by_its_reference_and_does_not_stop_the_next(
    caplog: pytest.LogCaptureFixture,
) -> None:
    done: list[str] = []
    told: list[str] = []

    async def breaks() -> None:
        raise ValueError("no")

    async def works() -> None:
        done.append("yes")

    async def tell(chat_id: int, reference: str) -> None:
        assert chat_id == 1
        told.append(reference)
        if len(told) > 1:
            raise ValueError("nor that")

    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            lanes = Lanes(tasks, at_once=1, on_failure=tell)
            for job in (breaks, breaks, works):
                lanes.push(1, job)

    assert done == ["yes"]
    assert len(told) == 2
    assert all(f"reference {reference}" in caplog.text for reference in told)


async def test_finishing_waits_for_what_runs_and_starts_nothing_more() -> None:
    started, release = anyio.Event(), anyio.Event()
    done: list[str] = []

    async def first() -> None:
        started.set()
        await release.wait()
        done.append("first")

    async def second() -> None:
        done.append("second")

    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            lanes = Lanes(tasks, at_once=2, on_failure=unexpected)
            lanes.push(1, first)
            lanes.push(1, second)
            await started.wait()
            tasks.start_soon(lanes.finish)
            await anyio.wait_all_tasks_blocked()
            release.set()

    assert done == ["first"]
