"""The server as a process of its own, on its standard streams."""

import json
import sys

import anyio
from mcp import Client, StdioServerParameters
from mcp.client.stdio import stdio_client

from tests.fakes.tool_endpoint import ToolEndpoint, compute
from tests.servers.tools.conftest import Era, error_of

PROGRAM = """
import json, sys, anyio
from mcp.server.stdio import stdio_server
from agentic.config.tools import ToolConfig
from servers.access.principal import create_operator
from servers.tools.server import create_server

async def main():
    declared = json.loads(sys.argv[1])
    tools = {name: ToolConfig.model_validate(tool) for name, tool in declared.items()}
    server = create_server(tools, create_operator("ada"))
    async with stdio_server() as (read, write):
        await server.run(read, write, server.create_initialization_options())

anyio.run(main)
"""


async def test_a_declared_tool_works_over_standard_streams(
    endpoint: ToolEndpoint, era: Era
) -> None:
    url = endpoint.on("/", compute(lambda request: {"said": request.params["text"], "none": None}))
    declared = {"say": {"url": url, "parameters": {"text": "string"}}}
    program = StdioServerParameters(
        command=sys.executable, args=["-c", PROGRAM, json.dumps(declared)]
    )
    with anyio.fail_after(30):
        async with Client(stdio_client(program), mode=era) as client:
            assert [tool.name for tool in (await client.list_tools()).tools] == [
                "current_time",
                "say",
            ]
            result = await client.call_tool("say", {"text": "hä?\u2028"})
            assert result.structured_content == {"result": {"said": "hä?\u2028", "none": None}}
            error = error_of(await client.call_tool("say", {"text": 1}))
            assert error["field"] == "text"
            assert not (await client.call_tool("current_time", {})).is_error
