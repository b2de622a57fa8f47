"""Plain files in a folder that is known by its descriptor; nothing else is opened there."""

import errno
import os
import stat
from collections.abc import Generator
from contextlib import contextmanager, suppress

_FILE = os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK


def names_in(folder_fd: int | None) -> list[str]:
    """All names in it; none where there is no folder."""
    if folder_fd is None:
        return []
    with os.scandir(folder_fd) as entries:
        return [entry.name for entry in entries]


def status_of(folder_fd: int | None, name: str) -> os.stat_result | None:
    """What it is, a link not followed; None if there is none."""
    try:
        return os.stat(name, dir_fd=folder_fd, follow_symlinks=False)
    except FileNotFoundError:
        return None


def unlink(folder_fd: int, name: str) -> None:
    """Remove it; none is no error."""
    with suppress(FileNotFoundError):
        os.unlink(name, dir_fd=folder_fd)


@contextmanager
def opened_file(folder_fd: int, name: str, flags: int = os.O_RDONLY) -> Generator[int]:
    """Its descriptor; a file that is made is 0600.

    Raises:
        OSError: It is no plain file, or can't be opened.
    """
    fd = os.open(name, flags | _FILE, 0o600, dir_fd=folder_fd)
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise OSError(errno.ENXIO, "not a plain file")
        yield fd
    finally:
        os.close(fd)


def read_beginning(folder_fd: int, name: str, length: int) -> bytes | None:
    """At most `length` bytes of it; None if there is none."""
    try:
        with opened_file(folder_fd, name) as fd:
            return read_range(fd, 0, length)
    except FileNotFoundError:
        return None


def read_range(fd: int, offset: int, length: int) -> bytes:
    """The bytes from `offset` on, less than `length` only at the end."""
    parts: list[bytes] = []
    while length > 0 and (part := os.pread(fd, length, offset)):
        parts.append(part)
        offset, length = offset + len(part), length - len(part)
    return b"".join(parts)
