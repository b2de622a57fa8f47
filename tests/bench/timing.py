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
