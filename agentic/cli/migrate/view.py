"""Shows how a migration goes, and what came of it."""

from agentic.cli.figures_bar import Figures, count
from agentic.cli.migrate.tally import Tally


def look_at(tally: Tally) -> Figures:
    """How far a migration has come."""
    done = len(tally.results)
    of = "" if tally.total is None else f" of {tally.total:,}"
    copied = f"{count(tally.messages_copied, 'message')} copied"
    return Figures(done, tally.total, f"{done:,}{of} conversations, {copied}")


def render_summary(tally: Tally) -> str:
    """What was copied, what was there, and what is the same now, for a person."""
    counts = tally.count()
    changed = counts["copied"] + counts["extended"]
    lines = [
        f"Copied: {count(tally.messages_copied, 'message')} and "
        f"{count(tally.attachments_copied, 'attachment')}, in "
        f"{changed:,} of {count(len(tally.results), 'conversation')}."
    ]
    if tally.annotations_copied:
        lines.append(f"Annotations brought up to date: {tally.annotations_copied:,}.")
    compared = changed + counts["equal"]
    if compared:
        lines.append(f"Compared, counts and SHA-256 the same: {count(compared, 'conversation')}.")
    if counts["unchanged"]:
        same = count(counts["unchanged"], "conversation")
        lines.append(f"Unchanged since an earlier run compared them: {same}.")
    lines.append(f"The same at both ends: {count(tally.count_messages(), 'message')}.")
    if counts["differing"]:
        lines.append(f"Not the same: {count(counts['differing'], 'conversation')}.")
    if tally.only_on_target:
        lines.append(
            f"Only at the target, and left there: {count(tally.only_on_target, 'conversation')}."
        )
    return "\n".join(lines)
