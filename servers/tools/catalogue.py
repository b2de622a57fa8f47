"""The tools that are served now, and who hears when they become others."""

import logging
from collections.abc import Mapping
from typing import Any, Protocol
from weakref import WeakValueDictionary

import anyio
import httpx2
from anyio.abc import TaskGroup
from mcp import types
from mcp.server import ServerRequestContext
from mcp.server.connection import Connection
from mcp.server.subscriptions import InMemorySubscriptionBus, ListenHandler, ToolsListChanged
from mcp_types.version import MODERN_PROTOCOL_VERSIONS

from agentic.config.findings import dotted
from agentic.config.tool_steps import StepsConfig
from agentic.config.tools import ToolConfig
from servers.tools.api_limits import ApiLimits
from servers.tools.composed import ComposedTool
from servers.tools.declared import DeclaredTool
from servers.tools.kept_answers import KeptAnswers

_logger = logging.getLogger(__name__)

POLL_SECONDS = 0.5
_MAX_TELLING_SECONDS = 10.0
"""For one client of the older era, which may have stopped to read."""


class Tool(Protocol):
    """What the server lists and calls."""

    definition: types.Tool

    async def call(
        self, arguments: Mapping[str, object], transport: httpx2.AsyncBaseTransport, owner: str
    ) -> types.CallToolResult:
        """The tool's result for `owner`.

        Raises:
            ToolFailedError: There is none; its text is for the caller.
        """
        ...


class Catalogue:
    """Built-in and declared tools by name. A tool whose declaration stays the same is kept."""

    def __init__(
        self,
        builtin: Tool,
        declarations: Mapping[str, ToolConfig],
        composed: Mapping[str, StepsConfig],
        kept: KeptAnswers,
    ) -> None:
        self._builtin = builtin
        self._kept = kept
        self._declarations: Mapping[str, ToolConfig] = {}
        self._declared: Mapping[str, DeclaredTool] = {}
        self._limits: WeakValueDictionary[str, ApiLimits] = WeakValueDictionary()
        """Of the sources whose tools are served."""
        self.served: Mapping[str, Tool] = {}
        self.definitions: list[types.Tool] = []
        self.replace(declarations, composed)

    def replace(
        self, declarations: Mapping[str, ToolConfig], composed: Mapping[str, StepsConfig]
    ) -> bool:
        """Serve these from now on; calls that run go on. Returns whether clients see a change."""
        declared: dict[str, DeclaredTool] = {}
        for name, config in declarations.items():
            if self._declarations.get(name) == config and name in self._declared:
                declared[name] = self._declared[name]
                continue
            try:
                declared[name] = DeclaredTool(name, config, self._kept, self._limits_of(config))
            except httpx2.InvalidURL:
                where = dotted(("tools", name, "url"))
                _logger.error("%s: can't be used; check its host. This tool is left out", where)
        served: dict[str, Tool] = {self._builtin.definition.name: self._builtin}
        served |= {
            name: tool for name, tool in declared.items() if not declarations[name].only_in_steps
        }
        for name, steps in composed.items():
            if all(step.tool in declared for step in steps.steps):
                served[name] = ComposedTool(name, steps, declared, self._kept)
        before = self.definitions
        self.served, self._declarations, self._declared = served, declarations, declared
        self.definitions = [tool.definition for tool in served.values()]
        return self.definitions != before

    def _limits_of(self, config: ToolConfig) -> ApiLimits:
        if config.source is None:
            return ApiLimits()
        return self._limits.setdefault(config.source, ApiLimits())


class Announcer:
    """Tells clients of both eras that there are other tools now."""

    def __init__(self) -> None:
        self._bus = InMemorySubscriptionBus()
        self._connections: set[Connection] = set()
        self._listen = ListenHandler(self._bus)

    async def listen(
        self, ctx: ServerRequestContext[Any], params: types.SubscriptionsListenRequestParams
    ) -> types.SubscriptionsListenResult:
        """Serve `subscriptions/listen`, of which nothing but changed tools is honoured."""
        tools = types.SubscriptionFilter(tools_list_changed=params.notifications.tools_list_changed)
        return await self._listen(ctx, params.model_copy(update={"notifications": tools}))

    def remember(self, ctx: ServerRequestContext[Any]) -> None:
        """Who has listed the tools over a connection of the older era hears over it of others."""
        connection = ctx.session._connection  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
        is_modern = ctx.protocol_version in MODERN_PROTOCOL_VERSIONS
        if not is_modern and connection not in self._connections:
            self._connections.add(connection)
            connection.exit_stack.callback(self._connections.discard, connection)

    async def announce(self, tasks: TaskGroup) -> None:
        """Tell everybody; who doesn't listen delays nobody."""
        for connection in list(self._connections):
            tasks.start_soon(self._tell, connection)
        await self._bus.publish(ToolsListChanged())

    async def _tell(self, connection: Connection) -> None:
        with anyio.move_on_after(_MAX_TELLING_SECONDS):
            await connection.send_tool_list_changed()
