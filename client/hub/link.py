"""One attempt at a connection: the client over the right transport, and how it came to its end."""

from collections.abc import AsyncGenerator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from importlib import metadata
from typing import TYPE_CHECKING, Any

import anyio
from mcp import Client, MCPError
from mcp.client import IncomingMessage
from mcp_types import Implementation, ToolListChangedNotification

from client.hub.http import open_http
from client.hub.incoming import IncomingStream, drop_malformed_tools
from client.hub.plain_text import Scrub, clean
from client.hub.servers import HttpTarget, HubServer, HubTool, InProcessTarget, StdioTarget
from client.hub.stdio import Complaints, open_stdio

if TYPE_CHECKING:
    from mcp.client._transport import TransportStreams

_CLIENT_INFO = Implementation(name="agentic", version=metadata.version("agentic-ai"))
_REASON_CHARACTERS = 600


@dataclass(slots=True)
class Link:
    """What is known of a connection: whether it is over and why, and whether it needs a look."""

    complaints: Complaints
    version: str = ""
    reason: str = ""
    ended: anyio.Event = field(default_factory=anyio.Event)
    doubted: anyio.Event = field(default_factory=anyio.Event)

    def end(self, reason: str) -> None:
        """It is of no use any more; the first reason counts."""
        if not self.ended.is_set():
            self.reason = reason
            self.ended.set()

    def doubt(self) -> None:
        """The tools may have changed, or the server may not answer any more: the owner looks."""
        self.doubted.set()


@dataclass(frozen=True, slots=True)
class Live:
    """A connection that can be called."""

    client: Client
    link: Link
    tools: Mapping[str, HubTool]


@asynccontextmanager
async def open_client(server: HubServer, link: Link) -> AsyncGenerator[Client]:
    """Connect and negotiate; leave it in the task that entered it."""
    match server.target:
        case StdioTarget() as target:
            source = _watch(open_stdio(target, link.complaints), server, link, "the process ended")
        case HttpTarget() as target:
            transport = open_http(target, server.timeout_seconds, link.end, link.doubt)
            source = _watch(transport, server, link, "the connection broke")
        case InProcessTarget(server=in_process):
            source = in_process

    async def notice(message: IncomingMessage) -> None:
        if isinstance(message, ToolListChangedNotification):
            link.doubt()

    # The cache is off: the tools are listed when they may have changed, and never else.
    async with Client(
        source, cache=None, client_info=_CLIENT_INFO, message_handler=notice
    ) as client:
        link.version = client.protocol_version
        yield client


@asynccontextmanager
async def _watch(
    transport: "AbstractAsyncContextManager[TransportStreams]",
    server: HubServer,
    link: Link,
    ending: str,
) -> "AsyncGenerator[TransportStreams]":
    def sift(result: dict[str, Any]) -> None:
        if link.version:
            drop_malformed_tools(result, link.version, server.name)

    async with transport as (incoming, outgoing):
        yield IncomingStream(incoming, partial(link.end, ending), sift), outgoing


def explain(error: Exception | None, server: HubServer, link: Link, scrub: Scrub) -> str:
    """Why the connection did not come about or ended, in words for the operator."""
    reason = link.reason or (describe(error, server) if error else "it ended")
    words = link.complaints.last_words()
    return clean(scrub(f"{reason}: {words}" if words else reason), _REASON_CHARACTERS)


def describe(error: Exception, server: HubServer) -> str:
    """What went wrong; of a group the first, since they all tell of the same."""
    match error, server.target:
        case ExceptionGroup(), _:
            return describe(error.exceptions[0], server)
        case OSError(filename=str() as name), StdioTarget(command=command, cwd=cwd):
            what = "command" if name == command or cwd is None else "working directory"
            return f"the {what} {name} can't be used ({error.strerror})"
        case MCPError(), _:
            return error.message
        case _:
            return f"{type(error).__name__}: {error}"
