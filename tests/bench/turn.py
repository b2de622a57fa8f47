"""One turn on the scripted model over stdio, against as many bare MCP echo calls as it makes."""

import os
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from io import RawIOBase
from pathlib import Path
from statistics import median

import anyio
from mcp.client import Client
from mcp.client.stdio import StdioServerParameters

from client.coordinator.coordinator import Coordinator
from client.coordinator.request import TurnRequest
from client.hub.hub import open_hub
from client.hub.servers import HubServer, StdioTarget
from client.llm.protocol import Completion
from client.llm.scripted import ScriptedModel
from tests.assistant import WatchedHub
from tests.bench.echo import create_echo
from tests.bench.table import Row

MAX_RATIO = 3.0
MAX_CALLS = 3


async def serve_echo() -> None:
    """A bare SDK server on stdio: the floor."""
    from mcp.server.stdio import stdio_server

    server = create_echo()
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
            first, later, echoes, syncs = Series(), Series(), Series(), Series()
            with Path(directory, "floor").open("wb", buffering=0) as file:
                for number in range(rounds):
                    await echoes.time(lambda: bare.call_tool("echo", {"text": "x" * 250}))
                    syncs.times.append(_time_sync(file))
                    for series in (first, later):
                        before = len(watched.calls)
                        await series.time(lambda n=number: _run_turn(coordinator, f"bench-{n}"))
                        series.calls = max(series.calls, len(watched.calls) - before)
    return [
        Row("bare MCP echo call over stdio", echoes.milliseconds, "ms"),
        Row("write + fdatasync", syncs.milliseconds, "ms"),
        *_rows("first turn of a conversation", first, echoes),
        *_rows("a later turn", later, echoes),
    ]


@dataclass
class Series:
    """The times of one thing, and the MCP calls that one takes."""

    times: list[float] = field(default_factory=list[float])
    calls: int = 0

    async def time(self, work: Callable[[], Awaitable[object]]) -> None:
        began = time.perf_counter()
        await work()
        self.times.append(time.perf_counter() - began)

    @property
    def milliseconds(self) -> float:
        return median(self.times) * 1e3


def _rows(name: str, turns: Series, echoes: Series) -> list[Row]:
    ratio = turns.milliseconds / (turns.calls * echoes.milliseconds)
    return [
        Row(f"{name}, scripted model, stdio", turns.milliseconds, "ms"),
        Row("  MCP calls it makes", turns.calls, "calls", limit=MAX_CALLS),
        Row("  against as many echo calls", ratio, "x", limit=MAX_RATIO),
    ]


def _time_sync(file: RawIOBase) -> float:
    began = time.perf_counter()
    file.write(b"x" * 500)
    os.fdatasync(file.fileno())
    return time.perf_counter() - began


async def _run_turn(coordinator: Coordinator, conversation_id: str) -> None:
    async with coordinator.stream(TurnRequest(conversation_id, "How are you today?")) as events:
        async for _ in events:
            pass


def run(*, quick: bool) -> list[Row]:
    """Rows of this part of the table."""
    return anyio.run(lambda: measure(rounds=50 if quick else 300))
