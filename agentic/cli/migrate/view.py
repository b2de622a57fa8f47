"""Shows how a migration goes, and what came of it."""

import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager

from agentic.cli.migrate.tally import Tally

Show = Callable[[], None]


def is_watched() -> bool:
    """Whether there is a terminal for a bar."""
    return sys.stderr.isatty()


@contextmanager
def showing_progress(tally: Tally) -> Generator[Show]:
    """What it yields is called when there is news: a bar in a terminal, else nothing."""
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
    )
    with bars:
        task = bars.add_task("", total=None, figures="Connecting")

        def show() -> None:
            done = len(tally.results)
            figures = f"{_count(tally.messages_copied, 'message')} copied"
            of = "" if tally.total is None else f" of {tally.total:,}"
            bars.update(
                task,
                total=tally.total,
                completed=done,
                figures=f"{done:,}{of} conversations, {figures}",
            )

        yield show


def render_summary(tally: Tally) -> str:
    """What was copied, what was there, and what is the same now, for a person."""
    counts = tally.count()
    changed = counts["copied"] + counts["extended"]
    lines = [
        f"Copied: {_count(tally.messages_copied, 'message')} and "
        f"{_count(tally.attachments_copied, 'attachment')}, in "
        f"{changed:,} of {_count(len(tally.results), 'conversation')}."
    ]
    if tally.annotations_copied:
        lines.append(f"Annotations brought up to date: {tally.annotations_copied:,}.")
    compared = changed + counts["equal"]
    if compared:
        lines.append(f"Compared, counts and SHA-256 the same: {_count(compared, 'conversation')}.")
    if counts["unchanged"]:
        same = _count(counts["unchanged"], "conversation")
        lines.append(f"Unchanged since an earlier run compared them: {same}.")
    lines.append(f"The same at both ends: {_count(tally.count_messages(), 'message')}.")
    if counts["differing"]:
        lines.append(f"Not the same: {_count(counts['differing'], 'conversation')}.")
    if tally.only_on_target:
        lines.append(
            f"Only at the target, and left there: {_count(tally.only_on_target, 'conversation')}."
        )
    return "\n".join(lines)


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"
