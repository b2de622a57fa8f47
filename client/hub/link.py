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
from mcp.client.auth import OAuthFlowError
from mcp_types import ElicitCompleteNotification, Implementation, ToolListChangedNotification

from agentic.config.findings import ConfigError
from client.hub.allowance import Allowance
from client.hub.complaints import Complaints
from client.hub.elicitation import Flights
from client.hub.http import open_http
from client.hub.incoming import (
    EndlessLineError,
    IncomingStream,
    StrayLineError,
    assume_complete,
    drop_malformed_tools,
)
from client.hub.oauth import describe_log_in_error
from client.hub.plain_text import Scrub, clean
from client.hub.servers import (
    HttpTarget,
    HubServer,
    HubTool,
    InProcessTarget,
    StdioTarget,
    Target,
)
from client.hub.stdio import open_stdio

if TYPE_CHECKING:
    from mcp.client._transport import TransportStreams

_CLIENT_INFO = Implementation(name="agentic", version=metadata.version("agentic-ai"))
_REASON_CHARACTERS = 600
_SAMPLE_CHARACTERS = 60
_STRAYS = 1_000
_STRAYS_PER_SECOND = 10
"""A server may print a banner or a line of log now and then among its messages."""


@dataclass(slots=True)
class Link:
    """What is known of a connection: whether it is over and why, and whether it needs a look."""

    complaints: Complaints
    version: str = ""
    reason: str = ""
    sample: str = ""
    """The last line that was no message."""
    hopeless: bool = False
    """It speaks no MCP; trying again soon is of no use."""
    ended: anyio.Event = field(default_factory=anyio.Event)
    doubted: anyio.Event = field(default_factory=anyio.Event)
    flights: Flights = field(default_factory=Flights)
    _strays: Allowance = field(default_factory=lambda: Allowance(_STRAYS, _STRAYS_PER_SECOND))

    def end(self, reason: str) -> None:
        """It is of no use any more; the first reason counts."""
        if not self.ended.is_set():
            self.reason = reason
            self.ended.set()

    def time_out(self, seconds: float, target: Target) -> None:
        """It did not become ready in time."""
        if self.version:
            self.reason = f"did not list its tools within {seconds:g} s"
            return
        place = "on stdio" if isinstance(target, StdioTarget) else "behind this URL"
        self.reason = (
            f"did not answer the MCP handshake within {seconds:g} s: is this an MCP server {place}?"
        )

    def pass_over(self, stray: Exception, target: Target) -> bool:
        """Let pass what is no message; or end, and say so, when that is more than can be borne."""
        self.sample = str(stray) if isinstance(stray, StrayLineError) else ""
        is_endless = isinstance(stray, EndlessLineError)
        if self._strays.take() and not is_endless:
            return False
        setting = "`command` and `args`" if isinstance(target, StdioTarget) else "`url`"
        how = f" ({stray})" if is_endless else ""
        self.hopeless = True
        self.end(f"prints what is no MCP{how}; check its {setting} in mcp.yml")
        return True

    def doubt(self) -> None:
        """The tools may have changed, or the server may not answer any more: the owner looks."""
        self.doubted.set()


@dataclass(frozen=True, slots=True)
class Live:
    """A connection that can be called."""

    client: Client
    link: Link
    tools: Mapping[str, HubTool]
    problem: str | None = None


@asynccontextmanager
async def open_client(
    server: HubServer, link: Link, *, can_ask: bool = False
) -> AsyncGenerator[Client]:
    """Connect and negotiate; leave it in the task that entered it.

    `can_ask`: the server is told that there is somebody to ask.
    """
    match server.target:
        case StdioTarget() as target:
            source = _watch(open_stdio(target, link.complaints), server, link, "the process ended")
        case HttpTarget() as target:
            transport = open_http(
                target, server.timeout_seconds, link.end, link.doubt, can_ask=can_ask
            )
            source = _watch(transport, server, link, "the connection broke")
        case InProcessTarget(server=in_process):
            source = in_process

    async def notice(message: IncomingMessage) -> None:
        match message:
            case ToolListChangedNotification():
                link.doubt()
            case ElicitCompleteNotification(params=params):
                link.flights.complete(params.elicitation_id)
            case _:
                pass

    # The cache is off: the tools are listed when they may have changed, and never else.
    async with Client(
        source,
        cache=None,
        client_info=_CLIENT_INFO,
        message_handler=notice,
        elicitation_callback=link.flights.elicit if can_ask else None,
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
            assume_complete(result, link.version)
            drop_malformed_tools(result, link.version, server.name)

    async with transport as (incoming, outgoing):
        on_stray = partial(link.pass_over, target=server.target)
        yield IncomingStream(incoming, partial(link.end, ending), on_stray, sift), outgoing


def explain(error: Exception | None, server: HubServer, link: Link, scrub: Scrub) -> str:
    """Why the connection did not come about or ended, in words for the operator."""
    reason = link.reason or (describe(error, server) if error else "it ended")
    if link.sample and (link.hopeless or not link.version):
        reason += f" (it printed {clean(scrub(link.sample), _SAMPLE_CHARACTERS)!r})"
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
        case ConfigError(), _:
            return str(error)
        case OAuthFlowError(), _:
            return describe_log_in_error(error)
        case _:
            return f"{type(error).__name__}: {error}"
