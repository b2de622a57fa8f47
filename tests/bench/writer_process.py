"""A process that appends when told to: `store|sqlite|bare|floor|served DIRECTORY WRITER`.

A line on its input names a conversation and how many messages go there, one an append; its answer
is the longest wait in seconds. It ends with its input.
"""

import fcntl
import os
import sqlite3
import sys
import time
import zlib
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, closing
from pathlib import Path

import anyio
from pydantic_core import from_json

from servers.conversations.contract import Message
from servers.conversations.file_store import open_file_store
from servers.conversations.file_threads import open_job_threads
from servers.conversations.store_errors import UnavailableError
from tests.bench.writer_service import connected

OWNER = "bench"
SQLITE_NAME = "messages.sqlite3"
TEXT = "x" * 500
_BUSY_SECONDS = 30

Append = Callable[[str, str], Awaitable[None]]
"""Takes the conversation and the message's id."""


@asynccontextmanager
async def open_store(directory: Path) -> AsyncGenerator[Append]:
    """Appends to the embedded store, with its default durability."""
    async with open_file_store(directory) as store:

        async def append(conversation_id: str, message_id: str) -> None:
            message = Message(message_id=message_id, role="user", content=TEXT)
            while True:
                try:
                    await store.append_messages(OWNER, conversation_id, [message])
                except UnavailableError as error:  # the disk stalled: it says when to try again
                    if error.retry_after_seconds is None:
                        raise
                    await anyio.sleep(error.retry_after_seconds)
                else:
                    break

        yield append


def create_sqlite(directory: Path) -> None:
    """The table that `open_sqlite` appends to: one process makes it WAL, before others come."""
    with closing(sqlite3.connect(directory / SQLITE_NAME)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute(
            "CREATE TABLE messages (number INTEGER PRIMARY KEY, conversation TEXT,"
            " message_id TEXT, body TEXT, UNIQUE (conversation, message_id))"
        )


@asynccontextmanager
async def open_sqlite(directory: Path) -> AsyncGenerator[Append]:
    """Appends to a table of messages: what a store on SQLite would do at least."""
    connection = sqlite3.connect(
        directory / SQLITE_NAME, timeout=_BUSY_SECONDS, isolation_level=None
    )
    with closing(connection):
        connection.execute("PRAGMA synchronous = FULL")

        async def append(conversation_id: str, message_id: str) -> None:
            message = Message(message_id=message_id, role="user", content=TEXT)
            connection.execute(
                "INSERT INTO messages (conversation, message_id, body) VALUES (?, ?, ?)",
                (conversation_id, message_id, message.model_dump_json(exclude_none=True)),
            )

        yield append


@asynccontextmanager
async def open_bare(directory: Path) -> AsyncGenerator[Append]:
    """The floor of whoever appends to files: a lock, a write and a sync."""
    opened: dict[str, int] = {}

    async def append(conversation_id: str, message_id: str) -> None:
        message = Message(message_id=message_id, role="user", content=TEXT)
        line = message.model_dump_json(exclude_none=True).encode() + b"\n"
        fd = opened.get(conversation_id)
        if fd is None:
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
            fd = opened[conversation_id] = os.open(directory / conversation_id, flags, 0o600)
        fcntl.flock(fd, fcntl.LOCK_EX)
        os.write(fd, line)
        os.fdatasync(fd)
        fcntl.flock(fd, fcntl.LOCK_UN)

    yield append
    for fd in opened.values():
        os.close(fd)


class _Log:
    """A file of checksummed lines that several append to, each id once."""

    def __init__(self, path: Path) -> None:
        self.fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        self._end = 0
        self._ids: set[str] = set()

    def append(self, message_id: str, body: bytes) -> None:
        fcntl.flock(self.fd, fcntl.LOCK_EX)
        try:
            size = os.fstat(self.fd).st_size
            for line in os.pread(self.fd, size - self._end, self._end).splitlines(keepends=True):
                assert line.startswith(b"%08x" % zlib.crc32(line[8:]))
                self._ids.add(from_json(line[8:])["message_id"])
            self._end = size
            if message_id not in self._ids:
                os.pwrite(self.fd, b"%08x" % zlib.crc32(body) + body, size)
        finally:
            fcntl.flock(self.fd, fcntl.LOCK_UN)
        os.fdatasync(self.fd)


@asynccontextmanager
async def open_floor(directory: Path) -> AsyncGenerator[Append]:
    """The floor of an asynchronous store: in a thread, each id once, synced without the lock."""
    logs: dict[str, _Log] = {}
    async with open_job_threads(1) as threads:

        async def append(conversation_id: str, message_id: str) -> None:
            message = Message(message_id=message_id, role="user", content=TEXT)
            body = message.model_dump_json(exclude_none=True).encode() + b"\n"
            if conversation_id not in logs:
                logs[conversation_id] = _Log(directory / conversation_id)
            await threads.run(lambda: logs[conversation_id].append(message_id, body))

        yield append
    for log in logs.values():
        os.close(log.fd)


@asynccontextmanager
async def open_served(directory: Path) -> AsyncGenerator[Append]:
    """The floor of whoever has another process write: no thread, and one sync for several."""
    async with connected(directory) as send:

        async def append(conversation_id: str, message_id: str) -> None:
            message = Message(message_id=message_id, role="user", content=TEXT)
            await send(conversation_id, message.model_dump_json(exclude_none=True).encode())

        yield append


_OPENERS = {
    "store": open_store,
    "sqlite": open_sqlite,
    "bare": open_bare,
    "floor": open_floor,
    "served": open_served,
}


async def write(kind: str, directory: Path, writer: str) -> None:
    """Do as told, line by line."""
    async with _OPENERS[kind](directory) as append:
        print("ready", flush=True)
        made = 0
        for line in sys.stdin:
            conversation_id, count = line.split()
            longest = 0.0
            for _ in range(int(count)):
                began = time.perf_counter()
                await append(conversation_id, f"{writer}-{made}")
                longest = max(longest, time.perf_counter() - began)
                made += 1
            print(longest, flush=True)


if __name__ == "__main__":
    anyio.run(write, sys.argv[1], Path(sys.argv[2]), sys.argv[3])
