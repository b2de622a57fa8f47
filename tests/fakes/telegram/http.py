"""A small HTTP/1.1 server on loopback that can break off in the middle, for fakes of web APIs."""

import json
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import anyio
import h11
from anyio.abc import ByteStream, SocketAttribute

MAX_BODY_BYTES = 52 * 1024 * 1024
"""What the real server lets through, a file of 50 MB, and its form."""


class ConnectionDropped(Exception):  # noqa: N818 - what the handler wants, not what went wrong
    """Raised by a handler: close the connection without an answer."""


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """One request, its body read whole."""

    method: str
    path: str
    query: dict[str, str]
    content_type: str
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    """By names in lower case."""
    is_too_large: bool = False
    """The body was longer than `MAX_BODY_BYTES`, and left out."""


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """A status and a JSON body (`json`), or any other body (`raw`)."""

    status: int
    json: Any = None
    raw: bytes | None = None
    content_type: str = "application/json"


Handler = Callable[[HttpRequest], Awaitable[HttpAnswer]]


@asynccontextmanager
async def open_http_server(
    handler: Handler, port: int = 0, host: str = "127.0.0.1"
) -> AsyncGenerator[str]:
    """Serve there; yields the base URL. Leaving drops every connection at once."""
    async with await anyio.create_tcp_listener(
        local_host=host, local_port=port, reuse_port=False
    ) as listener:
        bound = listener.extra(SocketAttribute.local_port)

        async def serve(stream: ByteStream) -> None:
            async with stream:
                with suppress(
                    ConnectionDropped,
                    anyio.BrokenResourceError,
                    anyio.EndOfStream,
                    anyio.ClosedResourceError,
                    h11.ProtocolError,
                ):
                    await _converse(stream, handler)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(listener.serve, serve)
            yield f"http://{host}:{bound}"
            tasks.cancel_scope.cancel()


async def _converse(stream: ByteStream, handler: Handler) -> None:
    connection = h11.Connection(h11.SERVER)
    while True:
        request = await _read_request(stream, connection)
        if request is None:
            return
        answer = await _watched(stream, connection, handler, request)
        body = answer.raw if answer.raw is not None else json.dumps(answer.json).encode()
        headers = [("content-type", answer.content_type), ("content-length", str(len(body)))]
        response = h11.Response(status_code=answer.status, headers=headers)
        await stream.send(
            connection.send(response)
            + connection.send(h11.Data(data=body))
            + connection.send(h11.EndOfMessage())
        )
        if connection.our_state is h11.MUST_CLOSE:
            return
        connection.start_next_cycle()


async def _read_request(stream: ByteStream, connection: h11.Connection) -> HttpRequest | None:
    head: h11.Request | None = None
    body = bytearray()
    is_too_large = False
    while True:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            try:
                connection.receive_data(await stream.receive())
            except anyio.EndOfStream:
                connection.receive_data(b"")
        elif isinstance(event, h11.Request):
            head = event
        elif isinstance(event, h11.Data):
            is_too_large |= len(body) + len(event.data) > MAX_BODY_BYTES
            if not is_too_large:
                body += event.data
        elif isinstance(event, h11.EndOfMessage) and head is not None:
            return _to_request(head, b"" if is_too_large else bytes(body), is_too_large)
        else:
            return None


async def _watched(
    stream: ByteStream, connection: h11.Connection, handler: Handler, request: HttpRequest
) -> HttpAnswer:
    """Answer, unless the client goes away first: then its request is given up."""
    answers: list[HttpAnswer] = []
    dropped = False

    async with anyio.create_task_group() as tasks:

        async def watch() -> None:
            nonlocal dropped
            try:
                connection.receive_data(await stream.receive())
            except (anyio.EndOfStream, anyio.BrokenResourceError):
                dropped = True
                tasks.cancel_scope.cancel()

        tasks.start_soon(watch)
        try:
            answers.append(await handler(request))
        except ConnectionDropped:
            dropped = True
        tasks.cancel_scope.cancel()
    if dropped or not answers:
        raise ConnectionDropped
    return answers[0]


def _to_request(head: h11.Request, body: bytes, is_too_large: bool) -> HttpRequest:
    target = urlsplit(head.target.decode("ascii"))
    headers = {name.decode("ascii"): value.decode("latin-1") for name, value in head.headers}
    return HttpRequest(
        method=head.method.decode("ascii"),
        path=target.path,
        query=dict(parse_qsl(target.query, keep_blank_values=True)),
        content_type=headers.get("content-type", "").split(";")[0].strip().lower(),
        body=body,
        headers=headers,
        is_too_large=is_too_large,
    )
