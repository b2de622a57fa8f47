"""A bar with figures beside it, on stderr, for work that asks a server many times."""

import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import NamedTuple

Show = Callable[[], None]


class Figures(NamedTuple):
    """How far the work has come."""

    done: int
    total: int | None
    """None: that is not known."""
    text: str


def is_watched() -> bool:
    """Whether there is a terminal that can show a bar."""
    if not sys.stderr.isatty():
        return False
    from rich.console import Console

    return not Console(stderr=True).is_dumb_terminal


@contextmanager
def showing_figures(first: str, look: Callable[[], Figures]) -> Generator[Show]:
    """What it yields is called when there is news: a bar in a terminal, else nothing.

    `first`: what stands there before.
    """
    if not is_watched():
        yield lambda: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    bars = Progress(
        BarColumn(bar_width=24),
        TextColumn("{task.fields[figures]}", markup=False),
        TimeRemainingColumn(),
        console=Console(stderr=True, highlight=False),
        transient=True,
        redirect_stdout=sys.stdout.isatty(),  # else what is written there is for a file or a pipe
    )
    with bars:
        task = bars.add_task("", total=None, figures=first)

        def show() -> None:
            figures = look()
            bars.update(task, total=figures.total, completed=figures.done, figures=figures.text)

        yield show


def count(number: int, what: str) -> str:
    """`3,000 messages`, `1 message`."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"
