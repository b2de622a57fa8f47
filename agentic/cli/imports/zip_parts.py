"""The conversations in the zip of an account export, read in place: nothing is unpacked to disk.

What a name in the zip says about folders is of no use to anybody here, so it can do no harm.
"""

import lzma
import re
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from agentic.cli.imports.failures import BrokenFileError

_WANTED = re.compile(r"(?:^|/)conversations(?:-\d+)?\.json\Z")
_MAX_RATIO = 150
"""How much larger than its packed form text may become; what people write stays below 20."""
_MIN_SUSPICIOUS_BYTES = 16 * 1024 * 1024
_MAX_UNPACKED_BYTES = 64 * 1024**3
_ENCRYPTED = 0x1
_DAMAGES = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    OSError,
    RuntimeError,  # NotImplementedError, too: a way of packing that is not known
    ValueError,  # names that are no UTF-8, though the zip says so
)


@dataclass(frozen=True, slots=True)
class ZipMember:
    """One file of conversations in a zip."""

    archive: zipfile.ZipFile
    info: zipfile.ZipInfo

    def open(self) -> "MemberReading":
        """Begin to read it.

        Raises:
            BrokenFileError: It can't be read.
        """
        if self.info.flag_bits & _ENCRYPTED:
            raise BrokenFileError("it is encrypted: unpack the zip, and import what was in it.")
        try:
            return MemberReading(self.archive.open(self.info), self.info)
        except _DAMAGES as error:
            raise BrokenFileError(f"the zip is damaged there ({error}).") from None


class MemberReading:
    """The unpacked bytes, as long as they look like text that somebody wrote."""

    def __init__(self, file: IO[bytes], info: zipfile.ZipInfo) -> None:
        self._file = file
        self._packed_bytes = max(1, info.compress_size)
        self.done_bytes = 0

    def read(self, max_bytes: int) -> bytes:
        """The next bytes.

        Raises:
            BrokenFileError: They can't be read, or become far too many.
        """
        try:
            data = self._file.read(max_bytes)
        except _DAMAGES as error:
            raise BrokenFileError(
                f"the zip is cut off or damaged, after {self.done_bytes:,} bytes of it ({error})."
            ) from None
        self.done_bytes += len(data)
        suspicious = self.done_bytes > _MIN_SUSPICIOUS_BYTES
        if suspicious and self.done_bytes > self._packed_bytes * _MAX_RATIO:
            raise BrokenFileError(
                f"it becomes more than {_MAX_RATIO} times as large as it is in the zip, "
                "which no text does: stopped."
            )
        if self.done_bytes > _MAX_UNPACKED_BYTES:
            raise BrokenFileError(
                f"it is larger than {_MAX_UNPACKED_BYTES // 1024**3} GiB: stopped."
            )
        return data

    def close(self) -> None:
        """Stop reading."""
        self._file.close()


def find_members(archive: zipfile.ZipFile) -> Iterator[ZipMember]:
    """The files of conversations, by name.

    Raises:
        BrokenFileError: There is none.
    """
    wanted = [
        info
        for info in archive.infolist()
        if _WANTED.search(info.filename) and not info.filename.startswith("__MACOSX/")
    ]
    if not wanted:
        raise BrokenFileError(
            f"there is no conversations.json in it, among {len(archive.infolist()):,} files: "
            "is it the zip of an account export of ChatGPT or Claude?"
        )
    for info in sorted(wanted, key=lambda info: info.filename):
        yield ZipMember(archive, info)


def open_archive(path: Path) -> zipfile.ZipFile:
    """The zip at `path`, to be closed.

    Raises:
        BrokenFileError: It is damaged.
    """
    try:
        return zipfile.ZipFile(path)
    except _DAMAGES as error:
        raise BrokenFileError(
            f"the zip is cut off or damaged ({error}): fetch it once more."
        ) from None
