"""Whether each MCP server starts or answers; and behind ours, whether the store works."""

from collections.abc import Sequence

import anyio

from agentic.cli.doctor.findings import Finding
from agentic.cli.doctor.store import check_store
from agentic.config.models import Config, ServerConfig
from client.hub.hub import open_hub
from client.hub.servers import HttpTarget, HubServer, ServerStatus

STORE_SERVER = "conversations"


async def check_server(server: HubServer, config: Config, start_seconds: float) -> list[Finding]:
    """Connect as the assistant would, and take leave again."""
    began = anyio.current_time()
    async with open_hub([server]) as hub:
        await hub.wait_settled(start_seconds)
        status = hub.status()[0]
        findings = [_judge(status, anyio.current_time() - began, server)]
        if server.name == STORE_SERVER:
            is_up = status.state == "ready"
            findings.append(
                await check_store(hub, config.owner) if is_up else _store_unseen(findings[0])
            )
    return findings + _find_missing(config.servers[server.name], server.name)


def _judge(status: ServerStatus, seconds: float, server: HubServer) -> Finding:
    check = f"servers/{status.name}"
    if status.state == "ready":
        tools = f"{status.tools} {'tool' if status.tools == 1 else 'tools'}"
        summary = f"up after {seconds:.1f} s, {tools}, protocol {status.protocol_version}"
        return Finding(check, "ok", summary)
    if status.reason is None:
        summary = f"not there yet after {seconds:.0f} s"
        fix = "It may only be slow: `agentic doctor --timeout 60` waits longer."
        return Finding(check, "warning", summary, fix)
    return Finding(check, "problem", f"down: {status.reason}", _advise(server))


def _advise(server: HubServer) -> str:
    entry = f"servers.{server.name}"
    if isinstance(server.target, HttpTarget):
        return f"See that it runs, and that `url` and token of {entry} in mcp.yml are right."
    if server.ours and server.name == STORE_SERVER:
        return "`agentic conversations list` says what it needs."
    return f"Correct `command`, `args` or `env` of {entry} in mcp.yml, or install what it starts."


def _store_unseen(server: Finding) -> Finding:
    return Finding("store", server.state, "not looked at: its server is not up", server.fix)


async def check_store_is_served(servers: Sequence[HubServer]) -> list[Finding]:
    """Whether there is a server at all behind which conversations are kept."""
    if any(server.name == STORE_SERVER for server in servers):
        return []
    summary = f"not looked at: servers.{STORE_SERVER} is switched off"
    fix = f"Nothing can be said without it: take `enabled: false` out of servers.{STORE_SERVER}."
    return [Finding("store", "problem", summary, fix)]


def _find_missing(configured: ServerConfig, name: str) -> list[Finding]:
    if not configured.missing_variables:
        return []
    missing = ", ".join(configured.missing_variables)
    summary = f"a header or variable is left out: {missing} is not set"
    return [Finding(f"servers/{name}", "warning", summary, f"Set {missing}.")]
