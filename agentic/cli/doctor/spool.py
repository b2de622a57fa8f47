"""What waits on this machine for the store, and what could never be stored."""

from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

from agentic.cli.doctor.findings import Finding
from agentic.cli.stored_times import render_time
from client.spool.aside import reason_of
from client.spool.folder import MAX_BYTES, WHY, SpoolError, SpoolFolder, Survey
from servers.conversations.contract import to_timestamp

_NEARLY_FULL = 0.9


def check_spool(directory: Path) -> list[Finding]:
    """Count it; nothing of it is read."""
    try:
        survey = SpoolFolder(directory).survey()
    except SpoolError as error:
        return [Finding("spool", "problem", str(error), "Move it away, or give it to this user.")]
    findings = [_judge_waiting(survey)]
    if survey.aside:
        findings.append(_judge_aside(survey))
    if survey.size_bytes > _NEARLY_FULL * MAX_BYTES:
        summary = f"{directory} is full or nearly so: what can't be stored will be lost"
        fix = (
            "See to the store, so that what waits is stored; look at what is set aside, delete it."
        )
        findings.append(Finding("spool", "problem", summary, fix))
    return findings


def _judge_waiting(survey: Survey) -> Finding:
    if survey.since is None:
        return Finding("spool", "ok", "nothing waits for the store")
    since = render_time(to_timestamp(datetime.fromtimestamp(survey.since, UTC)))
    things = "1 thing waits" if survey.waiting == 1 else f"{survey.waiting} things wait"
    where = (
        "1 conversation" if survey.conversations == 1 else f"{survey.conversations} conversations"
    )
    return Finding(
        "spool",
        "warning",
        f"{things} for the store, of {where}, since {since}",
        "See that the store is well (Conversations, above). Then `agentic conversations list` "
        "stores it; what the bot had to say, the bot.",
    )


def _judge_aside(survey: Survey) -> Finding:
    reasons_found = map(reason_of, survey.aside)
    counts = Counter(WHY[reason] if reason else "unknown" for reason in reasons_found)
    reasons = "; ".join(f"{count}: {why}" for why, count in counts.items())
    files = "1 file" if len(survey.aside) == 1 else f"{len(survey.aside)} files"
    return Finding(
        "spool",
        "warning",
        f"{files} could not be stored ({reasons})",
        f"Read them in {survey.aside[0].parent} (JSON, below a checksum), then delete them.",
    )
