"""Streams of `subscriptions/listen`: how they end when their token or their server does."""

import signal
import subprocess
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import httpx2
import pytest
from anyio.abc import Process
from anyio.streams.buffered import BufferedByteReceiveStream

from tests.servers.http_serving import LIMIT_SECONDS, Asker
from tests.servers.token_file import TokenFile

SERVE = """
import sys, anyio
from pathlib import Path
from anyio.lowlevel import checkpoint
from mcp.server import Server
from mcp.server.subscriptions import InMemorySubscriptionBus, ListenHandler
from servers.access.token_file import open_token_file
from servers.access.verifier import TokenVerifier
from servers.hosted import HostedServer
from servers.http_app import HttpSettings
from servers.http_transport import serve_on_http

server = Server("news", on_subscriptions_listen=ListenHandler(InMemorySubscriptionBus()))
hosted = HostedServer("news", server, frozenset({"tools:call"}), checkpoint)


async def main():
    async with open_token_file(Path(sys.argv[1])) as tokens:
        settings = HttpSettings(host="127.0.0.1", port=0, verifier=TokenVerifier(tokens))
        await serve_on_http([hosted], settings)


anyio.run(main)
"""
LISTEN = {"notifications": {"resourcesListChanged": True}}


@asynccontextmanager
async def listening(tokens_file: Path) -> AsyncGenerator[tuple[Process, httpx2.Response]]:
    """A server, and the stream of a client with the token `laptop`, acknowledged."""
    _, token = TokenFile(tokens_file).create("laptop", "ada", {"tools:call"})
    command = [sys.executable, "-c", SERVE, str(tokens_file)]
    with anyio.fail_after(LIMIT_SECONDS):
        async with (
            await anyio.open_process(command, stdin=subprocess.DEVNULL) as process,
            httpx2.AsyncClient(timeout=LIMIT_SECONDS) as http,
        ):
            try:
                assert process.stderr is not None
                lines = BufferedByteReceiveStream(process.stderr)
                url = (await lines.receive_until(b"\n", 4_096)).decode().split()[-1]
                asker = Asker(http, url, "modern", token)
                async with asker.open("subscriptions/listen", LISTEN) as response:
                    assert response.status_code == 200
                    yield process, response
            finally:
                if process.returncode is None:
                    process.kill()


async def read_to_the_end(response: httpx2.Response) -> str:
    return "".join([text async for text in response.aiter_text()])


@pytest.mark.slow
async def test_it_ends_when_its_token_is_revoked(tmp_path: Path) -> None:
    path = tmp_path / "tokens.json"
    async with listening(path) as (_, response):
        assert response.headers["connection"] == "close"  # or it would take a place for a minute
        TokenFile(path).revoke("laptop")
        with anyio.fail_after(10):  # less than the time to the next sign of life
            assert "acknowledged" in await read_to_the_end(response)


async def test_the_end_of_the_server_does_not_wait_for_it(tmp_path: Path) -> None:
    async with listening(tmp_path / "tokens.json") as (process, response):
        process.send_signal(signal.SIGTERM)
        with anyio.fail_after(4):  # less than it waits for calls
            await read_to_the_end(response)
            assert await process.wait() == 0
        assert process.stderr is not None
        log = b"".join([chunk async for chunk in process.stderr]).decode()
        assert "Traceback" not in log
        assert " ERROR " not in log
