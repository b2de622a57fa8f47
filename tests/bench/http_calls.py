"""Calls over HTTP with a token, against the bare SDK server's; then all servers' memory."""

import re
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from statistics import median

import anyio
import httpx2
from anyio.abc import Process
from anyio.streams.buffered import BufferedByteReceiveStream
from mcp.client import Client
from mcp.client.streamable_http import streamable_http_client

from servers.access.token_file import open_token_file
from servers.access.verifier import TokenVerifier
from tests.bench.echo import create_echo
from tests.bench.table import Row
from tests.servers.http_serving import Asker, Era, serving
from tests.servers.token_file import TokenFile

MAX_RATIO = 1.3
MAX_MEGABYTES = 130
CLIENTS = 16
_TEXT = "x" * 250
_SCOPE = "tools:call"
_MODES = {"modern": "auto", "older": "legacy"}


def serve_bare() -> None:
    """The floor: the SDK's application under uvicorn, as it comes."""
    import uvicorn

    # As uvicorn makes its own: of a socket that isn't told its protocol, asyncio would let small
    # writes wait for each other, 40 ms a call.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.bind(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    sys.stderr.write(f"echo listens at http://127.0.0.1:{port}/mcp\n")
    sys.stderr.flush()
    config = uvicorn.Config(create_echo().streamable_http_app(), log_level="warning")
    uvicorn.Server(config).run(sockets=[listener])


async def serve_ours(tokens_file: str) -> None:
    """The same, hosted as our servers are."""
    from servers.hosted import HostedServer
    from servers.http_app import HttpSettings
    from servers.http_transport import serve_on_http

    hosted = HostedServer("echo", create_echo(), frozenset({_SCOPE}), anyio.lowlevel.checkpoint)
    async with open_token_file(Path(tokens_file)) as tokens:
        settings = HttpSettings(
            host="127.0.0.1",
            port=0,
            verifier=TokenVerifier(tokens),
            calls_per_minute=1_000_000,
        )
        await serve_on_http([hosted], settings)


@asynccontextmanager
async def _running(code: str, *arguments: str) -> AsyncGenerator[str]:
    """A program of this module, with the URL it says it listens at."""
    command = [sys.executable, "-c", f"from tests.bench.http_calls import *; {code}", *arguments]
    async with await anyio.open_process(command, stdin=subprocess.DEVNULL) as process:
        try:
            yield await _read_url(process)
        finally:
            process.kill()


async def _read_url(process: Process) -> str:
    assert process.stderr is not None
    with anyio.fail_after(30):
        line = await BufferedByteReceiveStream(process.stderr).receive_until(b"\n", 4_096)
    return line.decode().split()[-1]


@asynccontextmanager
async def _connected(url: str, token: str, era: Era) -> AsyncGenerator[Client]:
    """A client with a token, which the bare server does not look at."""
    headers = {"authorization": f"Bearer {token}"}
    async with (
        httpx2.AsyncClient(headers=headers, timeout=60) as http,
        Client(streamable_http_client(url, http_client=http), mode=_MODES[era]) as client,
    ):
        yield client


async def measure(*, rounds: int, calls: int, appends: int) -> list[Row]:
    """Interleaved: in each round a call of the bare server's echo, then one of ours."""
    with tempfile.TemporaryDirectory() as home:
        tokens_file = str(Path(home, "tokens.json"))
        _, token = TokenFile(Path(tokens_file)).create("bench", "ada", {_SCOPE})
        ours_code = "anyio.run(serve_ours, sys.argv[1])"
        async with (
            _running("serve_bare()") as bare,
            _running(ours_code, tokens_file) as ours,
        ):
            rows = [
                *await _compare_calls(bare, ours, token, "modern", rounds),
                *await _compare_calls(bare, ours, token, "older", rounds),
                *await _compare_crowds(bare, ours, token, calls),
            ]
    name = "all servers in one process, resident"
    return [*rows, Row(name, await weigh(appends), "MB", limit=MAX_MEGABYTES)]


async def _compare_calls(bare: str, ours: str, token: str, era: Era, rounds: int) -> list[Row]:
    floors: list[float] = []
    times: list[float] = []
    async with _connected(bare, token, era) as floor, _connected(ours, token, era) as client:
        for _ in range(rounds):
            floors.append(await _time_call(floor))
            times.append(await _time_call(client))
    return [
        Row(f"bare SDK server's echo over HTTP, {era} era", median(floors) * 1e3, "ms"),
        Row("the same behind tokens", median(times) * 1e3, "ms"),
        Row("  against the bare server", median(times) / median(floors), "x", limit=MAX_RATIO),
    ]


async def _time_call(client: Client) -> float:
    began = time.perf_counter()
    result = await client.call_tool("echo", {"text": _TEXT})
    assert not result.is_error
    return time.perf_counter() - began


async def _compare_crowds(bare: str, ours: str, token: str, calls: int) -> list[Row]:
    """Blocks of calls by many clients at once, of one server and of the other in turn."""
    floors: list[float] = []
    times: list[float] = []
    errors: list[Exception] = []
    async with AsyncExitStack() as stack:
        crowds = [
            [
                await stack.enter_async_context(_connected(url, token, "modern"))
                for _ in range(CLIENTS)
            ]
            for url in (bare, ours)
        ]
        for _ in range(5):
            floors.append(await _time_crowd(crowds[0], calls, []))
            times.append(await _time_crowd(crowds[1], calls, errors))
    return [
        Row(f"{CLIENTS} clients at once, calls a second", CLIENTS * calls / median(times), "/s"),
        Row("  their time against the bare server", median(times) / median(floors), "x"),
        Row("  errors", len(errors), "", limit=0),
    ]


async def _time_crowd(crowd: list[Client], calls: int, errors: list[Exception]) -> float:
    async def work(client: Client) -> None:
        for _ in range(calls):
            try:
                await _time_call(client)
            except Exception as error:  # noqa: BLE001 - counted
                errors.append(error)

    began = time.perf_counter()
    async with anyio.create_task_group() as tasks:
        for client in crowd:
            tasks.start_soon(work, client)
    return time.perf_counter() - began


async def weigh(appends: int) -> float:
    """Megabytes resident of all servers in one process, after clients have worked with them."""
    with tempfile.TemporaryDirectory() as home:
        async with serving(Path(home), limit_seconds=600) as served, httpx2.AsyncClient() as http:

            async def work(number: int) -> None:
                token = served.create_token(f"client {number}", f"owner {number}")
                asker = Asker(http, served.urls["conversations"], "modern", token)
                message = {"role": "user", "content": "x" * 2_000}
                arguments = {"conversation_id": "c", "messages": [message] * 10}
                for _ in range(appends):
                    assert (await asker.call("append_messages", arguments)).error_code is None
                    loading = asker.call("load_conversation", {"conversation_id": "c"})
                    assert (await loading).error_code is None

            async with anyio.create_task_group() as tasks:
                for number in range(CLIENTS):
                    tasks.start_soon(work, number)
            status = Path(f"/proc/{served.process.pid}/status").read_text()
    resident = re.search(r"VmRSS:\s+(\d+) kB", status)
    assert resident is not None
    return int(resident[1]) / 1024


def run(*, quick: bool) -> list[Row]:
    """Rows of this part of the table."""
    if quick:
        return anyio.run(lambda: measure(rounds=100, calls=5, appends=3))
    return anyio.run(lambda: measure(rounds=1_000, calls=50, appends=50))
