"""What the hub connects to, and the state each connection is in."""

from collections.abc import Mapping, Sequence
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


@dataclass(frozen=True, slots=True)
class HttpTarget:
    """A URL that speaks streamable HTTP."""

    url: str = field(repr=False)
    headers: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)


@dataclass(frozen=True, slots=True)
class InProcessTarget:
    """A server object in this process (`mcp.server.Server`), for embedding and for tests."""

    server: Any


@dataclass(frozen=True, slots=True)
class HubServer:
    """One server the hub keeps a connection to.

    `ours`: its calls carry the owner they act for in `_meta`. `allow` and `deny` are shell patterns
    on the tool's own name; what they leave out does not exist for us. `offer_to_model`: all, none,
    or these. `timeout_seconds` limits one call.
    """

    name: str
    target: StdioTarget | HttpTarget | InProcessTarget
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
    read_only: bool = False
    destructive: bool = True


ConnectionState = Literal["connecting", "ready", "waiting", "closed"]


@dataclass(frozen=True, slots=True)
class ServerStatus:
    """How a connection is: `waiting` is between attempts, and `reason` says why."""

    name: str
    state: ConnectionState
    reason: str | None = None
    protocol_version: str | None = None
    tools: int = 0
