"""The official suite's client scenarios at the hub."""

from pathlib import Path

import anyio
import pytest

from tests.conformance.client_under_test import open_clients
from tests.conformance.suite import judge_client, needs_suite, scored

pytestmark = needs_suite

_NOBODY_TO_ASK = (
    "the hub has nobody to ask, so it declares no elicitation; the scenario's server asks all the "
    "same"
)
MISSING = {
    "2026-07-28": {"sep-2322-client-request-state": _NOBODY_TO_ASK},
    "2025-11-25": {"elicitation-sep1034-client-defaults": _NOBODY_TO_ASK},
}
"""Scored scenarios that the hub doesn't pass → why."""


@pytest.mark.parametrize(("revision", "count"), [("2026-07-28", 32), ("2025-11-25", 18)])
async def test_the_hub_passes_every_scored_scenario_but_those_listed(
    tmp_path: Path, revision: str, count: int
) -> None:
    with anyio.fail_after(150):
        async with open_clients(tmp_path) as command:
            found = await judge_client(command, revision, tmp_path / "out")
    required = scored(revision, "client")
    assert len(required) == count
    failed = {name: found[name] for name in required if found[name]}
    assert failed.keys() == MISSING[revision].keys(), failed
