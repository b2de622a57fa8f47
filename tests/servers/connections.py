"""A client of the conversation server, however it is reached: one test runs over each way."""

import subprocess
import sys
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

import anyio
from anyio.abc import Process
from anyio.streams.buffered import BufferedByteReceiveStream
from mcp import Client, StdioServerParameters
from mcp.client.session import MessageHandlerFnT
from mcp.types import CallToolResult, RequestParamsMeta

from agentic.config.models import Config, ConversationsConfig
from servers.access.contract import OWNER_META_KEY
from servers.access.principal import Principal, create_operator
from servers.host import open_server

Era = Literal["auto", "legacy"]
Transport = Literal["memory", "stdio", "http"]

WAYS: list[tuple[Transport, Era]] = [
    (transport, era) for transport in ("memory", "stdio", "http") for era in ("auto", "legacy")
]
LATER_WAYS: list[tuple[Transport, Era]] = [("stdio", "auto"), ("http", "legacy")]

SERVE = """
import sys
from functools import partial
from pathlib import Path
from agentic.cli.command_loop import run_stoppable
from agentic.config.models import Config, ConversationsConfig
from servers.errors import HostError
from servers.host import serve_http, serve_stdio

transport, directory, option = sys.argv[1:]
config = Config(owner="ada", conversations=ConversationsConfig(directory=Path(directory)))
if transport == "stdio":
    serve = partial(serve_stdio, "conversations", config, delegate=option == "delegate")
else:
    host, _, port = option.rpartition(":")
    no_auth = transport == "http"
    serve = partial(
        serve_http, ["conversations"], config, host=host, port=int(port), no_auth=no_auth
    )
try:
    run_stoppable(serve)  # as the command does: the end of a loop gives signals back
except* HostError as errors:
    sys.exit("; ".join(f"{type(error).__name__}: {error}" for error in errors.exceptions))
"""
"""A program: `stdio DIRECTORY delegate|operator`, `http|authenticated DIRECTORY HOST:PORT`."""


def serve_command(transport: str, directory: Path, option: str) -> list[str]:
    return [sys.executable, "-c", SERVE, transport, str(directory), option]


@asynccontextmanager
async def running(
    command: list[str],
    *,
    stdout: int = subprocess.PIPE,
    environment: Mapping[str, str] | None = None,
) -> AsyncGenerator[Process]:
    """A program that is killed, if it still runs, at the end of the block."""
    async with await anyio.open_process(command, stdout=stdout, env=environment) as process:
        try:
            yield process
        finally:
            if process.returncode is None:
                process.kill()


async def read_line(process: Process) -> str:
    """The next line a program writes to stderr."""
    assert process.stderr is not None
    line = await BufferedByteReceiveStream(process.stderr).receive_until(b"\n", 4_096)
    return line.decode()


@dataclass(frozen=True)
class Connections:
    """Clients of the conversation server over one directory, in one way."""

    directory: Path
    transport: Transport
    era: Era

    @asynccontextmanager
    async def connect(
        self,
        principal: Principal | None = None,
        *,
        delegate: bool = False,
        hear: MessageHandlerFnT | None = None,
    ) -> AsyncGenerator[Client]:
        """A client; all that is done with it ends within 30 seconds. `principal`: in memory.

        `hear` is given what the server says by itself.
        """
        with anyio.fail_after(30):
            match self.transport:
                case "memory":
                    async with self._connect_in_memory(principal, delegate, hear) as client:
                        yield client
                case "stdio":
                    option = "delegate" if delegate else "operator"
                    command, *arguments = serve_command("stdio", self.directory, option)
                    target = StdioServerParameters(command=command, args=arguments)
                    async with Client(target, mode=self.era, message_handler=hear) as client:
                        yield client
                case "http":
                    command = serve_command("http", self.directory, "127.0.0.1:0")
                    async with running(command) as process:
                        url = (await read_line(process)).split()[-1]
                        async with Client(url, mode=self.era, message_handler=hear) as client:
                            yield client

    @asynccontextmanager
    async def _connect_in_memory(
        self, principal: Principal | None, delegate: bool, hear: MessageHandlerFnT | None
    ) -> AsyncGenerator[Client]:
        config = Config(conversations=ConversationsConfig(directory=self.directory))
        callers = principal or create_operator("ada", delegate=delegate)
        async with (
            open_server("conversations", config, callers) as hosted,
            Client(hosted.server, mode=self.era, message_handler=hear) as client,
        ):
            yield client


def meta_for(owner: str | None) -> RequestParamsMeta | None:
    """The `_meta` of a call for this owner."""
    return None if owner is None else cast("RequestParamsMeta", {OWNER_META_KEY: owner})


async def call(
    client: Client, tool: str, /, *, acting_for: str | None = None, **arguments: Any
) -> dict[str, Any]:
    """What a call that succeeds answers."""
    result = await client.call_tool(tool, arguments, meta=meta_for(acting_for))
    assert not result.is_error, result.structured_content
    return cast("dict[str, Any]", result.structured_content)


async def fail(
    client: Client, tool: str, /, *, acting_for: str | None = None, **arguments: Any
) -> dict[str, Any]:
    """The error of a call that fails."""
    return error_of(await client.call_tool(tool, arguments, meta=meta_for(acting_for)))


def error_of(result: CallToolResult) -> dict[str, Any]:
    """The error of a failed call, which its text repeats for a person."""
    assert result.is_error
    structured = cast("Mapping[str, dict[str, Any]]", result.structured_content)
    assert structured.keys() == {"error"}
    error = structured["error"]
    assert None not in error.values()
    [block] = result.content
    assert block.type == "text"
    assert block.text == error["message"]
    return error
