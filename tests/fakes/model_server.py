"""What the fakes of all vendors share: a script of replies, recorded requests, how replies go."""

import json
from collections.abc import AsyncGenerator, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any, Protocol, assert_never

import anyio

from tests.fakes.replies import Chunks, Cut, Fail, FailMidStream, FakeReply, Hang, Raw, Say
from tests.fakes.streaming_http import HttpReply, HttpRequest, open_http_server

_PULSE_SECONDS = 0.01


class WireFormat(Protocol):
    """How one vendor writes requests, streams and errors."""

    path: str
    content_type: str
    """Of streams."""

    def refuse(self, request: HttpRequest) -> Fail | None:
        """What the vendor's own checks would say against this request."""
        ...

    def begin(self, text: str) -> list[bytes]:
        """The events that begin an answer and stream `text`."""
        ...

    def say(self, reply: Say) -> list[bytes]:
        """All events of a proper answer."""
        ...

    def event(self, data: object) -> bytes:
        """One event with this data."""
        ...

    def fail(self, code: str, message: str) -> dict[str, Any]:
        """The JSON of an error."""
        ...

    def fail_headers(self, code: str) -> Mapping[str, str]:
        """What stands in the headers of an error."""
        ...


class FakeModelServer:
    """Answers each request with the next reply of its script.

    `requests` holds the bodies, `http_requests` all of it, in order. A request that the vendor
    would refuse gets the vendor's error and takes no reply; the reason also stands in `refusals`.
    `departed` is set when a client left a reply that hung.
    """

    def __init__(self, base_url: str, wire: WireFormat, replies: Iterable[FakeReply]) -> None:
        self.base_url = base_url
        self.requests: list[dict[str, Any]] = []
        self.http_requests: list[HttpRequest] = []
        self.refusals: list[str] = []
        self.departed = anyio.Event()
        self._wire = wire
        self._replies = list(replies)

    def add(self, *replies: FakeReply) -> None:
        self._replies.extend(replies)

    async def handle(self, request: HttpRequest, http: HttpReply) -> None:
        self.http_requests.append(request)
        refusal = self._check(request)
        if refusal is None:
            self.requests.append(request.json())
            refusal = None if self._replies else Fail(400, "fake", "the fake has no reply left")
        if refusal is not None:
            self.refusals.append(refusal.message)
        await self._send(refusal or self._replies.pop(0), http)

    def _check(self, request: HttpRequest) -> Fail | None:
        if (request.method, request.path) != ("POST", self._wire.path):
            return Fail(404, "not_found_error", f"no such path: {request.path}")
        return self._wire.refuse(request)

    async def _send(self, reply: FakeReply, http: HttpReply) -> None:
        match reply:
            case Fail(status, code, message, headers):
                headers = {**self._wire.fail_headers(code), **headers}
                await self._send_error(http, status, self._wire.fail(code, message), headers)
            case Raw(body, status, content_type, headers):
                await http.send_whole(status, body, {"Content-Type": content_type, **headers})
            case Say():
                await self._stream(http, self._wire.say(reply))
                await http.end()
            case Chunks(events, stays_open):
                await self._stream(http, [self._wire.event(event) for event in events])
                if stays_open:
                    await self._hang(http, b"")
                await http.end()
            case FailMidStream(text, code, message):
                error = self._wire.event(self._wire.fail(code, message))
                await self._stream(http, [*self._wire.begin(text), error])
                await http.end()
            case Cut(text):
                await self._stream(http, self._wire.begin(text) if text else [])
                await http.cut()
            case Hang(text, pulse):
                try:
                    await self._stream(http, self._wire.begin(text) if text else [])
                    await self._hang(http, pulse)
                finally:
                    self.departed.set()
            case _:
                assert_never(reply)

    async def _send_error(
        self, http: HttpReply, status: int, body: dict[str, Any], headers: Mapping[str, str]
    ) -> None:
        content = json.dumps(body).encode()
        await http.send_whole(status, content, {"Content-Type": "application/json", **headers})

    async def _stream(self, http: HttpReply, events: list[bytes]) -> None:
        """In pieces that cut events and characters anywhere, as networks do."""
        await http.begin(200, {"Content-Type": self._wire.content_type})
        for event in events:
            middle = len(event) // 2
            await http.send(event[:middle])
            await http.send(event[middle:])

    async def _hang(self, http: HttpReply, pulse: bytes) -> None:
        async def send_pulse() -> None:
            with suppress(anyio.BrokenResourceError, anyio.ClosedResourceError):
                while True:
                    await anyio.sleep(_PULSE_SECONDS)
                    await http.send(pulse)

        async with anyio.create_task_group() as tasks:
            if pulse:
                tasks.start_soon(send_pulse)
            await http.wait_for_departure()
            tasks.cancel_scope.cancel()


@asynccontextmanager
async def open_model_server(
    wire: WireFormat, replies: Iterable[FakeReply], path: str = ""
) -> AsyncGenerator[FakeModelServer]:
    """Serve these replies, one for each request; `path` ends the address."""
    server = FakeModelServer("", wire, replies)
    async with open_http_server(server.handle) as url:
        server.base_url = url + path
        yield server
