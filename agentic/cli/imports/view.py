"""Shows how an import goes, and what came of it."""

from agentic.cli.figures_bar import Figures, count
from agentic.cli.imports.source import Reading
from agentic.cli.imports.tally import Tally
from agentic.cli.terminal_text import one_line


def look_at(reading: Reading, tally: Tally) -> Figures:
    """How far an import has come."""
    done = f"{reading.done_bytes / 1_000_000:,.0f}"
    size = f"{done} of {reading.total_bytes / 1_000_000:,.0f}" if reading.total_bytes else done
    found = f"{count(tally.conversations, 'conversation')}, {count(tally.messages, 'message')}"
    return Figures(reading.done_bytes, reading.total_bytes, f"{size} MB, {found}")


def render_summary(tally: Tally, *, dry_run: bool) -> str:
    """What was stored, what was there, and what was left out, for a person."""
    lines = [_render_done(tally, dry_run=dry_run)]
    if tally.repeated:
        lines.append(f"There already: {count(tally.repeated, 'message')}.")
    if tally.skipped:
        lines.append("Left out:")
        lines.extend(
            f"  {one_line(reason, 300)}: {skipped.count:,}, in {_render_titles(skipped.titles)}"
            for reason, skipped in tally.skipped.items()
        )
    if tally.cut:
        lines.append(f"Stored in several parts: {count(tally.cut, 'message')} over 512 KiB.")
    if tally.cleaned:
        lines.append(
            f"Characters that can't be stored were replaced in {count(tally.cleaned, 'text')}."
        )
    return "\n".join(lines)


def _render_done(tally: Tally, *, dry_run: bool) -> str:
    found = count(tally.conversations, "conversation")
    if dry_run:
        return (
            f"Can be imported: {count(tally.messages, 'message')} in {found}. Nothing was stored."
        )
    changed = f"{tally.changed:,} of {found}"
    return f"Imported: {count(tally.appended, 'message')} in {changed}."


def _render_titles(titles: list[str]) -> str:
    return ", ".join(f"“{one_line(title, 60)}”" for title in titles)
