"""A process that may open few files: `DIRECTORY COUNT SPARE`, SPARE more than an opened store.

It appends to COUNT conversations and prints each one's id when it was acknowledged. At the first
failure it prints `failed` with the reason, raises its limit and tries that one again.
"""

import resource
import sys
from pathlib import Path

import anyio

from servers.conversations.contract import Message
from servers.conversations.file_store import open_file_store
from servers.conversations.store_errors import UnavailableError
from tests.servers.conversations.writing_process import OWNER


async def write(directory: Path, count: int, spare: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    async with open_file_store(directory) as store:
        opened = len(list(Path("/proc/self/fd").iterdir()))
        resource.setrlimit(resource.RLIMIT_NOFILE, (opened + spare, hard))
        for number in range(count):
            name = f"c{number}"
            message = Message(message_id=name, role="user", content="hello")
            try:
                await store.append_messages(OWNER, name, [message])
            except UnavailableError as error:
                print(f"failed {error}", flush=True)  # noqa: T201 # what the parent reads
                resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
                await store.append_messages(OWNER, name, [message])
            print(name, flush=True)  # noqa: T201 # what the parent reads


if __name__ == "__main__":
    anyio.run(write, Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
