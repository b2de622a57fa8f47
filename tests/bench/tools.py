"""Declared tools: a call against the bare HTTP request, and a long list of them."""

from functools import partial
from statistics import median

import anyio
import httpx2
from mcp.client import Client

from agentic.config.tools import ToolConfig
from servers.access.principal import create_operator
from servers.tools.server import create_server
from tests.bench.table import Row
from tests.bench.timing import time_calls
from tests.fakes.tool_endpoint import answer_json, serve_tool_endpoint

MAX_EXTRA_MILLISECONDS = 2.5
MAX_LIST_MILLISECONDS = 50
TOOLS = 500
BLOCKS = 10


def _declare(url: str) -> ToolConfig:
    limit = {"type": "integer", "default": 5, "minimum": 1}
    return ToolConfig.model_validate(
        {"url": url, "parameters": {"query": "string", "limit": limit}}
    )


async def measure(*, rounds: int) -> list[Row]:
    """In blocks by turns: the request as a client of HTTP sends it, the same as a tool's call."""
    async with serve_tool_endpoint() as endpoint:
        url = endpoint.on("/", answer_json({"result": ["x" * 250]}))
        server = create_server({"search": _declare(url)}, create_operator("ada"))
        floors: list[float] = []
        times: list[float] = []
        async with Client(server) as client, httpx2.AsyncClient() as http:
            body = {"params": {"query": "mcp", "limit": 5}, "request_id": "x" * 32}
            for _ in range(BLOCKS):
                floors.append(await time_calls(partial(http.post, url, json=body), rounds))
                call = partial(client.call_tool, "search", {"query": "mcp"})
                times.append(await time_calls(call, rounds))
        floor, time = median(floors), median(times)
        listed = await _list(url, rounds)
    return [
        Row("the bare HTTP request", floor, "ms"),
        Row("the same as a declared tool's call", time, "ms"),
        Row("  more than the request", time - floor, "ms", limit=MAX_EXTRA_MILLISECONDS),
        Row(f"{TOOLS} declared tools, listed", listed, "ms", limit=MAX_LIST_MILLISECONDS),
    ]


async def _list(url: str, rounds: int) -> float:
    declared = {f"search_{number}": _declare(url) for number in range(TOOLS)}
    async with Client(create_server(declared, create_operator("ada"))) as client:
        return await time_calls(lambda: client.list_tools(cache_mode="bypass"), rounds)


def run(*, quick: bool) -> list[Row]:
    """Rows of this part of the table."""
    return anyio.run(lambda: measure(rounds=5 if quick else 50))
