"""The official suite at our servers, and at one like them that has all that it asks for."""

from pathlib import Path

import anyio
import pytest

from tests.conformance.hosts import open_fixture_server, open_shipped_servers
from tests.conformance.suite import judge_server, needs_suite, scored

pytestmark = needs_suite

MISSING: dict[str, dict[str, str]] = {"2026-07-28": {}, "2025-11-25": {}}
"""Scored scenarios that a server hosted like ours doesn't pass → why."""

GENERIC = {
    "2026-07-28": {
        "tools-list",
        "resources-list",
        "prompts-list",
        "caching",
        "server-sse-multiple-streams",
        "dns-rebinding-protection",
        "http-header-validation",
        "sep-2164-resource-not-found",
        "input-required-result-unsupported-methods",
    },
    "2025-11-25": {
        "server-initialize",
        "server-session-lifecycle",
        "ping",
        "tools-list",
        "resources-list",
        "prompts-list",
        "server-sse-multiple-streams",
        "dns-rebinding-protection",
    },
}
"""Scenarios that ask for nothing by name, so that any server may be put to them."""

LACKING = {
    "conversations": {},
    "tools": {
        "prompts-list": "has no prompts",
        "caching": "asks for a list of prompts",
    },
}
"""Of those, what a server of ours does not pass → why."""

STATELESS = {
    "sep-2575-server-rejects-undeclared-capability",
    "sep-2575-missing-capability-http-400",
    "sep-2575-http-server-no-independent-requests-on-stream",
    "sep-2575-server-no-log-without-loglevel",
    "sep-2575-server-sends-tools-list-changed-on-subscription",
}
"""Checks of `server-stateless` that call the fixture's tools; its others ask for nothing."""


@pytest.mark.parametrize(("revision", "count"), [("2026-07-28", 37), ("2025-11-25", 30)])
async def test_a_server_hosted_like_ours_passes_every_scored_scenario(
    tmp_path: Path, revision: str, count: int
) -> None:
    with anyio.fail_after(120):
        async with open_fixture_server(tmp_path) as url:
            found = await judge_server(url, revision, tmp_path / "out")
    required = scored(revision, "server")
    assert len(required) == count
    assert {name for name in required if found[name]} == MISSING[revision].keys(), found


@pytest.mark.parametrize("revision", GENERIC)
async def test_our_servers_as_they_are_pass_what_any_server_can(
    tmp_path: Path, revision: str
) -> None:
    with anyio.fail_after(150):
        async with open_shipped_servers(tmp_path, list(LACKING)) as urls:
            for name, lacking in LACKING.items():
                found = await judge_server(urls[name], revision, tmp_path / name)
                generic = GENERIC[revision]
                failed = {scenario for scenario in generic if found[scenario]}
                assert failed == lacking.keys() & generic, (name, found)
                assert found.get("server-stateless", set()) <= STATELESS, name
