"""How fast things go out: in a chat, over all, and after Telegram asked for a pause."""

import anyio
import pytest

from bot.pace import Pace, Window


async def test_a_window_never_holds_more_than_its_limit_and_lets_through_in_order() -> None:
    window = Window(3, 0.1)
    times: list[float] = []
    order: list[int] = []

    async def enter(number: int) -> None:
        await window.enter()
        times.append(anyio.current_time())
        order.append(number)

    with anyio.fail_after(10):
        async with anyio.create_task_group() as tasks:
            for number in range(8):
                tasks.start_soon(enter, number)

    assert order == list(range(8))
    assert all(later - earlier >= 0.1 for earlier, later in zip(times, times[3:], strict=False))


async def test_a_pause_holds_in_its_own_chat_alone() -> None:
    pace = Pace()
    with anyio.fail_after(10):
        began = anyio.current_time()
        pace.pause(1, 0.3)
        assert 0 < pace.pause_left(1) <= 0.3
        await pace.wait(2)
        assert pace.pause_left(1) > 0
        await pace.wait(1)
        assert anyio.current_time() - began >= 0.3
        assert pace.pause_left(1) == pace.pause_left(2) == 0


async def test_a_chat_that_is_full_delays_no_other() -> None:
    pace = Pace(in_chat=(1, 30))
    await pace.wait(1)
    with anyio.move_on_after(0.05) as full:
        await pace.wait(1)
    assert full.cancelled_caught
    with anyio.fail_after(10):
        for chat in range(2, 12):
            await pace.wait(chat)


@pytest.mark.slow
async def test_chats_that_are_quiet_are_forgotten_and_paused_ones_are_not() -> None:
    pace = Pace(in_chat=(1, 0.01))
    pace.pause(7, 60)
    with anyio.fail_after(60):
        for chat in range(1_000, 1_010):
            await pace.wait(chat)
    for chat in range(2_000, 4_000):
        pace.pause(chat, 0)

    assert pace.pause_left(7) > 0
