"""What the tests of damage need to know of where the embedded store keeps things."""

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
