"""Which files may be ahead of the index: named in one file, before they are written to.

Each lock's conversations have a number there and room for some names. The number is odd while there
are names, and even again, what it was before, when the rows of all that was named are in step. So
an append needs no index, whoever asks the index compares what is named, and a writer that is killed
leaves nothing that isn't. Where the rows could not be brought in step the number becomes another
even one; so one that a reader has not seen says: compare all these conversations. All is written
under the lock, by whoever writes the files; a reader needs none. Nothing here is synced: after a
power loss each process is a new one, and a new one compares all files.
"""

import fcntl
import os
import re
import secrets
import struct
from collections.abc import Sequence
from typing import Literal

from servers.conversations.file_directory import KEY_CHARACTERS, StoreDirectory
from servers.conversations.file_locks import STRIPES

_ROOM = 8
"""Names a lock."""

_KEY = re.compile(rb"[a-z2-7]{%d}" % KEY_CHARACTERS)
_ONE = struct.Struct("<Q")
_ALL = struct.Struct(f"<{STRIPES}Q")
_NAMES_BYTES = _ROOM * KEY_CHARACTERS
_FILE_BYTES = _ALL.size + STRIPES * _NAMES_BYTES
_LIMIT = 2**64


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

    def name(self, stripe: int, key: str) -> Literal["new", "known", "full"]:
        """Name a file that is to be written to, unless it is `known`. Under the lock.

        It is `new` if its row was in step until now; `full` if there is no room for its name.
        """
        fd, name = self._open(), key.encode()
        place = _ALL.size + stripe * _NAMES_BYTES
        number = _read_number(fd, stripe)
        names: list[bytes] = []
        if number % 2:
            named = os.pread(fd, _NAMES_BYTES, place)
            if name in named:
                return "known"
            names = _KEY.findall(named)
            if len(names) == _ROOM:
                return "full"
        names.append(name)
        # First the name, then what says that there is one: a reader looks the other way round.
        os.pwrite(fd, b"".join(names).ljust(_NAMES_BYTES, b"\0"), place)
        if number % 2 == 0:
            _write_number(fd, stripe, number + 1)
        return "new"

    def clear(self, stripe: int) -> None:
        """Say that the rows of all that was named are in step. Under the lock."""
        fd = self._open()
        number = _read_number(fd, stripe)
        if number % 2:
            _write_number(fd, stripe, number - 1)

    def give_up(self, stripe: int) -> None:
        """Say that all of a lock's conversations are to be compared. Under the lock."""
        fd = self._open()
        number = _read_number(fd, stripe)
        _write_number(fd, stripe, number - number % 2 + 2)

    def read(self) -> tuple[Sequence[int], Sequence[int]]:
        """All numbers as they are without names, and the stripes of which there are names."""
        numbers = _read(self._open(), _ALL, 0)
        named = [stripe for stripe, number in enumerate(numbers) if number % 2]
        return tuple(number - number % 2 for number in numbers), named

    def read_names(self, stripe: int) -> list[str]:
        """The keys of what is named; without the lock there may be more than that."""
        place = _ALL.size + stripe * _NAMES_BYTES
        found = _KEY.findall(os.pread(self._open(), _NAMES_BYTES, place))
        return [key.decode() for key in found]

    def _open(self) -> int:
        if not self._fds or not os.fstat(self._fds[-1]).st_nlink:
            fd = self._directory.open_signs()
            self._fds.append(fd)
            if os.fstat(fd).st_size < _FILE_BYTES:
                _fill(fd)
        return self._fds[-1]


def _fill(fd: int) -> None:
    """Give a file that is new, or an earlier program's, its size, with numbers nobody has seen.

    All of it now: later there may be no room on the disk.
    """
    fcntl.flock(fd, fcntl.LOCK_EX)
    try:
        if os.fstat(fd).st_size < _FILE_BYTES:
            numbers = [2 * secrets.randbits(60) for _ in range(STRIPES)]
            os.pwrite(fd, _ALL.pack(*numbers).ljust(_FILE_BYTES, b"\0"), 0)
    finally:
        fcntl.flock(fd, fcntl.LOCK_UN)


def _read(fd: int, numbers: struct.Struct, place: int) -> Sequence[int]:
    data = os.pread(fd, numbers.size, place)
    return numbers.unpack(data.ljust(numbers.size, b"\0"))  # if somebody cut it


def _read_number(fd: int, stripe: int) -> int:
    return _read(fd, _ONE, stripe * _ONE.size)[0]


def _write_number(fd: int, stripe: int, number: int) -> None:
    os.pwrite(fd, _ONE.pack(number % _LIMIT), stripe * _ONE.size)
