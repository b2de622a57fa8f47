"""Runs all checks at the same time, each with its limit; one that breaks is a finding itself."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import anyio
from anyio import to_thread

from agentic.cli.compose import spool_directory
from agentic.cli.doctor.bot import check_bot
from agentic.cli.doctor.configuration import Reading, read_configuration
from agentic.cli.doctor.findings import Finding
from agentic.cli.doctor.machine import (
    check_clock,
    check_disk,
    check_files,
    check_memory,
    check_versions,
)
from agentic.cli.doctor.models import list_model_checks
from agentic.cli.doctor.network import Network
from agentic.cli.doctor.places import Places, find_places
from agentic.cli.doctor.records import check_records
from agentic.cli.doctor.redaction import create_redaction
from agentic.cli.doctor.servers import check_server, check_store_is_served
from agentic.cli.doctor.spool import check_spool
from agentic.cli.failures import describe_failure
from agentic.cli.terminal_text import one_line
from agentic.config.models import Config
from client.hub.from_config import to_hub_servers

Check = Callable[[], Awaitable[Sequence[Finding]]]

_CLOSING_SECONDS = 4.0
"""What is left for the store's check, and for servers that take their time to end."""
_MAX_WIDTH = 700


@dataclass(frozen=True, slots=True)
class Examination:
    """All that was found, room by room."""

    findings: Sequence[Finding]
    is_readable: bool
    """Whether the configuration could be read whole."""

    @property
    def is_ok(self) -> bool:
        """Whether there is no problem; warnings are none."""
        return all(finding.state != "problem" for finding in self.findings)


async def examine(
    environ: Mapping[str, str], config_path: Path | None, seconds: float
) -> Examination:
    """Look at everything that this environment leads to, for about as long as that."""
    reading = read_configuration(environ, config_path)
    network = Network()
    findings = list(reading.findings)
    # Before the rest, since reading a file of secrets closes it to others.
    places = partial(find_places, reading.config, environ)
    findings += await _attempt(
        "files", lambda: _in_thread(lambda: check_files(*places().secrets)), seconds
    )
    checks = _list_checks(reading, places, network, seconds)
    found: dict[str, Sequence[Finding]] = {}

    async def run(name: str, check: Check) -> None:
        found[name] = await _attempt(name, check, seconds)

    async with anyio.create_task_group() as tasks:
        for name, check in checks.items():
            tasks.start_soon(run, name, check)
    findings += [finding for name in checks for finding in found[name]]
    findings.append(check_clock(network.offsets))
    redact = create_redaction(reading.config, environ)
    return Examination([_clean(finding, redact) for finding in findings], reading.is_whole)


def _list_checks(
    reading: Reading, places: Callable[[], Places], network: Network, seconds: float
) -> dict[str, Check]:
    checks: dict[str, Check] = {}
    config = reading.config
    if config is not None and reading.may_act:
        checks["files"] = lambda: _in_thread(lambda: anyio.run(check_records, config))
        checks |= list_model_checks(config, network)
        checks |= _list_server_checks(config, seconds - _CLOSING_SECONDS)
        checks["bot"] = partial(check_bot, config, network)
    if config is not None:
        spool = spool_directory(config)
        checks["spool"] = lambda: _in_thread(lambda: check_spool(spool))
    checks["disk"] = lambda: _in_thread(lambda: check_disk(*places().data))
    checks["memory"] = lambda: _in_thread(check_memory)
    checks["versions"] = lambda: _in_thread(check_versions)
    return checks


def _list_server_checks(config: Config, start_seconds: float) -> dict[str, Check]:
    servers = to_hub_servers(config, delegate=False)
    checks: dict[str, Check] = {
        f"servers/{server.name}": partial(check_server, server, config, start_seconds)
        for server in servers
    }
    checks["store"] = partial(check_store_is_served, servers)
    return checks


async def _in_thread(look: Callable[[], Sequence[Finding]]) -> Sequence[Finding]:
    """Look at what a disk that hangs could keep from us for ever."""
    return await to_thread.run_sync(look, abandon_on_cancel=True)


async def _attempt(name: str, check: Check, seconds: float) -> Sequence[Finding]:
    try:
        with anyio.fail_after(seconds):
            return await check()
    except TimeoutError:
        summary = f"could not be looked at within {seconds:g} s"
        fix = "It may only be slow: `agentic doctor --timeout 60` waits longer."
    except Exception as error:  # noqa: BLE001 - boundary: a check that breaks must not hide the others
        summary = f"could not be looked at: {describe_failure(error).message}"
        fix = "`agentic -v …` with a command that uses it shows more."
    return [Finding(name, "problem", summary, fix)]


def _clean(finding: Finding, redact: Callable[[str], str]) -> Finding:
    fix = None if finding.fix is None else one_line(redact(finding.fix), _MAX_WIDTH)
    summary = one_line(redact(finding.summary), _MAX_WIDTH)
    return Finding(one_line(finding.check), finding.state, summary, fix)
