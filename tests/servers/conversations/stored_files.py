"""What the tests of damage need to know of where the embedded store keeps things."""

import os
import time
from pathlib import Path

from servers.conversations.file_directory import key_of
from tests.servers.conversations.messages import ID, OWNER


def file_of(directory: Path, conversation_id: str = ID, owner: str = OWNER) -> Path:
    key = key_of(owner, conversation_id)
    return directory / "v1" / key[:2] / f"{key}.jsonl"


def index_files(directory: Path) -> list[Path]:
    return sorted(directory.glob("index.sqlite3*"))


def segments_of(directory: Path, conversation_id: str = ID, owner: str = OWNER) -> list[Path]:
    """The sealed segments of a conversation, oldest first."""
    active = file_of(directory, conversation_id, owner)
    found = active.parent.glob(f"{active.stem}.*.jsonl.zst")
    return sorted(found, key=lambda path: int(path.name.split(".")[2]))


def attachments_of(directory: Path, conversation_id: str = ID, owner: str = OWNER) -> Path:
    return file_of(directory, conversation_id, owner).with_suffix(".att")


def make_old(path: Path, days: float = 2) -> None:
    """As if it had been written to last so long ago."""
    then = time.time() - days * 86_400
    os.utime(path, (then, then), follow_symlinks=False)
