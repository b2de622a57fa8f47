"""Other stores beside this one, in the same run on the same disk.

Each appends one message of 500 characters, durably but for the rewritten file; times are medians.
"""

import os
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from statistics import median

import anyio

from tests.bench.contenders import CONTENDERS, OURS, Contender, is_installed
from tests.bench.table import Row

FLOOR = "write + fdatasync"
_ROUNDS = 100
_LEAST_ROUNDS = 3
_BUDGET_SECONDS = 8.0
"""For one contender in one column; whoever is slow has fewer rounds."""
_SEPARATOR = ": "

Call = Callable[[], Awaitable[object]]


async def measure(*, sizes: Sequence[int], conversations: int) -> list[Row]:
    """A row for each contender and column."""
    with tempfile.TemporaryDirectory() as name:
        async with AsyncExitStack() as stack:
            contenders: dict[str, Contender] = {}
            for title, (module, opening) in CONTENDERS.items():
                if is_installed(module):
                    contenders[title] = await stack.enter_async_context(opening(Path(name)))
                else:
                    print(f"compare: without {title}, it is not installed", file=sys.stderr)
            rows = await _measure_appends(contenders, sizes, Path(name, "floor"))
            rows += await _measure_last(contenders, sizes[-1])
            rows += await _measure_newest(contenders, conversations)
    return rows


async def _measure_appends(
    contenders: dict[str, Contender], sizes: Sequence[int], floor: Path
) -> list[Row]:
    rows: list[Row] = []
    with floor.open("wb", buffering=0) as file:

        async def write() -> None:
            os.write(file.fileno(), b"x" * 750)
            os.fdatasync(file.fileno())

        for size in sizes:
            calls: dict[str, Call] = {FLOOR: write}
            for title, contender in contenders.items():
                await contender.fill(f"c{size}", size)
                calls[title] = lambda contender=contender: contender.append(f"c{size}")  # noqa: B023
            rows += _to_rows(f"append at {size:,}", await _time_all(calls))
    return rows


async def _measure_last(contenders: dict[str, Contender], size: int) -> list[Row]:
    calls: dict[str, Call] = {
        title: lambda contender=contender: contender.load_last(f"c{size}")
        for title, contender in contenders.items()
    }
    return _to_rows(f"last 50 of {size:,}", await _time_all(calls))


async def _measure_newest(contenders: dict[str, Contender], conversations: int) -> list[Row]:
    calls: dict[str, Call] = {}
    for title, contender in contenders.items():
        if await contender.list_newest() is not None:
            for number in range(conversations):
                await contender.fill(f"n{number}", 1)
            calls[title] = contender.list_newest
    return _to_rows(f"newest 50 of {conversations:,}", await _time_all(calls))


async def _time_all(calls: dict[str, Call]) -> dict[str, float]:
    """Interleaved, so that a disk that changes its speed changes it for all."""
    times: dict[str, list[float]] = {title: [] for title in calls}
    for number in range(_ROUNDS):
        for title, call in calls.items():
            if number < _LEAST_ROUNDS or sum(times[title]) < _BUDGET_SECONDS:
                began = time.perf_counter()
                await call()
                times[title].append(time.perf_counter() - began)
    return {title: median(each) for title, each in times.items()}


def _to_rows(column: str, seconds: dict[str, float]) -> list[Row]:
    return [Row(f"{column}{_SEPARATOR}{title}", s * 1e3, "ms") for title, s in seconds.items()]


def render(rows: Sequence[Row]) -> str:
    """A line for each contender, in milliseconds, with how many times ours it takes."""
    cells = {tuple(row.name.split(_SEPARATOR, 1)): row.value for row in rows}
    columns = list(dict.fromkeys(column for column, _ in cells))
    titles = list(dict.fromkeys(title for _, title in cells))
    lines = [f"| ms | {' | '.join(columns)} |", "|---" * (len(columns) + 1) + "|"]
    for title in titles:
        shown = [_render_cell(cells.get((c, title)), cells.get((c, OURS)), title) for c in columns]
        lines.append(f"| {title} | {' | '.join(shown)} |")
    return "\n".join(lines)


def _render_cell(value: float | None, ours: float | None, title: str) -> str:
    if value is None:
        return ""
    if title == OURS or not ours:
        return f"**{value:.3g}**"
    return f"{value:.3g} ({value / ours:.2g} x)"


def run(*, quick: bool) -> list[Row]:
    """Rows of this part of the table."""
    if quick:
        return anyio.run(lambda: measure(sizes=[10, 200], conversations=60))
    return anyio.run(lambda: measure(sizes=[10, 1_000, 10_000, 100_000], conversations=2_000))
