"""The official suite's client scenarios at the hub."""

from pathlib import Path

import anyio
import pytest

from tests.conformance.client_under_test import open_clients
from tests.conformance.suite import judge_client, needs_suite, scored

pytestmark = needs_suite


@pytest.mark.parametrize(("revision", "count"), [("2026-07-28", 32), ("2025-11-25", 18)])
async def test_the_hub_passes_every_scored_scenario(
    tmp_path: Path, revision: str, count: int
) -> None:
    with anyio.fail_after(150):
        async with open_clients(tmp_path) as command:
            found = await judge_client(command, revision, tmp_path / "out")
    required = scored(revision, "client")
    assert len(required) == count
    assert {name: found[name] for name in required if found[name]} == {}
