"""One process that writes for all others, as little as it can do: `DIRECTORY`.

Whoever wants something written sends it as a line over a socket. All that has come is written at
once, each id once, and synced before anybody is told. It ends with its last client.
"""

import asyncio
import os
import select
import socket
import sys
import zlib
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, closing
from pathlib import Path

from pydantic_core import from_json

_SOCKET_NAME = "socket"
_JOURNAL_NAME = "journal"
_WAIT_SECONDS = 60
_READ_BYTES = 65_536


class _Journal:
    """A file of checksummed lines."""

    def __init__(self, path: Path) -> None:
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        self._end = 0
        self._ids: set[tuple[bytes, str]] = set()

    def append(self, lines: list[bytes]) -> None:
        new: list[bytes] = []
        for line in lines:
            conversation, _, body = line.partition(b" ")
            key = (conversation, from_json(body)["message_id"])
            if key not in self._ids:
                self._ids.add(key)
                new.append(b"%08x %s\n" % (zlib.crc32(line), line))
        data = b"".join(new)
        os.pwrite(self._fd, data, self._end)
        self._end += len(data)
        os.fdatasync(self._fd)


def serve(directory: Path) -> None:
    """Until nobody is connected any more."""
    journal = _Journal(directory / _JOURNAL_NAME)
    clients: dict[int, socket.socket] = {}
    rests: dict[int, bytes] = {}
    with socket.socket(socket.AF_UNIX) as listening, closing(select.epoll()) as polled:
        listening.bind(str(directory / _SOCKET_NAME))
        listening.listen(64)
        polled.register(listening, select.EPOLLIN)
        print("ready", flush=True)
        while ready := polled.poll(_WAIT_SECONDS):
            lines: list[bytes] = []
            told: list[int] = []
            for fd, _ in ready:
                if fd == listening.fileno():
                    client, _ = listening.accept()
                    clients[client.fileno()], rests[client.fileno()] = client, b""
                    polled.register(client, select.EPOLLIN)
                elif data := clients[fd].recv(_READ_BYTES):
                    *whole, rests[fd] = (rests[fd] + data).split(b"\n")
                    lines += whole
                    told += [fd] * len(whole)
                else:
                    polled.unregister(fd)
                    clients.pop(fd).close()
                    if not clients:
                        return
            if lines:
                journal.append(lines)
            for fd in told:
                clients[fd].send(b"\n")


class _Answers(asyncio.Protocol):
    def __init__(self) -> None:
        self.answer: asyncio.Future[None] | None = None

    def data_received(self, data: bytes) -> None:
        assert self.answer is not None
        assert data == b"\n"
        self.answer.set_result(None)


@asynccontextmanager
async def connected(directory: Path) -> AsyncGenerator[Callable[[str, bytes], Awaitable[None]]]:
    """What is called with a conversation and a line's JSON returns when that is on disk."""
    loop = asyncio.get_running_loop()
    path = str(directory / _SOCKET_NAME)
    transport, answers = await loop.create_unix_connection(_Answers, path)

    async def append(conversation_id: str, body: bytes) -> None:
        answers.answer = loop.create_future()
        transport.write(b"%s %s\n" % (conversation_id.encode(), body))
        await answers.answer

    with closing(transport):
        yield append


if __name__ == "__main__":
    serve(Path(sys.argv[1]))
