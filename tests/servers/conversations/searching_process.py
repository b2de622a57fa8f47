"""A process of its own that searches an embedded store: `DIRECTORY`. It says when it begins."""

import sys
from pathlib import Path

import anyio

from servers.conversations.file_store import open_file_store
from tests.servers.conversations.writing_process import OWNER


async def search(directory: Path) -> None:
    async with open_file_store(directory) as store:
        print("begins", flush=True)  # noqa: T201 # what the parent reads
        while (await store.search_conversations(OWNER, "apple")).truncated:
            pass


if __name__ == "__main__":
    anyio.run(search, Path(sys.argv[1]))
