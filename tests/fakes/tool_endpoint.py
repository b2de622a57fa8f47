"""A small HTTP server on loopback that plays a tool's endpoint, well or badly behaved."""

import json
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import anyio
import anyio.abc
from anyio.streams.buffered import BufferedByteReceiveStream

_MAX_HEAD_BYTES = 65_536


@dataclass(frozen=True, slots=True)
class Request:
    """What came in."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def params(self) -> Any:
        return self.json["params"]


@dataclass(frozen=True, slots=True)
class Connection:
    """Where the answer goes: a handler may write what it likes, and wait till the caller left."""

    stream: anyio.abc.ByteStream

    async def write(self, data: bytes) -> None:
        await self.stream.send(data)

    async def until_left(self) -> None:
        """Return when the caller closed the connection."""
        try:
            while True:
                await self.stream.receive()
        except (anyio.EndOfStream, anyio.BrokenResourceError):
            return


Handler = Callable[[Request, Connection], Awaitable[None]]


def render(
    body: bytes = b"",
    *,
    status: int = 200,
    content_type: str = "application/json",
    headers: Mapping[str, str] | None = None,
) -> bytes:
    """A whole HTTP response."""
    lines = [f"HTTP/1.1 {status} Whatever", f"Content-Length: {len(body)}"]
    lines += [f"Content-Type: {content_type}"] if content_type else []
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


def answer(data: bytes) -> Handler:
    """Writes these bytes, whatever was asked."""

    async def handle(_: Request, connection: Connection) -> None:
        await connection.write(data)

    return handle


def answer_json(value: object, *, status: int = 200, **headers: str) -> Handler:
    """Answers with a JSON body; `retry_after="5"` becomes the header `retry-after`."""
    named = {name.replace("_", "-"): text for name, text in headers.items()}
    return answer(render(json.dumps(value).encode(), status=status, headers=named))


def compute(result_of: Callable[[Request], object]) -> Handler:
    """Answers `{"result": …}` with what the function makes of the request."""

    async def handle(request: Request, connection: Connection) -> None:
        body = json.dumps({"result": result_of(request)}).encode()
        await connection.write(render(body))

    return handle


@dataclass(slots=True)
class Hanging:
    """Never answers. Tells when a call has come, and when its caller has left."""

    arrived: anyio.Event = field(default_factory=anyio.Event)
    left: anyio.Event = field(default_factory=anyio.Event)

    async def __call__(self, _: Request, connection: Connection) -> None:
        self.arrived.set()
        await connection.until_left()
        self.left.set()


@dataclass(slots=True)
class ToolEndpoint:
    """The running server. `handlers` are by path; `requests` are what came, in order."""

    url: str
    handlers: dict[str, Handler] = field(default_factory=dict[str, Handler])
    requests: list[Request] = field(default_factory=list[Request])

    def on(self, path: str, handler: Handler) -> str:
        """Let `handler` answer at `path`; returns the address."""
        self.handlers[path] = handler
        return f"{self.url}{path}"

    async def serve(self, stream: anyio.abc.SocketStream) -> None:
        """Answer one connection's requests until it ends."""
        async with stream:
            received = BufferedByteReceiveStream(stream)
            while True:
                try:
                    request = await _read_request(received)
                    self.requests.append(request)
                    path = request.target.partition("?")[0]
                    handler = self.handlers.get(path, answer(render(b"no such path", status=404)))
                    await handler(request, Connection(stream))
                except (anyio.IncompleteRead, anyio.BrokenResourceError, anyio.ClosedResourceError):
                    return


async def _read_request(received: BufferedByteReceiveStream) -> Request:
    head = (await received.receive_until(b"\r\n\r\n", _MAX_HEAD_BYTES)).decode("latin-1")
    first, *lines = head.split("\r\n")
    method, target, _ = first.split(" ")
    headers = {
        name.lower(): value for name, value in (line.split(": ", maxsplit=1) for line in lines)
    }
    body = await received.receive_exactly(int(headers.get("content-length", "0")))
    return Request(method, target, headers, body)


@asynccontextmanager
async def serve_tool_endpoint() -> AsyncGenerator[ToolEndpoint]:
    """A running endpoint on a free port of loopback."""
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    port = listener.extra(anyio.abc.SocketAttribute.local_port)
    endpoint = ToolEndpoint(f"http://127.0.0.1:{port}")
    async with listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, endpoint.serve)
        try:
            yield endpoint
        finally:
            tasks.cancel_scope.cancel()
