"""Small JSON files for their owner only: one mapping each, replaced whole or not at all."""

import fcntl
import json
import logging
import os
import stat
import tempfile
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from pydantic import TypeAdapter, ValidationError

from agentic.config.findings import ConfigError, printable

_LOG = logging.getLogger(__name__)
_LOCK_TIMEOUT_SECONDS = 5.0
_Value = TypeVar("_Value")


def read_private(path: Path, kind: TypeAdapter[dict[str, _Value]]) -> dict[str, _Value]:
    """The mapping in a file, empty if there is none. A file open to others is closed to them.

    Raises:
        ConfigError: It can't be read, or holds something else.
    """
    shown = printable(str(path))
    try:
        with path.open("rb") as file:
            if stat.S_IMODE(os.fstat(file.fileno()).st_mode) & 0o077:
                _LOG.warning("%s was open to others: closing it to them", shown)
                os.fchmod(file.fileno(), 0o600)
            return kind.validate_json(file.read())
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise ConfigError(f"{shown}: can't be read: {error.strerror}") from None
    except ValidationError:
        raise ConfigError(f"{shown}: is damaged: delete it, and enter again what it held") from None


def update_private(
    path: Path,
    kind: TypeAdapter[dict[str, _Value]],
    change: Callable[[dict[str, _Value]], Mapping[str, _Value]],
) -> None:
    """Replace what a file holds by what `change` makes of it, also when two programs do at once.

    Raises:
        ConfigError: It can't be read or written, or is damaged.
    """
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with _lock_folder(path.parent):
            _replace(path, json.dumps(change(read_private(path, kind)), indent=2).encode())
    except OSError as error:
        shown = printable(str(path))
        raise ConfigError(f"{shown}: can't be written: {error.strerror or error}") from None


@contextmanager
def _lock_folder(folder: Path) -> Generator[None]:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fchmod(descriptor, 0o700)
        _wait_for_lock(descriptor)
        yield
        os.fsync(descriptor)  # else a power cut could take the new name away again
    finally:
        os.close(descriptor)


def _wait_for_lock(descriptor: int) -> None:
    deadline = time.monotonic() + _LOCK_TIMEOUT_SECONDS
    while True:
        try:
            return fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise TimeoutError("another program keeps it locked") from None
            time.sleep(0.01)


def _replace(path: Path, data: bytes) -> None:
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink()
        raise
