"""How findings are told: to a person at a terminal, on plain streams, to a program."""

import sys
from collections.abc import Sequence
from itertools import groupby
from typing import Any

from agentic.cli.doctor.findings import Finding, State

_TITLES = {
    "config": "Configuration",
    "tools": "Declared tools",
    "files": "Files",
    "models": "Models",
    "servers": "Servers",
    "store": "Conversations",
    "spool": "Spool",
    "bot": "Telegram bot",
    "disk": "Disk",
    "memory": "Memory",
    "versions": "Versions",
    "clock": "Clock",
}
_STYLES: dict[State, str] = {"ok": "green", "warning": "yellow", "problem": "bold red"}


def to_document(findings: Sequence[Finding], *, is_ok: bool) -> dict[str, Any]:
    """For programs; the shape stays."""
    return {
        "ok": is_ok,
        "findings": [
            {"check": each.check, "state": each.state, "summary": each.summary, "fix": each.fix}
            for each in findings
        ],
    }


def show(findings: Sequence[Finding]) -> None:
    """Write groups on stdout, with colours and wrapped where that is a terminal."""
    if sys.stdout.isatty():
        _show_in_terminal(findings)
        return
    for title, group in _groups(findings):
        sys.stdout.write(f"{title}\n")
        for finding in group:
            sys.stdout.write(f"  {finding.state:<8} {_text(finding)}\n")
            if finding.fix:
                sys.stdout.write(f"  {'':<8} -> {finding.fix}\n")
    sys.stdout.write(f"{_sum_up(findings)}\n")


def _show_in_terminal(findings: Sequence[Finding]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(highlight=False)
    for title, group in _groups(findings):
        console.print(Text(title, "bold"))
        table = Table.grid(padding=(0, 1))
        table.add_column(width=9)
        table.add_column(overflow="fold")
        for finding in group:
            table.add_row(Text(f" {finding.state}", _STYLES[finding.state]), Text(_text(finding)))
            if finding.fix:
                table.add_row("", Text(f"→ {finding.fix}", "dim"))
        console.print(table)
    console.print(Text(_sum_up(findings), "bold"))


def _groups(findings: Sequence[Finding]) -> list[tuple[str, list[Finding]]]:
    rooms = list(_TITLES)
    ordered = sorted(findings, key=lambda each: rooms.index(_room(each)))
    return [(_TITLES[room], list(group)) for room, group in groupby(ordered, key=_room)]


def _room(finding: Finding) -> str:
    return finding.check.partition("/")[0]


def _text(finding: Finding) -> str:
    thing = finding.check.partition("/")[2]
    return f"{thing}: {finding.summary}" if thing else finding.summary


def _sum_up(findings: Sequence[Finding]) -> str:
    problems = sum(each.state == "problem" for each in findings)
    warnings = sum(each.state == "warning" for each in findings)
    if not problems and not warnings:
        return "All is well."
    counts = ((problems, "problem"), (warnings, "warning"))
    return ", ".join(f"{n} {word}{'s' * (n > 1)}" for n, word in counts if n) + "."
