"""Signs that the index may lag behind files: a number for each lock's conversations, in one file.

A number is even while nobody writes. A writer makes it odd before it changes a file, and puts back
what was there when the index holds the change. If the writer is killed in between the number stays
odd, and if the index could not be written it becomes another one; so a number that a reader has not
seen says: compare those files with their rows. Numbers are written only under their lock, and by
whoever writes the files, so that a reader needs neither. Nothing here is synced: after a power loss
each process is a new one, and a new one compares all files.
"""

import os
import struct
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from servers.conversations.file_directory import StoreDirectory
from servers.conversations.file_locks import STRIPES, is_free

_ONE = struct.Struct("<Q")
_ALL = struct.Struct(f"<{STRIPES}Q")
_LIMIT = 2**64


@dataclass(slots=True)
class Sign:
    """What a writer says at its end."""

    lags: bool = False
    """Whether the index does not hold what was written."""


class LagSigns:
    """The signs of one store."""

    def __init__(self, directory: StoreDirectory) -> None:
        self._directory = directory
        # All but the last are of files that were removed; other threads may still use them.
        self._fds: list[int] = []

    def close(self) -> None:
        """Close the file."""
        for fd in self._fds:
            os.close(fd)

    @contextmanager
    def writing(self, stripe: int) -> Generator[Sign]:
        """A writer's sign, for the time in which files may be ahead; under the stripe's lock."""
        fd = self._open()
        place = stripe * _ONE.size
        before = _read(fd, _ONE, place)[0]
        if before % 2:  # its writer was killed
            before = (before + 1) % _LIMIT
        os.pwrite(fd, _ONE.pack(before + 1), place)
        sign = Sign()
        try:
            yield sign
        except OSError:
            sign.lags = True  # the file may have changed nevertheless
            raise
        finally:
            after = (before + 2) % _LIMIT if sign.lags else before
            os.pwrite(fd, _ONE.pack(after), place)

    def read(self) -> Sequence[int]:
        """All numbers, by stripe; that of a stripe where somebody writes is as it was before."""
        fd = self._open()
        numbers = list(_read(fd, _ALL, 0))
        for stripe, number in enumerate(numbers):
            if number % 2 and not is_free(self._directory, stripe):
                numbers[stripe] = number - 1
            elif number % 2:  # read again: the writer may have come to its end just now
                numbers[stripe] = _read(fd, _ONE, stripe * _ONE.size)[0]
        return numbers

    def _open(self) -> int:
        if not self._fds or not os.fstat(self._fds[-1]).st_nlink:
            self._fds.append(self._directory.open_signs())
        return self._fds[-1]


def _read(fd: int, numbers: struct.Struct, place: int) -> Sequence[int]:
    data = os.pread(fd, numbers.size, place)
    return numbers.unpack(data.ljust(numbers.size, b"\0"))
