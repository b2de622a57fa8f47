"""One turn on the scripted model over stdio, against as many bare MCP echo calls as it makes."""

import os
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

import anyio
import mcp_types as types
from mcp.client import Client
from mcp.client.stdio import StdioServerParameters

from client.coordinator.coordinator import Coordinator
from client.coordinator.request import TurnRequest
from client.hub.hub import open_hub
from client.hub.servers import HubServer, StdioTarget
from client.llm.protocol import Completion
from client.llm.scripted import ScriptedModel
from tests.assistant import WatchedHub
from tests.bench.table import Row

MAX_RATIO = 3.0
MAX_CALLS = 3


async def serve_echo() -> None:
    """A bare SDK server on stdio: the floor."""
    from mcp.server import Server, ServerRequestContext
    from mcp.server.stdio import stdio_server

    async def list_tools(
        ctx: ServerRequestContext[Any], params: types.PaginatedRequestParams | None
    ) -> types.ListToolsResult:
        return types.ListToolsResult(
            tools=[types.Tool(name="echo", input_schema={"type": "object"})]
        )

    async def call_tool(
        ctx: ServerRequestContext[Any], params: types.CallToolRequestParams
    ) -> types.CallToolResult:
        text = str((params.arguments or {}).get("text"))
        return types.CallToolResult(content=[types.TextContent(type="text", text=text)])

    server = Server("echo", on_list_tools=list_tools, on_call_tool=call_tool)
    async with stdio_server() as (read, write):
        await server.run(read, write, server.create_initialization_options())


async def measure(*, rounds: int) -> list[Row]:
    """Interleaved: in each round the echo calls, a write with fdatasync, then a turn."""
    answer = "A short answer of about as many words as people usually get from an assistant. " * 3
    echo_code = "import anyio; from tests.bench.turn import serve_echo; anyio.run(serve_echo)"
    with tempfile.TemporaryDirectory() as directory:
        environment = {"AGENTIC_CONVERSATIONS__DIRECTORY": f"{directory}/conversations"}
        target = StdioTarget(
            sys.executable, ["-m", "agentic", "serve", "conversations"], environment
        )
        servers = [HubServer("conversations", target, ours=True, offer_to_model=False)]
        echo = StdioServerParameters(command=sys.executable, args=["-c", echo_code], cwd=Path.cwd())
        async with open_hub(servers) as hub, Client(echo) as bare:
            await hub.wait_ready(timeout_seconds=20)
            watched = WatchedHub(hub)
            model = ScriptedModel(lambda _: Completion(text=answer))
            coordinator = Coordinator(watched, model)
            turns: list[float] = []
            floors: list[float] = []
            syncs: list[float] = []
            with Path(directory, "floor").open("wb", buffering=0) as file:
                for _ in range(rounds):
                    floors.append(await _time_echo(bare))
                    syncs.append(_time_sync(file))
                    turns.append(await _time_turn(coordinator))
            calls = len(watched.calls) / rounds
    turn, floor, sync = median(turns), median(floors), median(syncs)
    return [
        Row("3 bare MCP echo calls over stdio", floor * 1e3, "ms"),
        Row("write + fdatasync", sync * 1e3, "ms"),
        Row("one turn, scripted model, stdio", turn * 1e3, "ms"),
        Row("  against the echo calls", turn / floor, "x", limit=MAX_RATIO),
        Row("  MCP calls it makes", calls, "calls", limit=MAX_CALLS),
    ]


async def _time_echo(bare: Client) -> float:
    began = time.perf_counter()
    for _ in range(MAX_CALLS):
        await bare.call_tool("echo", {"text": "x" * 250})
    return time.perf_counter() - began


def _time_sync(file: Any) -> float:
    began = time.perf_counter()
    file.write(b"x" * 500)
    os.fdatasync(file.fileno())
    return time.perf_counter() - began


async def _time_turn(coordinator: Coordinator) -> float:
    began = time.perf_counter()
    async with coordinator.stream(TurnRequest("bench", "How are you today?")) as events:
        async for _ in events:
            pass
    return time.perf_counter() - began


def run(*, quick: bool) -> list[Row]:
    """Rows of this part of the table."""
    return anyio.run(lambda: measure(rounds=50 if quick else 300))
