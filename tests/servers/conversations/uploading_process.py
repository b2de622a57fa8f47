"""A process of its own that uploads to an embedded store: `DIRECTORY [LIMIT_BYTES]`.

It puts the chunks of one attachment and prints each one's number when it was acknowledged. With
LIMIT_BYTES no file may grow over that size: the failure is printed, then the limit is lifted.
"""

import resource
import sys
from pathlib import Path

import anyio

from servers.conversations.contract_results import PutAttachmentResult
from servers.conversations.file_store import open_file_store
from servers.conversations.store import ConversationStore
from servers.conversations.store_errors import UnavailableError
from tests.servers.conversations.messages import ID, OWNER
from tests.servers.conversations.writing_process import lift_limit

CHUNKS = 40
CHUNK_BYTES = 100_000
WHOLE = b"".join(bytes([number]) * CHUNK_BYTES for number in range(CHUNKS))


async def put_chunk(store: ConversationStore, number: int) -> PutAttachmentResult:
    start = number * CHUNK_BYTES
    return await store.put_attachment(
        OWNER,
        ID,
        WHOLE[start : start + CHUNK_BYTES],
        name="n",
        mime_type="a/b",
        attachment_id="a",
        offset=start,
        total_size=len(WHOLE),
    )


async def upload(directory: Path) -> None:
    async with open_file_store(directory) as store:
        for number in range(CHUNKS):
            try:
                await put_chunk(store, number)
            except UnavailableError as error:
                print(f"failed {error}", flush=True)  # noqa: T201 # what the parent reads
                lift_limit()
                await put_chunk(store, number)
            print(number, flush=True)  # noqa: T201 # what the parent reads


def main() -> None:
    directory, *limit = sys.argv[1:]
    if limit:
        _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(limit[0]), hard))
    anyio.run(upload, Path(directory))


if __name__ == "__main__":
    main()
