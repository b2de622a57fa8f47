"""A web server on loopback that gives files by ranges, and fails as it is told to."""

import math
import re
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

import anyio
from anyio.abc import SocketAttribute, SocketStream

_RANGE = re.compile(r"bytes=(\d+)-(\d+)")


@dataclass
class FileServer:
    """What it gives, how it fails, and what it was asked for."""

    port: int
    files: dict[str, bytes] = field(default_factory=dict[str, bytes])
    redirects: dict[str, str] = field(default_factory=dict[str, str])
    status: int | None = None
    """Answer this to everything."""
    ignores_ranges: bool = False
    headers: dict[str, str] = field(default_factory=dict[str, str])
    """Sent with every file."""
    hangs: bool = False
    """Take the connection and say nothing."""
    left_bytes: float = math.inf
    """After so many more, every line is cut."""
    cut_after: int | None = None
    """Cut each line after so many bytes."""
    gate: anyio.Event = field(default_factory=anyio.Event)
    """Where `left_bytes` are used up, lines stay silent until this is set, and then are cut."""
    waits: bool = False
    """Whether it does."""
    used_up: anyio.Event = field(default_factory=anyio.Event)
    """Set when `left_bytes` are used up."""
    asked: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    """Paths and ranges."""
    sent_bytes: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def answer(self, stream: SocketStream) -> None:
        async with stream:
            with suppress(anyio.BrokenResourceError, anyio.ClosedResourceError, anyio.EndOfStream):
                await self._answer(stream)

    async def _answer(self, stream: SocketStream) -> None:
        head = await _read_head(stream)
        if self.hangs:
            await anyio.sleep_forever()
        path = head.split(" ", 2)[1]
        asked = re.search(r"(?im)^range: *(\S+)", head)
        self.asked.append((path, asked[1] if asked else ""))
        if path in self.redirects:
            await stream.send(_head(302, {"location": self.redirects[path], "content-length": "0"}))
            return
        data = self.files.get(path)
        if self.status is not None or data is None:
            await stream.send(_head(self.status or 404, {"content-length": "0"}))
            return
        found = _RANGE.fullmatch(asked[1]) if asked and not self.ignores_ranges else None
        kind = "text/html" if path.endswith("/") else "application/octet-stream"
        headers = {"content-type": kind, **self.headers}
        if found:
            first, last = int(found[1]), min(int(found[2]), len(data) - 1)
            headers["content-range"] = f"bytes {first}-{last}/{len(data)}"
            data = data[first : last + 1]
        headers["content-length"] = str(len(data))
        await stream.send(_head(206 if found else 200, headers))
        await self._send(stream, data)

    async def _send(self, stream: SocketStream, data: bytes) -> None:
        until = len(data) if self.cut_after is None else min(self.cut_after, len(data))
        for start in range(0, until, 65_536):
            chunk = data[start : min(start + 65_536, until)]
            chunk = chunk[: int(min(self.left_bytes, len(chunk)))]
            self.left_bytes -= len(chunk)
            self.sent_bytes += len(chunk)
            await stream.send(chunk)
            if self.left_bytes <= 0:
                self.used_up.set()
                if self.waits:
                    await self.gate.wait()
                return


def _head(status: int, headers: dict[str, str]) -> bytes:
    lines = [f"HTTP/1.1 {status} X", "connection: close"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


async def _read_head(stream: SocketStream) -> str:
    head = b""
    while b"\r\n\r\n" not in head:
        head += await stream.receive()
    return head.decode()


@asynccontextmanager
async def open_file_server() -> AsyncGenerator[FileServer]:
    """It serves until the end."""
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    server = FileServer(listener.extra(SocketAttribute.local_port))
    async with listener, anyio.create_task_group() as group:
        group.start_soon(listener.serve, server.answer)
        yield server
        group.cancel_scope.cancel()
