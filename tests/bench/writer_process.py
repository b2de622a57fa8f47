"""A process that appends when it is told to: `store|sqlite|bare DIRECTORY WRITER`.

A line on its input names a conversation and how many messages go there, one an append; its answer
is the longest wait in seconds. It ends with its input.
"""

import fcntl
import os
import sqlite3
import sys
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, closing
from pathlib import Path

import anyio

from servers.conversations.contract import Message
from servers.conversations.file_store import open_file_store
from servers.conversations.store_errors import UnavailableError

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


@asynccontextmanager
async def open_sqlite(directory: Path) -> AsyncGenerator[Append]:
    """Appends to a table of messages: what a store on SQLite would do at least."""
    connection = sqlite3.connect(
        directory / SQLITE_NAME, timeout=_BUSY_SECONDS, isolation_level=None
    )
    with closing(connection):
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute(
            "CREATE TABLE IF NOT EXISTS messages (number INTEGER PRIMARY KEY, conversation TEXT,"
            " message_id TEXT, body TEXT, UNIQUE (conversation, message_id))"
        )

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


_OPENERS = {"store": open_store, "sqlite": open_sqlite, "bare": open_bare}


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
