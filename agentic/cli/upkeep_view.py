"""How far long work on files has come, on stderr, where somebody watches."""

import sys
from collections.abc import AsyncGenerator
from contextlib import aclosing, asynccontextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from agentic.cli.figures_bar import is_watched
from servers.conversations.file_upkeep import Step


@asynccontextmanager
async def counting(doing: str, steps: AsyncGenerator[Step]) -> AsyncGenerator[AsyncGenerator[Step]]:
    """The same steps, counted in a bar while they are gone through; no bar off a terminal."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(
        *columns,
        console=Console(stderr=True),
        transient=True,
        redirect_stdout=sys.stdout.isatty(),  # else what is written there is for a file or a pipe
        disable=not is_watched(),
    ) as bar:
        task = bar.add_task(doing, total=None)

        async def counted() -> AsyncGenerator[Step]:
            async for step in steps:
                bar.update(task, completed=step.number, total=step.total)
                yield step

        async with aclosing(steps), aclosing(counted()) as shown:
            yield shown
