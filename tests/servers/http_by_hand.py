"""Clients of a server over HTTP that write their requests themselves."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress

import anyio
import httpx2
from anyio.abc import SocketStream

from tests.servers.http_serving import (
    LIMIT_SECONDS,
    Asker,
    Era,
    Serving,
)

SECRET = "mark-of-what-people-wrote"


@asynccontextmanager
async def asking(
    served: Serving, server: str = "tools", era: Era = "modern", *, name: str = "laptop"
) -> AsyncGenerator[Asker]:
    """A client with a token."""
    async with httpx2.AsyncClient(timeout=LIMIT_SECONDS) as http:
        asker = Asker(http, served.urls[server], era, served.create_token(name, "ada"))
        if era == "older":
            await asker.begin()
        yield asker


async def assert_serves(asker: Asker) -> None:
    answer = await asker.call("current_time")
    assert (answer.status, answer.error_code) == (200, None)


async def exchange(port: int, data: bytes) -> bytes:
    """Send this, and read till the server closes."""
    async with await anyio.connect_tcp("127.0.0.1", port) as stream:
        with suppress(anyio.BrokenResourceError):  # it need not read all
            await stream.send(data)
        return await read_to_the_end(stream)


async def read_to_the_end(stream: SocketStream) -> bytes:
    received = b""
    with suppress(anyio.EndOfStream, anyio.BrokenResourceError):
        while True:
            received += await stream.receive()
    return received


def head(method: str, path: str, port: int, **headers: str) -> bytes:
    lines = [f"{method} {path} HTTP/1.1", f"Host: 127.0.0.1:{port}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode()
