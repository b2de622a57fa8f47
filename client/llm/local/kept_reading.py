"""What the engine has read of prompts that begin alike each time, kept in files between its starts.

Reading it anew takes a processor ten seconds and more, and whoever writes meanwhile waits for it;
bringing it back takes milliseconds. It holds instructions and tools, and nothing that was said. A
file that is not whole would end the engine, so each has its own hash in its name.
"""

import hashlib
import json
import logging
import os
import secrets
import time
from collections.abc import Mapping
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
from anyio import to_thread

from client.llm.http_client import create_http_client
from client.llm.local.completions import Slot, Step
from client.llm.local.engine import Engine
from client.llm.model_spec import parse_endpoint

if TYPE_CHECKING:
    from httpx2 import Response

_log = logging.getLogger(__name__)

_MAX_FILES = 9
"""Three for each set of tools: a terminal's, a bot's, and one of before a change."""
_TIMEOUT_SECONDS = 20.0
_STALE_SECONDS = 3_600.0
_READY, _NEW = ".read", ".new"


async def bring_back(engine: Engine, step: Step) -> bool:
    """Give the step's slot what is kept of this very prompt; False if nothing is, or it failed."""
    directory, weights = engine.settings.readings, engine.settings.path
    if directory is None:
        return False
    file = await to_thread.run_sync(_find, directory, weights, step)
    if file is None:
        return False
    answer = await _ask(engine, step.slot, "restore", file.name)
    if answer is None:
        with suppress(OSError):
            await to_thread.run_sync(file.unlink)
    return answer is not None


async def keep(engine: Engine, step: Step) -> None:
    """Keep what the step's slot holds, which is this prompt. It is no fault if that fails."""
    directory, weights = engine.settings.readings, engine.settings.path
    if directory is None:
        return
    new = directory / f"{secrets.token_hex(8)}{_NEW}"
    answer = await _ask(engine, step.slot, "save", new.name)
    try:
        await to_thread.run_sync(_put, new, weights, step, answer)
    except OSError as error:
        _log.info("what the embedded model has read can't be kept: %s", error)


def _to_name(weights: Path, step: Step) -> str:
    """Of a prompt, for these weights and this engine."""
    facts = weights.stat()
    read_by = [version("xllamacpp"), str(weights), facts.st_size, facts.st_mtime_ns]
    return hashlib.sha256(json.dumps([read_by, step.messages]).encode()).hexdigest()[:32]


def _find(directory: Path, weights: Path, step: Step) -> Path | None:
    """The whole file of this prompt; one that is not goes."""
    with suppress(OSError):  # the weights are gone, or somebody else was faster
        name = _to_name(weights, step)
        for file in directory.glob(f"{name}.*{_READY}"):
            if file.name == _to_file_name(name, file):
                os.utime(file)  # so that those which nobody uses go first
                return file
            file.unlink()
    return None


def _put(new: Path, weights: Path, step: Step, answer: Mapping[str, Any] | None) -> None:
    try:
        # On a full disk, what there is room for is written.
        if answer is not None and answer.get("n_written") == new.stat().st_size:
            name = _to_name(weights, step)
            new.replace(new.with_name(_to_file_name(name, new)))
    finally:
        new.unlink(missing_ok=True)
        _clear(new.parent)


def _to_file_name(name: str, file: Path) -> str:
    with file.open("rb") as content:
        return f"{name}.{hashlib.file_digest(content, 'sha256').hexdigest()}{_READY}"


def _clear(directory: Path) -> None:
    """Remove those that were used least of late, and what a program that died was writing."""
    files = sorted(directory.glob(f"*{_READY}"), key=lambda file: file.stat().st_mtime)
    for file in files[:-_MAX_FILES]:
        file.unlink(missing_ok=True)
    for file in directory.glob(f"*{_NEW}"):
        if time.time() - file.stat().st_mtime > _STALE_SECONDS:
            file.unlink(missing_ok=True)


async def _ask(engine: Engine, slot: Slot, action: str, name: str) -> Mapping[str, Any] | None:
    """What the engine answers to a `save` or `restore`; None if it does not, or says no."""
    from httpx2 import HTTPError

    endpoint = parse_endpoint(engine.address)
    client = await to_thread.run_sync(create_http_client, endpoint, _TIMEOUT_SECONDS)
    async with client:
        with anyio.move_on_after(_TIMEOUT_SECONDS), suppress(HTTPError, ValueError):
            response: Response = await client.post(
                f"/slots/{int(slot)}",
                params={"action": action},
                json={"filename": name},
                headers={"Authorization": f"Bearer {engine.key}"},
            )
            if response.is_success:
                return response.json()
    return None
