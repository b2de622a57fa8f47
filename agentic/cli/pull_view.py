"""Shows how a pull goes, on stderr: a bar in a terminal, else a line now and then."""

import time
from collections.abc import Generator
from contextlib import contextmanager

from agentic.cli.figures_bar import is_watched
from agentic.cli.invocation import note
from agentic.cli.terminal_text import one_line
from client.weights.progress import OnProgress, Progress
from client.weights.room import to_mb

_LINE_SECONDS = 5.0
_MINUTE_SECONDS = 60


@contextmanager
def showing_pull() -> Generator[OnProgress]:
    """What it yields is told how the pull goes."""
    if is_watched():
        with _showing_bar() as on_progress:
            yield on_progress
    else:
        yield _Lines().show


def render_progress(progress: Progress) -> str:
    """The figures: `480 of 1,117 MB, 32.1 MB/s, 20 s left`."""
    done = f"{progress.done_bytes // 1_000_000:,} of {to_mb(progress.total_bytes)}"
    parts = [done]
    if progress.bytes_per_second is not None:
        parts.append(f"{progress.bytes_per_second / 1_000_000:.1f} MB/s")
    if progress.seconds_left is not None:
        parts.append(f"{_render_seconds(progress.seconds_left)} left")
    return ", ".join(parts)


def _render_seconds(seconds: float) -> str:
    if seconds < _MINUTE_SECONDS:
        return f"{seconds:.0f} s"
    minutes = seconds / _MINUTE_SECONDS
    return f"{minutes:.0f} min" if minutes < _MINUTE_SECONDS else f"{minutes / 60:.0f} h"


def _render_phase(progress: Progress) -> str:
    match progress.phase:
        case "connecting":
            return f"Asking {progress.source}"
        case "fetching":
            return f"From {progress.source}"
        case "verifying":
            return "Verifying"


class _Lines:
    """A line when something new begins, and every few seconds."""

    def __init__(self) -> None:
        self._begun = ""
        self._told_at = 0.0

    def show(self, progress: Progress) -> None:
        """Say it, if it is time to."""
        if progress.news:
            note(one_line(progress.news, 1_000))
        begun = _render_phase(progress)
        now = time.monotonic()
        if begun != self._begun or now - self._told_at >= _LINE_SECONDS:
            self._begun, self._told_at = begun, now
            note(f"{begun}: {render_progress(progress)}")


@contextmanager
def _showing_bar() -> Generator[OnProgress]:
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn
    from rich.progress import Progress as Bars

    bars = Bars(
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=24),
        TextColumn("{task.fields[figures]}", markup=False),
        console=Console(stderr=True, highlight=False),
        transient=True,
        redirect_stdout=False,
    )
    with bars:
        task = bars.add_task("", figures="")

        def show(progress: Progress) -> None:
            if progress.news:
                bars.console.print(one_line(progress.news, 1_000), markup=False)
            bars.update(
                task,
                description=_render_phase(progress),
                completed=progress.done_bytes,
                total=progress.total_bytes,
                figures=render_progress(progress),
            )

        yield show
