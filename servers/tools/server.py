"""The tools server: declared HTTP endpoints and the built-in tools, over MCP."""

import difflib
import logging
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import Protocol

import httpx2
from mcp import types
from mcp.server import Server, ServerRequestContext

from agentic.config.findings import dotted
from agentic.config.tools import ToolConfig
from servers.access.contract import SCOPE_TOOLS_CALL
from servers.access.principal import Callers, ForbiddenError
from servers.cache_hints import FIXED
from servers.faults import report_fault
from servers.tools.builtin import CurrentTime
from servers.tools.declared import DeclaredTool
from servers.tools.guarded_network import Network, open_transport
from servers.tools.results import ToolFailedError, render_failure
from servers.tools.untrusted_text import excerpt

_logger = logging.getLogger(__name__)


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


def create_server(
    tools: Mapping[str, ToolConfig],
    callers: Callers,
    *,
    local_zone: str | None = None,
    network: Network | None = None,
) -> Server[httpx2.AsyncBaseTransport]:
    """The server for these declarations. Its lifespan owns the HTTP connections.

    `local_zone`: the time zone of this machine, where the environment says it. `network`: absent,
    the machine's own. A declaration whose URL can't be used is left out, and told in the log.
    """
    served = _create_tools(tools, CurrentTime(local_zone))
    definitions = [tool.definition for tool in served.values()]

    @asynccontextmanager
    async def open_connections(_: object) -> AsyncGenerator[httpx2.AsyncBaseTransport]:
        async with open_transport(network or Network()) as transport:
            yield transport

    def get_input_schema(name: str) -> Mapping[str, object] | None:
        tool = served.get(name)
        return None if tool is None else tool.definition.input_schema

    async def list_tools(
        _context: object, _params: types.PaginatedRequestParams | None
    ) -> types.ListToolsResult:
        return types.ListToolsResult(tools=definitions)

    async def call_tool(
        context: ServerRequestContext[httpx2.AsyncBaseTransport],
        params: types.CallToolRequestParams,
    ) -> types.CallToolResult:
        try:
            principal = callers.of(context.request)
            principal.require(SCOPE_TOOLS_CALL)
            owner = principal.acting_owner(context.meta)
            tool = _find(served, params.name)
            return await tool.call(params.arguments or {}, context.lifespan_context, owner)
        except ForbiddenError as error:
            failure = ToolFailedError("forbidden", str(error))
        except ToolFailedError as error:
            failure = error
        except Exception as error:  # noqa: BLE001 - boundary: a fault costs its call, not the server
            reference = report_fault(_logger, "a tool's call", error)
            failure = ToolFailedError(
                "failed", f"the tools server failed; its log says why under {reference}"
            )
        # not the text, which may quote what people wrote
        _logger.info("tool %s: %s", excerpt(params.name), failure.detail.code)
        return render_failure(failure)

    return Server(
        "agentic-tools",
        version=version("agentic-ai"),
        title="Tools",
        cache_hints=FIXED,
        lifespan=open_connections,
        get_tool_input_schema=get_input_schema,
        on_list_tools=list_tools,
        on_call_tool=call_tool,
    )


def _create_tools(tools: Mapping[str, ToolConfig], clock: CurrentTime) -> dict[str, Tool]:
    served: dict[str, Tool] = {clock.definition.name: clock}
    for name, config in tools.items():
        try:
            served[name] = DeclaredTool(name, config)
        except httpx2.InvalidURL:
            where = dotted(("tools", name, "url"))
            _logger.error("%s: can't be used; check its host. This tool is left out", where)
    return served


def _find(served: Mapping[str, Tool], name: str) -> Tool:
    if (tool := served.get(name)) is not None:
        return tool
    near = difflib.get_close_matches(name[:128], served, n=1)
    hint = f"did you mean {near[0]}?" if near else "list the tools to see which there are"
    raise ToolFailedError("not_found", f"there is no tool {excerpt(name)}; {hint}")
