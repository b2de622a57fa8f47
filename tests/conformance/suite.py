"""The official conformance suite: where it is, how it is run, what it found."""

import json
import re
import shutil
from pathlib import Path
from typing import Literal, cast

import anyio
import pytest
import yaml

VERSION = "0.2.0-alpha.12"
_PROGRAM = shutil.which("conformance")
_FOLDER = re.compile(r"(?:server-)?(.+)-\d{4}-\d\d-\d\dT[\d-]+Z")
_RUN_SECONDS = 120

Leg = Literal["server", "client"]

needs_suite = [
    pytest.mark.node,
    pytest.mark.skipif(
        _PROGRAM is None,
        reason="conformance is not on PATH: "
        f"npm i -g @modelcontextprotocol/conformance@{VERSION} (Node 22)",
    ),
]
"""Marks of what runs the suite."""


def scored(revision: str, leg: Leg) -> list[str]:
    """The scenarios that a revision of the protocol requires, as the suite froze them."""
    text = (_package() / "requirements" / f"{revision}.yaml").read_text()
    return cast("list[str]", yaml.safe_load(text)[leg])


async def judge_server(url: str, revision: str, folder: Path) -> dict[str, set[str]]:
    """Scenario → its checks that the server failed, or passed with a warning only."""
    return await _judge("server", revision, folder, "--url", url)


async def judge_client(command: str, revision: str, folder: Path) -> dict[str, set[str]]:
    """Scenario → its checks that the client failed, or passed with a warning only.

    `command` is run once for each scenario, for all of them at once.
    """
    return await _judge("client", revision, folder, "--command", command)


async def _judge(leg: Leg, revision: str, folder: Path, *options: str) -> dict[str, set[str]]:
    assert json.loads((_package() / "package.json").read_text())["version"] == VERSION
    command = [str(_PROGRAM), leg, *options, "--requirements", revision, "-o", str(folder)]
    with anyio.fail_after(_RUN_SECONDS):
        finished = await anyio.run_process(command, check=False)
    found = {
        _scenario_of(path.parent.relative_to(folder)): _faults_in(path)
        for path in folder.glob("**/checks.json")
    }
    said = (finished.stdout + finished.stderr).decode()
    assert found.keys() >= set(scored(revision, leg)), said
    return found


def _scenario_of(folder: Path) -> str:
    match = _FOLDER.fullmatch(folder.as_posix())
    assert match is not None, folder
    return match[1]


def _faults_in(path: Path) -> set[str]:
    checks = json.loads(path.read_text())
    return {check["id"] for check in checks if check["status"] in ("FAILURE", "WARNING")}


def _package() -> Path:
    return Path(str(_PROGRAM)).resolve().parent.parent
