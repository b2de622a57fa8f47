"""Shorthands for hub tests: the fake servers as the hub's entries, and what they answer."""

import os
import sys
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager, suppress
from subprocess import DEVNULL
from typing import Any

import anyio
from anyio.abc import Process
from mcp_types import CallToolResult, TextContent

from client.hub.hub import Hub
from client.hub.servers import HttpTarget, HubServer, InProcessTarget, ServerStatus, StdioTarget
from tests.fakes.mcp_servers.friendly import create_friendly_server


def command(script: str, *args: str) -> list[str]:
    return ["-m", f"tests.fakes.mcp_servers.{script}", *args]


def stdio(
    name: str, script: str, *args: str, env: Mapping[str, str] | None = None, **fields: Any
) -> HubServer:
    return HubServer(name, StdioTarget(sys.executable, command(script, *args), env or {}), **fields)


def in_memory(name: str = "memory", **fields: Any) -> HubServer:
    return HubServer(name, InProcessTarget(create_friendly_server()), **fields)


def http(name: str, port: int, **fields: Any) -> HubServer:
    return HubServer(name, HttpTarget(f"http://127.0.0.1:{port}/mcp"), **fields)


@asynccontextmanager
async def http_server(port: int, *args: str, script: str = "friendly") -> AsyncGenerator[Process]:
    """A fake over HTTP; killed on the way out."""
    process = await anyio.open_process(
        [sys.executable, *command(script, str(port), *args)], stdout=DEVNULL, stderr=DEVNULL
    )
    async with process:
        try:
            yield process
        finally:
            with suppress(ProcessLookupError):
                process.kill()


def first_text(result: CallToolResult) -> str:
    (block, *_) = result.content
    assert isinstance(block, TextContent)
    return block.text


async def find_pid(hub: Hub, server: str) -> int:
    """The process behind `dies_on_call` and `hangs`."""
    return int(first_text(await hub.call_tool(server, "pid", {})))


async def wait_state(hub: Hub, server: str, *states: str) -> ServerStatus:
    """Poll what a user could poll; the caller limits the time."""
    while True:
        (status,) = (status for status in hub.status() if status.name == server)
        if status.state in states:
            return status
        await anyio.sleep(0.005)


async def wait_gone(pid: int) -> None:
    """Until the process has ended; only the system knows when."""
    while True:
        if not is_alive(pid):
            return
        await anyio.sleep(0.005)


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
