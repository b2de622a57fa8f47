"""Where weights lie: their files in a directory, what state they are in, and taking them away."""

import fcntl
import hashlib
import os
import shutil
import stat
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from anyio import to_thread
from pydantic import BaseModel, ValidationError

from agentic.config.private_files import explain_refusal
from client.weights.catalogue import Weights
from client.weights.errors import BusyError, DamagedError, WeightsError

_HASH_BYTES = 16_777_216


@dataclass(frozen=True, slots=True)
class Files:
    """The paths that belong to some weights."""

    weights: Weights
    directory: Path

    @property
    def ready(self) -> Path:
        """The whole file, once it was verified."""
        return self._path(".gguf")

    @property
    def verified(self) -> Path:
        """Says which file was verified, so that no start reads a gigabyte to know."""
        return self._path(".verified.json")

    @property
    def partial(self) -> Path:
        """What has come so far, at its place in the file."""
        return self._path(".partial")

    @property
    def arrived(self) -> Path:
        """Says what of the partial file has come."""
        return self._path(".partial.json")

    @property
    def work(self) -> Path:
        """A folder for the wheels on their way."""
        return self._path(".wheels")

    @property
    def lock(self) -> Path:
        """Held while they are fetched or removed. It stays: a removed one could be locked twice."""
        return self._path(".lock")

    def _path(self, ending: str) -> Path:
        return self.directory / f"{self.weights.name}{ending}"


@dataclass(frozen=True, slots=True)
class State:
    """What there is of some weights.

    `unchecked`: as long as it should be, but not yet verified as it is now; `damaged`: known
    without reading it to be another, and `fault` says how. `is_in_the_way`: it is none of our
    files, and whoever put it there has to move it away.
    """

    kind: Literal["absent", "partial", "ready", "unchecked", "damaged"]
    done_bytes: int
    path: Path
    fault: str = ""
    is_in_the_way: bool = False


class Arrived(BaseModel):
    """How much has come of each part of a partial file, from its begin."""

    sha256: str
    done: list[int]


class _Verified(BaseModel):
    sha256: str
    size: int
    mtime_ns: int


def to_readings(directory: Path) -> Path:
    """The folder beside the weights for what engines have read. It may go at any time."""
    return directory / "readings"


def read_state(files: Files) -> State:
    """What is there, without reading the weights themselves."""
    weights = files.weights
    try:
        facts = files.ready.stat()
    except OSError:
        done = sum(read_arrived(files))
        return State("partial" if done else "absent", done, files.ready)
    if not stat.S_ISREG(facts.st_mode):
        return State("damaged", 0, files.ready, "it is no file", is_in_the_way=True)
    if facts.st_size != weights.size_bytes:
        fault = f"it has {facts.st_size:,} bytes, not {weights.size_bytes:,}"
        return State("damaged", facts.st_size, files.ready, fault)
    try:
        verified = _Verified.model_validate_json(files.verified.read_bytes())
    except (OSError, ValidationError):
        verified = None
    now = _Verified(sha256=weights.sha256, size=facts.st_size, mtime_ns=facts.st_mtime_ns)
    return State("ready" if verified == now else "unchecked", facts.st_size, files.ready)


def read_arrived(files: Files) -> list[int]:
    """How much of each part of the partial file has come; nothing if that can't be known."""
    try:
        arrived = Arrived.model_validate_json(files.arrived.read_bytes())
        partial_bytes = files.partial.stat().st_size
    except (OSError, ValidationError):
        return []
    weights, sizes = files.weights, files.weights.part_sizes
    fits = (
        arrived.sha256 == weights.sha256
        and partial_bytes == weights.size_bytes
        and len(arrived.done) == len(sizes)
        and all(0 <= done <= size for done, size in zip(arrived.done, sizes, strict=True))
    )
    return arrived.done if fits else []


def remove_weights(files: Files) -> int:
    """Take away all there is of them; how many bytes of them there were.

    Raises:
        BusyError: A program is getting them.
        WeightsError: The system refuses it, or something else is in the place of the file.
    """
    state = read_state(files)
    if state.is_in_the_way:
        raise to_damaged_error(files.weights, state)
    if not files.directory.is_dir():
        return 0
    try:
        with lock_weights(files):
            _remove(files)
    except OSError as error:
        place = Path(error.filename or files.directory)
        raise WeightsError(
            f"{place}: {explain_refusal(place, error)}. Correct that, then try "
            f"`agentic models remove {files.weights.name}` again."
        ) from error
    return state.done_bytes


def _remove(files: Files) -> None:
    for path in (files.verified, files.ready):
        path.unlink(missing_ok=True)
    drop_partial(files)
    shutil.rmtree(files.work, ignore_errors=True)
    shutil.rmtree(to_readings(files.directory), ignore_errors=True)


@contextmanager
def lock_weights(files: Files) -> Generator[None]:
    """Nobody else changes these files meanwhile.

    Raises:
        BusyError: Somebody does already; says how far a pull has come.
    """
    descriptor = os.open(files.lock, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        _take(descriptor, files)
        yield
    finally:
        os.close(descriptor)


def _take(descriptor: int, files: Files) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        done = read_state(files).done_bytes
        percent = 100 * done // files.weights.size_bytes
        raise BusyError(
            f"Another program is getting {files.weights.name} ({percent}% is there): "
            "wait until it is done."
        ) from None


async def verify(path: Path, weights: Weights, on_read: Callable[[int], None]) -> None:
    """Read a whole file and compare its hash; `on_read` is told how many bytes were read.

    Raises:
        DamagedError: It is another.
    """
    found = hashlib.sha256()
    read_bytes = 0
    with await to_thread.run_sync(path.open, "rb") as file:
        while chunk := await to_thread.run_sync(file.read, _HASH_BYTES):
            await to_thread.run_sync(found.update, chunk)
            read_bytes += len(chunk)
            on_read(read_bytes)
    if found.hexdigest() != weights.sha256:
        fault = f"its SHA-256 is {found.hexdigest()}, not {weights.sha256}"
        raise _to_damaged_error(path, weights, fault)


def to_damaged_error(weights: Weights, state: State) -> DamagedError:
    """What to tell of a file that is another than it should be."""
    if state.is_in_the_way:
        return DamagedError(f"{state.path} can't be used, {state.fault}: move it away.")
    return _to_damaged_error(state.path, weights, state.fault)


def _to_damaged_error(path: Path, weights: Weights, fault: str) -> DamagedError:
    return DamagedError(
        f"{path} is not {weights.name} as it should be ({fault}) and can't be used: get it again "
        f"with `agentic models pull {weights.name}`."
    )


def keep_partial(files: Files) -> None:
    """Make what came, whole and verified, the file to use."""
    files.partial.replace(files.ready)
    mark_verified(files)
    files.arrived.unlink(missing_ok=True)


def drop_partial(files: Files) -> None:
    """Take away what came."""
    files.arrived.unlink(missing_ok=True)
    files.partial.unlink(missing_ok=True)


def mark_verified(files: Files) -> None:
    """Remember that the whole file, as it is now, was verified. Where it can't be, it is again."""
    facts = files.ready.stat()
    mark = _Verified(sha256=files.weights.sha256, size=facts.st_size, mtime_ns=facts.st_mtime_ns)
    with suppress(OSError):  # a full disk, a read-only one
        files.verified.write_text(mark.model_dump_json(), encoding="ascii")
