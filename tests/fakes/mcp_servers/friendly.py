"""A well-behaved server on the SDK: `python -m tests.fakes.mcp_servers.friendly [PORT [older]]`."""

import os
import sys
from collections.abc import Mapping
from typing import Any

import anyio
import uvicorn
from mcp.server import Server, ServerRequestContext
from mcp.server.stdio import stdio_server
from mcp_types import (
    CallToolRequestParams,
    CallToolResult,
    ListToolsResult,
    PaginatedRequestParams,
    TextContent,
    Tool,
)
from mcp_types.version import LATEST_MODERN_VERSION
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

_ANY_OBJECT = {"type": "object"}


def create_friendly_server() -> Server[Any]:
    """Tools: `echo`, `sleep`, `about` (pid, environment, `_meta`), `exit`."""

    async def list_tools(
        _context: ServerRequestContext[Any], _params: PaginatedRequestParams | None
    ) -> ListToolsResult:
        names = ("echo", "sleep", "about", "exit")
        return ListToolsResult(
            tools=[Tool(name=name, description=name, input_schema=_ANY_OBJECT) for name in names]
        )

    async def call_tool(
        context: ServerRequestContext[Any], params: CallToolRequestParams
    ) -> CallToolResult:
        arguments = params.arguments or {}
        match params.name:
            case "sleep":
                await anyio.sleep(arguments["seconds"])
            case "about":
                return _result(
                    {
                        "pid": os.getpid(),
                        "session": os.getsid(0),
                        "environment": dict(os.environ),
                        "cwd": os.getcwd(),  # noqa: PTH109 - as the process has it
                        "meta": dict(params.meta or {}),
                    }
                )
            case "exit":
                os._exit(3)
            case _:
                pass
        return _result(arguments)

    return Server("friendly", on_list_tools=list_tools, on_call_tool=call_tool)


def _result(structured: Mapping[str, Any]) -> CallToolResult:
    return CallToolResult(content=[TextContent(text="done")], structured_content=dict(structured))


def older_only(app: ASGIApp) -> ASGIApp:
    """Refuse what a server of the older era has never heard of."""

    async def refuse_modern(scope: Scope, receive: Receive, send: Send) -> None:
        headers = dict(scope.get("headers", ()))
        if headers.get(b"mcp-protocol-version") == LATEST_MODERN_VERSION.encode():
            refusal = PlainTextResponse("Unsupported protocol version", status_code=400)
            await refusal(scope, receive, send)
        else:
            await app(scope, receive, send)

    return refuse_modern


async def _serve_stdio() -> None:
    server = create_friendly_server()
    async with stdio_server() as (incoming, outgoing):
        await server.run(incoming, outgoing, server.create_initialization_options())


if __name__ == "__main__":
    if len(sys.argv) > 1:
        app: ASGIApp = create_friendly_server().streamable_http_app()
        app = older_only(app) if "older" in sys.argv else app
        uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), log_level="warning")
    else:
        anyio.run(_serve_stdio)
