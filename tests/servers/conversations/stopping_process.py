"""A process that forks `source` into `new`, or merges it into `target`: `DIRECTORY fork|merge`.

It prints what came of it.
"""

import sys
from pathlib import Path

import anyio

from servers.conversations.file_store import open_file_store
from servers.conversations.store_errors import ConflictError
from tests.servers.conversations.messages import OWNER


async def copy(directory: Path, verb: str) -> None:
    async with open_file_store(directory) as store:
        try:
            if verb == "fork":
                await store.fork_conversation(OWNER, "source", new_conversation_id="new")
            else:
                await store.merge_conversations(OWNER, ["source", "target"], "target")
        except ConflictError:
            print("conflict")  # noqa: T201 # what the parent reads
        else:
            print("copied")  # noqa: T201


if __name__ == "__main__":
    anyio.run(copy, Path(sys.argv[1]), sys.argv[2])
