"""A process that appends to a conversation and is killed before it writes the index: `DIRECTORY`.

It appends the message `last` to the conversation `shared`, which must be there.
"""

import os
import signal
import sys
from pathlib import Path

import anyio

from servers.conversations.contract import Message
from tests.servers.conversations.own_sync import open_store_with
from tests.servers.conversations.writing_process import OWNER, SHARED


def sync_and_die(fd: int) -> None:
    os.fdatasync(fd)
    os.kill(os.getpid(), signal.SIGKILL)


async def append(path: Path) -> None:
    async with open_store_with(sync_and_die, path) as store:
        message = Message(message_id="last", role="user", content="last")
        await store.append_messages(OWNER, SHARED, [message])


if __name__ == "__main__":
    anyio.run(append, Path(sys.argv[1]))
