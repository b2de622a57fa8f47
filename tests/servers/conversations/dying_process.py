"""A process that appends to a conversation and is killed before it writes the index: `DIRECTORY`.

It appends the message `last` to the conversation `shared`, which must be there.
"""

import os
import signal
import sys
from contextlib import closing
from pathlib import Path

import anyio

from servers.conversations.contract import Message
from servers.conversations.file_catalogue import CATALOGUE_LAYOUT
from servers.conversations.file_directory import INDEX_NAME, open_directory
from servers.conversations.file_engine import FileEngine
from servers.conversations.file_index import FileIndex
from servers.conversations.file_lag import LagSigns
from servers.conversations.file_locks import LockStripes
from servers.conversations.file_search import open_file_search
from servers.conversations.file_store import FileConversationStore
from servers.conversations.file_threads import JobThreads
from tests.servers.conversations.writing_process import OWNER, SHARED


def sync_and_die(fd: int) -> None:
    os.fdatasync(fd)
    os.kill(os.getpid(), signal.SIGKILL)


async def append(path: Path) -> None:
    with (
        open_directory(path) as directory,
        closing(LockStripes(directory)) as locks,
        closing(FileIndex(path / INDEX_NAME, locks, CATALOGUE_LAYOUT)) as index,
        closing(LagSigns(directory)) as signs,
        closing(JobThreads(1)) as threads,
    ):
        engine = FileEngine(directory, locks, index, signs, threads, sync_and_die)
        async with open_file_search(engine) as search:
            store = FileConversationStore(engine, search)
            message = Message(message_id="last", role="user", content="last")
            await store.append_messages(OWNER, SHARED, [message])


if __name__ == "__main__":
    anyio.run(append, Path(sys.argv[1]))
