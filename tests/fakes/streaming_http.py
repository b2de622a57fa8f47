"""A small HTTP server on loopback whose every byte and break a test decides."""

import json
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import anyio
from anyio.abc import SocketAttribute, SocketStream
from anyio.streams.buffered import BufferedByteReceiveStream

_MAX_HEAD_BYTES = 65_536
_LEFT = (
    anyio.BrokenResourceError,
    anyio.ClosedResourceError,
    anyio.EndOfStream,
    anyio.IncompleteRead,
)
"""What a client that goes away makes of reading and writing."""


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """What a client sent. Header names are lower case."""

    method: str
    path: str
    headers: Mapping[str, str]
    content: bytes

    def json(self) -> Any:
        return json.loads(self.content)


class HttpReply:
    """One answer: begin, send pieces, then end or cut."""

    def __init__(self, socket: SocketStream) -> None:
        self._socket = socket

    async def begin(self, status: int, headers: Mapping[str, str]) -> None:
        lines = [f"HTTP/1.1 {status} Reply", "Transfer-Encoding: chunked", "Connection: close"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        await self._socket.send("\r\n".join([*lines, "", ""]).encode())

    async def send(self, data: bytes) -> None:
        await self._socket.send(f"{len(data):x}\r\n".encode() + data + b"\r\n")

    async def end(self) -> None:
        await self._socket.send(b"0\r\n\r\n")

    async def send_whole(self, status: int, body: bytes, headers: Mapping[str, str]) -> None:
        await self.begin(status, headers)
        if body:
            await self.send(body)
        await self.end()

    async def cut(self) -> None:
        """Close the connection without the end that was promised."""
        await self._socket.aclose()

    async def wait_for_departure(self) -> None:
        """Return when the client has closed its side."""
        try:
            while True:
                await self._socket.receive()
        except (anyio.EndOfStream, anyio.BrokenResourceError):
            return


Handler = Callable[[HttpRequest, HttpReply], Awaitable[None]]


@asynccontextmanager
async def open_http_server(handle: Handler) -> AsyncGenerator[str]:
    """Serve until the end of the context; gives `http://127.0.0.1:PORT`."""

    async def serve(socket: SocketStream) -> None:
        async with socket:
            try:
                await handle(await _read_request(socket), HttpReply(socket))
            except _LEFT:
                return  # the client left, which many tests are about

    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    async with listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, serve)
        port = listener.listeners[0].extra(SocketAttribute.local_port)
        yield f"http://127.0.0.1:{port}"
        tasks.cancel_scope.cancel()


async def _read_request(socket: SocketStream) -> HttpRequest:
    stream = BufferedByteReceiveStream(socket)
    head = (await stream.receive_until(b"\r\n\r\n", _MAX_HEAD_BYTES)).decode("latin-1")
    first, *lines = head.split("\r\n")
    method, path, _ = first.split(" ", 2)
    pairs = (line.partition(":") for line in lines)
    headers = {name.lower(): value.strip() for name, _, value in pairs}
    content = await stream.receive_exactly(int(headers.get("content-length", "0")))
    return HttpRequest(method, path, headers, content)
