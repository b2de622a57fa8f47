"""Files of a conversation that replace others: written beside them, then put in their place."""

import os
from collections.abc import Iterable
from contextlib import closing, suppress
from datetime import UTC, datetime

from servers.conversations.file_directory import ACTIVE, path_of
from servers.conversations.file_failures import naming
from servers.conversations.file_format import write_all
from servers.conversations.file_history import Place

UNFINISHED = ".new"
_THERE = os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW = _THERE | os.O_CREAT | os.O_EXCL


class NewFile:
    """A whole file, on disk, that is not yet in its place. Closed by whoever made it."""

    def __init__(
        self,
        place: Place,
        suffix: str,
        parts: Iterable[bytes],
        token: str = "",
        *,
        in_reserve: bool = False,
    ) -> None:
        """Write a file that will have this suffix.

        `token`: tells it from others that are written for the same place at the same time.
        `in_reserve`: a short one, on a full disk, in the room that is kept for deletions.

        Raises:
            OSError: It could not be written; nothing is left of it.
        """
        self._place = place
        self._path = path_of(place.key, suffix)
        self._suffix = suffix
        self._unfinished = f"{token and '.'}{token}{suffix}{UNFINISHED}"
        with naming(self._path), place.directory.open_shard(place.key, create=True) as shard_fd:
            name = place.key + self._unfinished
            with suppress(FileNotFoundError):  # of a process that was killed
                os.unlink(name, dir_fd=shard_fd)
            flags = _NEW
            if in_reserve:
                place.directory.take_reserve(shard_fd, name)
                flags = _THERE
            self._fd: int | None = place.directory.idle.open(name, flags, dir_fd=shard_fd)
            try:
                self.extend(parts)
            except BaseException:
                self.close()
                raise

    def extend(self, parts: Iterable[bytes]) -> None:
        """Write more at its end.

        Raises:
            OSError: It could not be written; it is to be closed.
        """
        assert self._fd is not None
        with naming(self._path):
            for part in parts:
                write_all(self._fd, part)
            os.ftruncate(self._fd, os.lseek(self._fd, 0, os.SEEK_CUR))  # what is left of a reserve
            os.fsync(self._fd)

    def put_in_place(self) -> int:
        """Replace what is there; the file's descriptor, which is the caller's from now on.

        Raises:
            OSError: It could not be done; nothing has changed.
        """
        place = self._place
        assert self._fd is not None
        with naming(self._path), place.directory.open_shard(place.key) as shard_fd:
            names = place.key + self._unfinished, place.key + self._suffix
            os.rename(*names, src_dir_fd=shard_fd, dst_dir_fd=shard_fd)
            os.fsync(shard_fd)
        fd, self._fd = self._fd, None
        return fd

    def close(self) -> None:
        """Remove it, unless it is in its place."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None
            with suppress(OSError):
                self._place.directory.remove_files(self._place.key, [self._unfinished])


def replace_file(place: Place, parts: Iterable[bytes], suffix: str = ACTIVE) -> int:
    """Put a file with this content in the place of a conversation's; its descriptor.

    Raises:
        OSError: It could not be done; nothing has changed.
    """
    with closing(NewFile(place, suffix, parts)) as new:
        return new.put_in_place()


def name_folder() -> str:
    """The name of a folder below `damaged/` for what is put there now, and at no other time."""
    return f"{datetime.now(UTC):%Y%m%dT%H%M%S%fZ}"
