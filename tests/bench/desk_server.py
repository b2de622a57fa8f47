"""The invented desk's tools as an MCP server on stdio; its argument names the set of them."""

import sys
from collections.abc import Sequence
from typing import Any

import anyio
from mcp.server import Server, ServerRequestContext
from mcp.server.stdio import stdio_server
from mcp_types import (
    CallToolRequestParams,
    CallToolResult,
    ListToolsResult,
    PaginatedRequestParams,
    TextContent,
    Tool,
    ToolAnnotations,
)

from tests.bench.desk_tools import SETS, DeskTool


def create_desk_server(offered: Sequence[DeskTool]) -> Server[Any]:
    """Whatever its tools are asked, they answer the same."""
    tools = {tool.name: tool for tool in offered}

    async def list_tools(
        _context: ServerRequestContext[Any], _params: PaginatedRequestParams | None
    ) -> ListToolsResult:
        return ListToolsResult(
            tools=[
                Tool(
                    name=tool.name,
                    description=tool.description,
                    input_schema=tool.input_schema,
                    annotations=ToolAnnotations(read_only_hint=not tool.writes),
                )
                for tool in offered
            ]
        )

    async def call_tool(
        _context: ServerRequestContext[Any], params: CallToolRequestParams
    ) -> CallToolResult:
        tool = tools[params.name]
        return CallToolResult(content=[TextContent(text=tool.answer)], is_error=tool.fails)

    return Server("desk", on_list_tools=list_tools, on_call_tool=call_tool)


async def _serve() -> None:
    server = create_desk_server(SETS[sys.argv[1]])
    async with stdio_server() as (incoming, outgoing):
        await server.run(incoming, outgoing, server.create_initialization_options())


if __name__ == "__main__":
    anyio.run(_serve)
