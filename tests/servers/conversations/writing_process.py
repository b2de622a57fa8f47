"""A process of its own that writes to an embedded store: `DIRECTORY NAME COUNT [LIMIT_BYTES]`.

It appends COUNT batches of two messages to the shared conversation and to one of its own, and
prints each batch's number when it was acknowledged. Run again with the same name it repeats itself.
With LIMIT_BYTES no file may grow over that size: the failure is printed, then the limit is lifted.
"""

import resource
import sys
from pathlib import Path

import anyio

from servers.conversations.contract import Message
from servers.conversations.file_store import open_file_store
from servers.conversations.store_errors import UnavailableError

OWNER = "ada"
SHARED = "shared"


def batch(name: str, number: int) -> list[Message]:
    return [
        Message(message_id=f"{name}-{number}-{half}", role="user", content=f"{number}" * 50)
        for half in ("a", "b")
    ]


async def write(directory: Path, name: str, count: int) -> None:
    async with open_file_store(directory) as store:
        for number in range(count):
            for conversation_id in (SHARED, name):
                try:
                    await store.append_messages(OWNER, conversation_id, batch(name, number))
                except UnavailableError as error:
                    print(f"failed {error}", flush=True)  # noqa: T201 # what the parent reads
                    lift_limit()
                    await store.append_messages(OWNER, conversation_id, batch(name, number))
            print(number, flush=True)  # noqa: T201 # what the parent reads


def lift_limit() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))


def main() -> None:
    directory, name, count, *limit = sys.argv[1:]
    if limit:
        _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(limit[0]), hard))
    anyio.run(write, Path(directory), name, int(count))


if __name__ == "__main__":
    main()
