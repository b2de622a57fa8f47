"""What the hub connects to, and the state each connection is in."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from client.llm.protocol import ToolDefinition


@dataclass(frozen=True, slots=True)
class StdioTarget:
    """A command that speaks MCP on its standard streams. `env` is added to the SDK's safe few."""

    command: str
    args: Sequence[str] = ()
    env: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    cwd: Path | None = None


Show = Callable[[str], Awaitable[None]]
"""Shows a person the URL of a page to open."""


@dataclass(frozen=True, slots=True)
class OAuth:
    """How to get into a server that wants a person's consent.

    `file` keeps what came of it. Without `show` nobody is asked. The page sends the browser to
    `redirect_port` of this machine. `client_id` and `client_secret` are of a client that was
    registered by hand, `client_metadata_url` describes one to authorization servers that read such
    documents; else one is registered when it is needed.
    """

    file: Path
    show: Show | None = None
    redirect_port: int = 41_890
    client_id: str | None = None
    client_secret: str | None = field(default=None, repr=False)
    client_metadata_url: str | None = None


@dataclass(frozen=True, slots=True)
class HttpTarget:
    """A URL that speaks streamable HTTP. `token_file` holds a bearer token, read at connecting."""

    url: str = field(repr=False)
    headers: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    token_file: Path | None = None
    oauth: OAuth | None = None


@dataclass(frozen=True, slots=True)
class InProcessTarget:
    """A server object in this process (`mcp.server.Server`), for embedding and for tests."""

    server: Any


Target = StdioTarget | HttpTarget | InProcessTarget


@dataclass(frozen=True, slots=True)
class HubServer:
    """One server the hub keeps a connection to.

    `ours`: its calls carry the owner they act for in `_meta`. `allow` and `deny` are shell patterns
    on the tool's own name; what they leave out does not exist for us. `offer_to_model`: all, none,
    or these. `timeout_seconds` limits one call.
    """

    name: str
    target: Target
    ours: bool = False
    allow: Sequence[str] = ("*",)
    deny: Sequence[str] = ()
    offer_to_model: bool | Sequence[str] = True
    timeout_seconds: float = 60.0


@dataclass(frozen=True, slots=True)
class HubTool:
    """A tool of one server. `definition.name` is its name for models, `tool` the server's own."""

    server: str
    tool: str
    definition: ToolDefinition
    title: str | None = None
    offered: bool = True
    destructive: bool = True
    says_destructive: bool = False
    """`destructive` is what the server said, and not what absence means."""
    open_world: bool = True
    confirm: bool = False
    """The server wants a person's yes before each call."""
    own_words: bool = False
    """Its server says that others wrote nothing of what it gives. Only `ours` are believed."""
    ours: bool = False

    @property
    def read_only(self) -> bool:
        """Its server says that a call changes nothing."""
        return self.definition.read_only


ConnectionState = Literal["connecting", "ready", "waiting", "closed"]


@dataclass(frozen=True, slots=True)
class ServerStatus:
    """How a connection is: `waiting` is between attempts, and `reason` says why."""

    name: str
    state: ConnectionState
    reason: str | None = None
    protocol_version: str | None = None
    tools: int = 0
    problem: str | None = None
    """Why a server of ours has other tools than its configuration says."""
