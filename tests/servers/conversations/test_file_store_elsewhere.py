"""The file store where calls that only Linux has are missing, as on macOS."""

import subprocess
import sys
from pathlib import Path

import anyio

LIMIT_SECONDS = 60
PROGRAM = """
import fcntl, os, sys
for name in ("fdatasync", "eventfd", "eventfd_read", "eventfd_write", "sched_getaffinity", "pipe2"):
    delattr(os, name) if hasattr(os, name) else None
from pathlib import Path
import anyio
from servers.conversations.contract import Message
from servers.conversations.file_store import open_file_store

async def main():
    async with open_file_store(Path(sys.argv[1])) as store:
        for text in ("one", "two"):
            await store.append_messages("ada", "talk", [Message(role="user", content=text)])
    async with open_file_store(Path(sys.argv[1])) as store:
        loaded = await store.load_conversation("ada", "talk")
        print([message.content for message in loaded.messages])

anyio.run(main)
"""


async def test_it_stores_and_reads(tmp_path: Path) -> None:
    with anyio.fail_after(LIMIT_SECONDS):
        ended = await anyio.run_process(
            [sys.executable, "-c", PROGRAM, str(tmp_path)], stderr=subprocess.STDOUT, check=False
        )
    assert ended.stdout.decode().strip() == "['one', 'two']"
