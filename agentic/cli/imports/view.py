"""Shows how an import goes, and what came of it."""

import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager

from agentic.cli.imports.source import Reading
from agentic.cli.imports.tally import Tally
from agentic.cli.terminal_text import one_line

Show = Callable[[], None]


@contextmanager
def showing_progress(reading: Reading, tally: Tally) -> Generator[Show]:
    """What it yields is called when there is news of these: a bar in a terminal, else nothing."""
    if not sys.stderr.isatty():
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
        task = bars.add_task("", total=None, figures="Reading")

        def show() -> None:
            bars.update(
                task,
                total=reading.total_bytes,
                completed=reading.done_bytes,
                figures=_render_figures(reading, tally),
            )

        yield show


def render_summary(tally: Tally, *, dry_run: bool) -> str:
    """What was stored, what was there, and what was left out, for a person."""
    lines = [_render_done(tally, dry_run=dry_run)]
    if tally.repeated:
        lines.append(f"There already: {_count(tally.repeated, 'message')}.")
    if tally.skipped:
        lines.append("Left out:")
        lines.extend(
            f"{skipped.count:>8,}  {one_line(reason, 300)}, in {_render_titles(skipped.titles)}"
            for reason, skipped in tally.skipped.items()
        )
    if tally.cut:
        lines.append(f"Stored in several parts: {_count(tally.cut, 'message')} over 512 KiB.")
    if tally.cleaned:
        lines.append(
            f"Characters that can't be stored were replaced in {_count(tally.cleaned, 'text')}."
        )
    return "\n".join(lines)


def _render_done(tally: Tally, *, dry_run: bool) -> str:
    found = _count(tally.conversations, "conversation")
    if dry_run:
        return (
            f"Can be imported: {_count(tally.messages, 'message')} in {found}. Nothing was stored."
        )
    changed = f"{tally.changed:,} of {found}"
    return f"Imported: {_count(tally.appended, 'message')} in {changed}."


def _render_titles(titles: list[str]) -> str:
    return ", ".join(f"“{one_line(title, 60)}”" for title in titles)


def _render_figures(reading: Reading, tally: Tally) -> str:
    done = f"{reading.done_bytes / 1_000_000:,.0f}"
    size = f"{done} of {reading.total_bytes / 1_000_000:,.0f}" if reading.total_bytes else done
    return (
        f"{size} MB, {_count(tally.conversations, 'conversation')}, "
        f"{_count(tally.messages, 'message')}"
    )


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"
