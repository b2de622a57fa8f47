"""How long calls take."""

import time
from collections.abc import Awaitable, Callable
from statistics import median


async def time_calls(call: Callable[[], Awaitable[object]], rounds: int) -> float:
    """The median in milliseconds."""
    times: list[float] = []
    for _ in range(rounds):
        began = time.perf_counter()
        await call()
        times.append(time.perf_counter() - began)
    return median(times) * 1e3


async def time_calls_and_work(
    call: Callable[[], Awaitable[object]], rounds: int
) -> tuple[float, float]:
    """The same, and the median of the processor's time, which others at work change less."""
    times: list[float] = []
    work: list[float] = []
    for _ in range(rounds):
        began, worked = time.perf_counter(), time.process_time()
        await call()
        times.append(time.perf_counter() - began)
        work.append(time.process_time() - worked)
    return median(times) * 1e3, median(work) * 1e3
