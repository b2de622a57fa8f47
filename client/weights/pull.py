"""Has weights ready: those that are there and verified, else fetched, verified and kept."""

import errno
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path

from anyio import to_thread

from client.weights.catalogue import Weights
from client.weights.errors import DamagedError, NoRoomError, WeightsError
from client.weights.fetch import fetch
from client.weights.partial import open_partial
from client.weights.progress import OnProgress, ProgressTeller
from client.weights.room import Room
from client.weights.store import (
    Files,
    drop_partial,
    keep_partial,
    lock_weights,
    mark_verified,
    read_state,
    to_damaged_error,
    verify,
)


async def ensure_weights(
    weights: Weights,
    directory: Path,
    on_progress: OnProgress,
    *,
    environment: Mapping[str, str],
    room: Room | None = None,
) -> Path:
    """The verified file, fetched if it isn't there. Cancelled or failed, the next call goes on.

    `environment` is for pip.

    Raises:
        DamagedError: The file is another than it should be; it is left as it is.
        WeightsError: They can't be had.
    """
    files = Files(weights, directory)
    state = await to_thread.run_sync(read_state, files)
    if state.kind == "ready":
        return files.ready
    if state.kind == "damaged":
        raise to_damaged_error(weights, state)
    if state.kind == "unchecked":
        with _explained(files):
            await _check(files, ProgressTeller(weights.size_bytes, on_progress))
        return files.ready
    return await pull_weights(weights, directory, on_progress, environment=environment, room=room)


async def pull_weights(
    weights: Weights,
    directory: Path,
    on_progress: OnProgress,
    *,
    environment: Mapping[str, str],
    room: Room | None = None,
) -> Path:
    """The same, but a damaged file is replaced.

    Raises:
        WeightsError: They can't be had.
    """
    files = Files(weights, directory)
    teller = ProgressTeller(weights.size_bytes, on_progress)
    with _explained(files):
        await to_thread.run_sync(_make, directory)
        with lock_weights(files):
            if not await _is_there(files, teller):
                async with open_partial(files) as partial:
                    if not partial.is_whole:
                        await fetch(files, partial, teller, room or Room(), environment)
                await _finish(files, teller)
    return files.ready


def _make(directory: Path) -> None:
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)


async def _is_there(files: Files, teller: ProgressTeller) -> bool:
    """Whether the verified file is there; a damaged one is taken away.

    Raises:
        DamagedError: What is there is no file.
    """
    state = await to_thread.run_sync(read_state, files)
    if state.is_in_the_way:
        raise to_damaged_error(files.weights, state)
    is_damaged = state.kind == "damaged"
    if state.kind == "unchecked":
        try:
            await _check(files, teller)
        except DamagedError:
            is_damaged = True
    if is_damaged:
        await to_thread.run_sync(files.ready.unlink)
        teller.tell(f"{files.ready} is damaged and comes anew.")
        return False
    return state.kind in ("ready", "unchecked")


async def _check(files: Files, teller: ProgressTeller) -> None:
    """Verify a file that is there, and remember that.

    Raises:
        DamagedError: It is another.
    """
    teller.begin("verifying")
    await verify(files.ready, files.weights, teller.tell_read)
    await to_thread.run_sync(mark_verified, files)


async def _finish(files: Files, teller: ProgressTeller) -> None:
    """Make the partial file the whole one, if it is right.

    Raises:
        DamagedError: It is not, and was taken away.
    """
    teller.begin("verifying")
    try:
        await verify(files.partial, files.weights, teller.tell_read)
    except DamagedError:
        await to_thread.run_sync(drop_partial, files)
        raise
    await to_thread.run_sync(keep_partial, files)


@contextmanager
def _explained(files: Files) -> Generator[None]:
    """What the system refuses, said with what to do.

    Raises:
        WeightsError: The system refused something.
    """
    try:
        yield
    except OSError as error:
        go_on = f"go on with `agentic models pull {files.weights.name}`"
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise NoRoomError(
                f"The disk of {files.directory} is full ({error.strerror}). What came so far is "
                f"kept: make room, then {go_on}."
            ) from error
        raise WeightsError(
            f"{error.filename or files.directory}: {error.strerror or error}. Correct that, or "
            f"name another place as `cache_directory` in mcp.yml; then {go_on}."
        ) from error
