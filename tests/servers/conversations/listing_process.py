"""A process of its own that lists what is in an embedded store: `DIRECTORY`. It says when."""

import sys
from pathlib import Path

import anyio

from servers.conversations.file_store import open_file_store
from tests.servers.conversations.writing_process import OWNER


async def list_all(directory: Path) -> None:
    async with open_file_store(directory) as store:
        print("begins", flush=True)  # noqa: T201 # what the parent reads
        await store.list_conversations(OWNER)


if __name__ == "__main__":
    anyio.run(list_all, Path(sys.argv[1]))
