"""A process of its own that forks, merges and imports until it is killed: `DIRECTORY NAME`.

There is a conversation `source` and one `target`; it merges the former into the latter, and forks,
merges and imports into new ones, whose names begin with `NAME`. It prints each round's number when
all of it was acknowledged.
"""

import sys
from pathlib import Path

import anyio

from servers.conversations.contract import Message
from servers.conversations.contract_documents import DOCUMENT_FORMAT, ConversationDocument
from servers.conversations.file_sealing import Sealing
from servers.conversations.file_store import open_file_store

OWNER = "ada"
PAGES, PAGE_MESSAGES = 3, 40
SEALING = Sealing(after_bytes=32 * 1024)


def page(number: int) -> ConversationDocument:
    return ConversationDocument.model_validate(
        {
            "format": DOCUMENT_FORMAT,
            "conversation": {"title": "imported"},
            "messages": [
                Message(message_id=f"i{number}-{n}", role="user", content="x" * 500)
                for n in range(PAGE_MESSAGES)
            ],
        }
    )


async def copy(directory: Path, name: str) -> None:
    async with open_file_store(directory, sealing=SEALING) as store:
        for round_ in range(1_000):
            new = f"{name}-{round_}"
            await store.fork_conversation(OWNER, "source", new_conversation_id=f"{new}-fork")
            sources = ["source", f"{new}-fork"]
            await store.merge_conversations(OWNER, sources, f"{new}-merge")
            await store.merge_conversations(OWNER, ["target", "source"], "target")
            for number in range(PAGES):
                await store.import_conversation(
                    OWNER, page(number), conversation_id=f"{new}-import"
                )
            print(round_, flush=True)  # noqa: T201 # what the parent reads


if __name__ == "__main__":
    anyio.run(copy, Path(sys.argv[1]), sys.argv[2])
