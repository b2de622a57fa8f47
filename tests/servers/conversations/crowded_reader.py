"""A process that asks a filled store while it may open few files: `DIRECTORY OWNER WORD`.

For each number of files that it may open beyond those of the opened store it prints how many
conversations are listed and how many are found by the word, `-` where that is refused or told to be
less than all; then the same when it may open as many as it likes.
"""

import resource
import sys
from pathlib import Path

import anyio

from servers.conversations.file_store import FileConversationStore, open_file_store
from servers.conversations.store_errors import UnavailableError

SPARE = range(12)


async def ask(store: FileConversationStore, owner: str, word: str) -> list[str]:
    answers: list[str] = []
    try:
        answers.append(f"{len((await store.list_conversations(owner)).conversations)}")
    except UnavailableError:
        answers.append("-")
    try:
        found = await store.search_conversations(owner, word, limit=100)
        answers.append("-" if found.truncated else f"{len(found.hits)}")
    except UnavailableError:
        answers.append("-")
    return answers


async def main(directory: Path, owner: str, word: str) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    for spare in SPARE:
        async with open_file_store(directory, sweeping=None) as store:
            opened = len(list(Path("/proc/self/fd").iterdir())) - 1
            resource.setrlimit(resource.RLIMIT_NOFILE, (opened + spare, hard))
            scarce = await ask(store, owner, word)
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            print(*scarce, *await ask(store, owner, word), flush=True)  # noqa: T201 # what the parent reads


if __name__ == "__main__":
    anyio.run(main, Path(sys.argv[1]), sys.argv[2], sys.argv[3])
