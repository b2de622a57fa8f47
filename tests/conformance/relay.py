"""A relay on loopback that adds a token to each request: the suite has no way to send one."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import anyio
from anyio.abc import ByteReceiveStream, SocketAttribute, SocketStream
from anyio.streams.buffered import BufferedByteReceiveStream

_MAX_HEAD_BYTES = 64 * 1024
_GONE = (
    anyio.EndOfStream,
    anyio.IncompleteRead,
    anyio.BrokenResourceError,
    anyio.ClosedResourceError,
)


@dataclass(slots=True)
class Relay:
    """Passes on what comes to `origin`; only the `Authorization` header is new to the server."""

    origin: str
    port: int = 0
    token: str = ""

    def point_at(self, url: str, token: str) -> str:
        """Pass on to the server of `url`, with `token`; returns the URL to use instead."""
        authority, _, path = url.removeprefix("http://").partition("/")
        self.port = int(authority.rpartition(":")[2])
        self.token = token
        return f"{self.origin}/{path}"

    async def serve(self, client: SocketStream) -> None:
        async with (
            client,
            await anyio.connect_tcp("127.0.0.1", self.port) as server,
            anyio.create_task_group() as tasks,
        ):
            tasks.start_soon(_copy, server, client)
            await self._pass_on_requests(BufferedByteReceiveStream(client), server)
            tasks.cancel_scope.cancel()

    async def _pass_on_requests(
        self, client: BufferedByteReceiveStream, server: SocketStream
    ) -> None:
        try:
            while True:
                head = await client.receive_until(b"\r\n\r\n", _MAX_HEAD_BYTES)
                token = f"\r\nAuthorization: Bearer {self.token}\r\n\r\n".encode()
                length = _body_length(head)
                body = await client.receive_exactly(length) if length else b""
                await server.send(head + token + body)
        except _GONE:
            return


@asynccontextmanager
async def open_relay() -> AsyncGenerator[Relay]:
    """A relay at a free port, to be pointed at a server."""
    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listeners:
        port = listeners.listeners[0].extra(SocketAttribute.local_port)
        relay = Relay(f"http://127.0.0.1:{port}")
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(listeners.serve, relay.serve)
            yield relay
            tasks.cancel_scope.cancel()


async def _copy(source: ByteReceiveStream, target: SocketStream) -> None:
    try:
        async for chunk in source:
            await target.send(chunk)
        await target.aclose()
    except _GONE:
        return


def _body_length(head: bytes) -> int:
    for line in head.lower().split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name == b"transfer-encoding":
            raise NotImplementedError("the suite sends its bodies whole, so far")
        if name == b"content-length":
            return int(value)
    return 0
