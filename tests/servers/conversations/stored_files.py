"""What the tests of damage need to know of where the embedded store keeps things."""

import json
import os
import struct
import time
import zlib
from pathlib import Path

from servers.conversations.file_directory import key_of
from servers.conversations.file_engine import FileEngine
from servers.conversations.file_sealed import SealedSegment
from servers.conversations.file_upkeep import Totals, reindex
from tests.servers.conversations.messages import ID, OWNER


def file_of(directory: Path, conversation_id: str = ID, owner: str = OWNER) -> Path:
    key = key_of(owner, conversation_id)
    return directory / "v1" / key[:2] / f"{key}.jsonl"


async def make_indexes_anew(engine: FileEngine) -> Totals:
    """`reindex`, for whoever does not want to know how far it is."""

    def tell(*_: object) -> None:
        pass

    return await reindex(engine, tell)


def index_files(directory: Path) -> list[Path]:
    return sorted(directory.glob("index.sqlite3*"))


def segments_of(directory: Path, conversation_id: str = ID, owner: str = OWNER) -> list[Path]:
    """The sealed segments of a conversation, oldest first."""
    active = file_of(directory, conversation_id, owner)
    found = active.parent.glob(f"{active.stem}.*.jsonl.zst")
    return sorted(found, key=lambda path: int(path.name.split(".")[2]))


def forget_name(segment: Path) -> None:
    """As programs of before wrote it: nothing but the sizes of its blocks is in its table."""
    data = segment.read_bytes()
    frames = SealedSegment.parse(data, 0, segment.name.partition(".")[0]).frames
    sizes = [[frame.size, frame.compressed] for frame in frames]
    table = json.dumps({"frames": sizes}).encode()
    end = table + struct.pack("<II8s", len(table), zlib.crc32(table), b"agsealed")
    skipped = struct.pack("<II", 0x184D2A5E, len(end)) + end
    segment.write_bytes(data[: frames[-1].place + frames[-1].compressed] + skipped)


def attachments_of(directory: Path, conversation_id: str = ID, owner: str = OWNER) -> Path:
    return file_of(directory, conversation_id, owner).with_suffix(".att")


def make_old(path: Path, days: float = 2) -> None:
    """As if it had been written to last so long ago."""
    then = time.time() - days * 86_400
    os.utime(path, (then, then), follow_symlinks=False)
