"""What `agentic doctor --json` says, checked for its shape."""

import json
from collections.abc import Mapping
from typing import Any

from tests.agentic.cli.real_command import Ended, RealCommand

TOUR = "models: {tour: {provider: scripted}}\n"
PATIENCE = ("--timeout", "50")
"""For servers that start on a busy machine."""


async def examine(
    command: RealCommand, *arguments: str, environment: Mapping[str, str] | None = None
) -> tuple[Ended, dict[str, list[Any]]]:
    """Run it for a program; the findings by check."""
    ended = await command.run("doctor", "--json", *arguments, environment=environment)
    document = json.loads(ended.output)
    found: dict[str, list[Any]] = {}
    for finding in document["findings"]:
        assert [*finding] == ["check", "state", "summary", "fix"]
        assert finding["state"] in ("ok", "warning", "problem")
        assert finding["state"] == "ok" or finding["fix"]
        found.setdefault(finding["check"], []).append(finding)
    has_problem = any(each["state"] == "problem" for room in found.values() for each in room)
    assert document["ok"] is not has_problem
    return ended, found


def only(found: dict[str, list[Any]], check: str) -> tuple[str, str]:
    """State and text of the only finding of a check."""
    [finding] = found[check]
    return finding["state"], f"{finding['summary']} {finding['fix'] or ''}"
