"""A process that is asked too much for the files it may open: `DIRECTORY DURABILITY`.

For each number of files that it may open beyond those of an opened store, it prints that number,
what of a few calls one by one was refused before a flood of calls at once, how many calls of the
flood were refused, and what of such calls after it; `-` for nothing. What the flood left otherwise
than it was told, it prints as `lost` or `doubled`.
"""

import resource
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Literal, cast

import anyio

from servers.conversations.contract import Message
from servers.conversations.file_store import FileConversationStore, open_file_store
from servers.conversations.store_errors import UnavailableError
from tests.servers.conversations.writing_process import OWNER

SPARE = (*range(2, 20), 24, 32)
AT_ONCE = 48

Durability = Literal["always", "interval"]
Call = Callable[[], Awaitable[Any]]


def calls_of(store: FileConversationStore, name: str) -> dict[str, Call]:
    message = Message(message_id=name, role="user", content="apple")
    return {
        "append": lambda: store.append_messages(OWNER, name, [message]),
        "load": lambda: store.load_conversation(OWNER, name),
        "list": lambda: store.list_conversations(OWNER),
        "search": lambda: store.search_conversations(OWNER, "apple"),
        "attach": lambda: store.put_attachment(
            OWNER, name, b"core", name="c", mime_type="text/plain", attachment_id="c"
        ),
    }


async def find_refused(calls: dict[str, Call]) -> list[str]:
    refused: list[str] = []
    for name, call in calls.items():
        try:
            await call()
        except UnavailableError as error:
            is_told = "too many files are open: raise the limit" in str(error)
            if not is_told and error.retry_after_seconds is None:
                raise
            refused.append(name)
    return refused


async def flood(store: FileConversationStore) -> dict[str, list[str]]:
    """What was refused of each conversation's calls, all conversations at once."""
    refused: dict[str, list[str]] = {}

    async def ask(name: str) -> None:
        refused[name] = await find_refused(calls_of(store, name))

    async with anyio.create_task_group() as tasks:
        for number in range(AT_ONCE):
            tasks.start_soon(ask, f"flood{number}")
    return refused


async def try_with(directory: Path, durability: Durability, spare: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    async with open_file_store(directory, durability=durability, sweeping=None) as store:
        opened = len(list(Path("/proc/self/fd").iterdir())) - 1
        resource.setrlimit(resource.RLIMIT_NOFILE, (opened + spare, hard))
        before = await find_refused(calls_of(store, "before"))
        refused = await flood(store)
        after = await find_refused(calls_of(store, "before") | calls_of(store, "after"))
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        words = [f"{spare}", ",".join(before) or "-", f"{sum(map(len, refused.values()))}"]
        print(*words, ",".join(after) or "-", flush=True)  # noqa: T201 # what the parent reads
        for name, of_it in refused.items():
            messages = (await store.load_conversation(OWNER, name)).messages
            if len(messages) != ("append" not in of_it):
                what = "doubled" if messages else "lost"
                print(what, name, flush=True)  # noqa: T201 # what the parent reads


async def main(directory: Path, durability: Durability) -> None:
    for spare in SPARE:
        await try_with(directory / f"{spare}", durability, spare)


if __name__ == "__main__":
    anyio.run(main, Path(sys.argv[1]), cast("Durability", sys.argv[2]))
