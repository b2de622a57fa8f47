"""Small files for their owner only, most of them a JSON mapping; replaced whole or not at all."""

import fcntl
import logging
import os
import re
import stat
import tempfile
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import BinaryIO, TextIO, TypeVar

from pydantic import TypeAdapter, ValidationError

from agentic.config.findings import ConfigError, printable

_LOG = logging.getLogger(__name__)
_LOCK_TIMEOUT_SECONDS = 5.0
_MAX_BYTES = 10_000_000
_NO_FILE = "is a device or a pipe, should be a file"
_DAMAGED = "is damaged: delete it, and make anew what it held"
OUR_TOKEN = re.compile(r"agentic_[0-9a-f]{8}_[\w-]+", re.ASCII)
"""As `agentic token create` prints it."""
_Value = TypeVar("_Value")


def read_private(
    path: Path, kind: TypeAdapter[dict[str, _Value]], otherwise: str = _DAMAGED
) -> dict[str, _Value]:
    """The mapping in a file, empty if there is none. If open to others, it is closed to them.

    Raises:
        ConfigError: It can't be read, or is `otherwise`; what is no file of ours stays as it is.
    """
    shown = printable(str(path))
    with _opened(path) as file:
        if file is None:
            return {}
        try:
            found = kind.validate_json(_read_whole(file, shown))
        except ValidationError:
            raise ConfigError(f"{shown}: {otherwise}") from None
        if _is_open_to_others(file):
            _close_to_others(file.fileno(), shown)
        return found


def read_private_text(path: Path) -> str:
    """The one word of a file that holds a secret, empty if there is no file.

    If it is a token of ours and open to others, it is closed to them. Of other words nobody can
    tell whether they are secrets, so the mode of their file stays as it is.

    Raises:
        ConfigError: It can't be read, or holds what is no word of printable ASCII.
    """
    shown = printable(str(path))
    with _opened(path) as file:
        if file is None:
            return ""
        text = _read_whole(file, shown).decode("utf-8", "replace").strip()
        if not text.isascii() or not text.isprintable() or " " in text:
            raise ConfigError(f"{shown}: should hold one line of printable ASCII without spaces")
        if text and _is_open_to_others(file):
            if OUR_TOKEN.fullmatch(text):
                _close_to_others(file.fileno(), shown)
            else:
                _tell_open(shown)
        return text


def open_plain(path: Path) -> BinaryIO:
    """Open a file to read it; a pipe is not waited for.

    Raises:
        ConfigError: It is a device or a pipe.
        OSError: It can't be opened.
    """
    file = open(path, "rb", opener=_open_at_once)  # noqa: SIM115 - the caller closes it
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise ConfigError(f"{printable(str(path))}: {_NO_FILE}")
    return file


@contextmanager
def replaced_whole(path: Path, *, mode: int = 0o600) -> Generator[TextIO]:
    """A new file to write, which takes the place of `path` when the body has ended well.

    Raises:
        OSError: It can't be made or written; what was at `path` is as it was.
    """
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:50]}.")
    unfinished = Path(name)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            os.fchmod(descriptor, mode)
            yield file
            file.flush()
            os.fsync(descriptor)
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


def write_private_text(path: Path, text: str) -> None:
    """Put `text` into a file of its own.

    Raises:
        ConfigError: It can't be written, or would take the place of a device or a pipe.
    """
    try:
        if path.exists() and not path.is_file() and not path.is_dir():
            raise ConfigError(f"{printable(str(path))}: {_NO_FILE}")
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with replaced_whole(path) as file:
            file.write(text)
    except OSError as error:
        raise _unwritable(path, error) from None


def update_private(
    path: Path,
    kind: TypeAdapter[dict[str, _Value]],
    change: Callable[[dict[str, _Value]], Mapping[str, _Value]],
) -> None:
    """Replace what a file holds by what `change` makes of it, also when two programs do at once.

    The folder is closed to others.

    Raises:
        ConfigError: It can't be read or written, or is damaged.
    """
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with _lock_folder(path.parent, close=True):
            changed = dict(change(read_private(path, kind)))
            with replaced_whole(path) as file:
                file.write(kind.dump_json(changed, indent=2).decode())
    except OSError as error:
        raise _unwritable(path, error) from None


@contextmanager
def locked_place(path: Path) -> Generator[None]:
    """The folder of a file, made if it is not there, kept locked against other programs.

    Raises:
        ConfigError: It can't be made or locked.
    """
    with ExitStack() as stack:
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            stack.enter_context(_lock_folder(path.parent, close=False))
        except OSError as error:
            raise _unwritable(path, error) from None
        yield


def explain_refusal(path: Path, error: OSError) -> str:
    """The system's words; where they are about permissions, also whose the file or folder is."""
    reason = error.strerror or str(error)
    if not isinstance(error, PermissionError):
        return reason
    ours = os.geteuid()
    for holder, owner in _find_holders(path):
        if owner != ours:
            return (
                f"{reason}. {printable(str(holder))} belongs to user {owner}, and this program "
                f"runs as user {ours}: give it to that user (chown -R {ours})"
            )
    return reason


def _find_holders(path: Path) -> Generator[tuple[Path, int]]:
    """What is at a path, then the nearest folder above it that is there, each with its owner."""
    for holder in (path, *path.parents):
        with suppress(OSError):
            yield holder, holder.stat().st_uid
            if holder != path:
                return


@contextmanager
def _opened(path: Path) -> Generator[BinaryIO | None]:
    with ExitStack() as stack:
        try:
            yield stack.enter_context(open_plain(path))
        except FileNotFoundError:
            yield None
        except OSError as error:
            reason = explain_refusal(path, error)
            raise ConfigError(f"{printable(str(path))}: can't be read: {reason}") from None


def _open_at_once(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK)


def _read_whole(file: BinaryIO, shown: str) -> bytes:
    data = file.read(_MAX_BYTES + 1)
    if len(data) > _MAX_BYTES:
        raise ConfigError(f"{shown}: is larger than {_MAX_BYTES:,} bytes")
    return data


def _is_open_to_others(file: BinaryIO) -> bool:
    return bool(stat.S_IMODE(os.fstat(file.fileno()).st_mode) & 0o077)


@cache  # told once, however often it is read
def _tell_open(shown: str) -> None:
    _LOG.warning("%s holds a secret and is open to others: close it to them (chmod 600)", shown)


def _close_to_others(descriptor: int, shown: str) -> None:
    try:
        os.fchmod(descriptor, 0o600)
    except OSError as error:  # a secret that is mounted read-only
        _LOG.warning("%s is open to others, and stays so: %s", shown, error.strerror)
    else:
        _LOG.warning("%s was open to others: it is closed to them now", shown)


def _unwritable(path: Path, error: OSError) -> ConfigError:
    return ConfigError(f"{printable(str(path))}: can't be written: {explain_refusal(path, error)}")


@contextmanager
def _lock_folder(folder: Path, *, close: bool) -> Generator[None]:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        if close:
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
