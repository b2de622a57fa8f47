"""FORMAT: what a store's directory holds, and which programs may write to it.

1  conversations as one file each
2  their older lines may be sealed: a program of format 1 would take them for lost; and it would
   leave attachments behind
"""

import json
import os
import re
import secrets
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from servers.conversations.file_failures import naming
from servers.conversations.file_place import OpenedPlace
from servers.conversations.store_errors import UnavailableError

FORMAT_NAME = "agentic-conversations"
FORMAT_VERSION = 2
DATA_NAME = "v1"
"""The folder of the data; not renamed with each version, so that an upgrade moves nothing."""

_FORMAT_LINE = json.dumps({"format": FORMAT_NAME, "version": FORMAT_VERSION})
FORMAT_FILE = "FORMAT"
_UNFINISHED = re.compile(r"FORMAT\.[0-9a-f]{16}\.new")
_ABANDONED_SECONDS = 3_600
"""After so long nobody puts such a file in its place any more."""
_FILE = os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
_LOOK_SECONDS = 1.0
"""So often at most a running program looks whether anything was done to its directory."""


class FormatWatch:
    """Notices that a running program's directory was moved, or a newer program took it over."""

    def __init__(self, root: Path, root_fd: int, place: OpenedPlace) -> None:
        self._root = root
        self._root_fd = root_fd
        self._place = place
        self._seen: tuple[int, int] | None = None
        self._look_at = 0.0

    def check(self) -> None:
        """Look, now and then. What else is wrong with FORMAT is told at a start.

        Raises:
            UnavailableError: FORMAT is of a newer program, or the directory is not where it was.
        """
        now = time.monotonic()
        if now < self._look_at:
            return
        self._place.check()
        with suppress(FileNotFoundError):
            status = os.stat(FORMAT_FILE, dir_fd=self._root_fd, follow_symlinks=False)
            found = (status.st_ino, status.st_mtime_ns)
            if found != self._seen:
                _check_known(self._root, _parse_format(_read_format(self._root_fd) or b""))
                self._seen = found
        self._look_at = now + _LOOK_SECONDS


def find_format_damage(root_fd: int) -> str | None:
    """What is wrong with FORMAT that `repair_format` would mend, if anything."""
    present = os.listdir(root_fd)  # first: others may just be making the store
    text = _read_format(root_fd)
    if text is None:
        return "is missing" if DATA_NAME in present else None
    return "is damaged" if _parse_format(text) is None else None


def repair_format(root_fd: int) -> None:
    """Write FORMAT anew, for a directory of which it was made sure that it holds conversations."""
    _write_format(root_fd)


def check_format(root: Path, root_fd: int) -> None:
    """Write FORMAT into a new store, bring an older one to this version, refuse what is unknown.

    Raises:
        UnavailableError: It is damaged, or of a newer program; the text says what to do.
    """
    present = os.listdir(root_fd)  # first: others may just be making the store
    unfinished = list(filter(_UNFINISHED.fullmatch, present))
    _remove_abandoned(root_fd, unfinished)
    text = _read_format(root_fd)
    if text is None:
        if DATA_NAME in present:
            raise _damaged_format(root, "is missing")
        if len(present) == len(unfinished):
            with suppress(PermissionError):  # a volume that somebody else owns and lets us write
                os.fchmod(root_fd, 0o700)
        _write_format(root_fd)
        return
    version = _parse_format(text)
    if version is None:
        raise _damaged_format(root, "is damaged")
    _check_known(root, version)
    if version < FORMAT_VERSION:  # all that it wrote is read as it stands
        _write_format(root_fd)


def _check_known(root: Path, version: int | None) -> None:
    if version is not None and version > FORMAT_VERSION:
        raise UnavailableError(
            f"the conversation store {root} has format {version}, this program knows "
            f"{FORMAT_VERSION}: update agentic, and restart it where it runs"
        )


def _parse_format(text: bytes) -> int | None:
    """The version, None if this is no FORMAT of ours."""
    try:
        found = json.loads(text)
        name, version = found["format"], found["version"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    is_ours = name == FORMAT_NAME and type(version) is int and version >= 1
    return version if is_ours else None


def _damaged_format(root: Path, state: str) -> UnavailableError:
    return UnavailableError(
        f"the file {root / FORMAT_FILE} {state}, so it is unsure what this directory holds: "
        f"restore it from a back-up, or run `agentic conversations repair`, which looks"
    )


def _read_format(root_fd: int) -> bytes | None:
    try:
        with naming(FORMAT_FILE):
            fd = os.open(FORMAT_FILE, os.O_RDONLY | _FILE, dir_fd=root_fd)
            try:
                return os.read(fd, 4096)
            finally:
                os.close(fd)
    except FileNotFoundError:
        return None


def _write_format(root_fd: int) -> None:
    # Another process may do the same now, and one elsewhere may have the same number.
    new = f"{FORMAT_FILE}.{secrets.token_hex(8)}.new"
    fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _FILE, 0o600, dir_fd=root_fd)
    try:
        write_all(fd, f"{_FORMAT_LINE}\n".encode())
        os.fsync(fd)
        os.rename(new, FORMAT_FILE, src_dir_fd=root_fd, dst_dir_fd=root_fd)
    except BaseException:
        with suppress(OSError):
            os.unlink(new, dir_fd=root_fd)
        raise
    finally:
        os.close(fd)
    os.fsync(root_fd)


def _remove_abandoned(root_fd: int, names: Iterable[str]) -> None:
    """Remove what starts that were killed have left."""
    before = time.time() - _ABANDONED_SECONDS
    for name in names:
        with suppress(OSError):
            if os.stat(name, dir_fd=root_fd, follow_symlinks=False).st_mtime < before:
                os.unlink(name, dir_fd=root_fd)


def write_all(fd: int, data: bytes) -> None:
    """Write everything, however many writes it takes."""
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]
