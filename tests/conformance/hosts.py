"""Servers over HTTP for the suite: started as programs, reached through a relay with a token."""

import json
import os
import sys
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import httpx2
from anyio.streams.buffered import BufferedByteReceiveStream

from servers.access.contract import SCOPE_DELEGATE, SCOPES
from tests.conformance.relay import Relay, open_relay
from tests.servers.connections import running
from tests.servers.token_file import TokenFile


@asynccontextmanager
async def open_fixture_server(folder: Path) -> AsyncGenerator[str]:
    """The URL of the server that has all that the scenarios ask for."""
    tokens_file = folder / "tokens.json"
    program = [sys.executable, "-m", "tests.conformance.fixture_host", str(tokens_file)]
    async with open_relay() as relay:
        command = [*program, relay.origin]
        async with _open_servers(relay, command, ["fixture"], tokens_file) as urls:
            yield urls["fixture"]


@asynccontextmanager
async def open_shipped_servers(
    folder: Path, names: Sequence[str]
) -> AsyncGenerator[Mapping[str, str]]:
    """The URLs of ours, as `agentic serve all --http` serves them."""
    tokens_file, config_file = folder / "tokens.json", folder / "mcp.yml"
    command = [sys.executable, "-m", "agentic", "serve", "all", "--http", "127.0.0.1:0"]
    async with open_relay() as relay:
        access = {"tokens_file": str(tokens_file), "allowed_origins": [relay.origin]}
        config_file.write_text(json.dumps({"owner": "ada", "access": access}))
        environment = {**os.environ, "HOME": str(folder), "MCP_CONFIG_PATH": str(config_file)}
        async with _open_servers(relay, command, names, tokens_file, environment) as urls:
            yield urls


@asynccontextmanager
async def _open_servers(
    relay: Relay,
    command: list[str],
    names: Sequence[str],
    tokens_file: Path,
    environment: Mapping[str, str] | None = None,
) -> AsyncGenerator[dict[str, str]]:
    _, token = TokenFile(tokens_file).create("suite", "ada", SCOPES.keys() - {SCOPE_DELEGATE})
    async with running(command, environment=environment) as process:
        assert process.stderr is not None
        said = BufferedByteReceiveStream(process.stderr)
        urls: dict[str, str] = {}
        with anyio.fail_after(30):
            while urls.keys() != set(names):
                name, *_, url = (await said.receive_until(b"\n", 4_096)).decode().split()
                await _check_closed(url)
                urls[name] = relay.point_at(url, token)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_read_on, said)
            yield urls
            tasks.cancel_scope.cancel()


async def _check_closed(url: str) -> None:
    """Whether the server wants a token: else the relay's would prove nothing."""
    async with httpx2.AsyncClient() as stranger:
        assert (await stranger.get(url)).status_code == 401


async def _read_on(said: BufferedByteReceiveStream) -> None:
    """Take what a server logs, or the full pipe would stop it."""
    try:
        while True:
            await said.receive()
    except anyio.EndOfStream:
        return
