"""The file to import, or standard input, as texts of JSON, of which a zip may hold several."""

import os
import stat
import sys
from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from anyio import from_thread

from agentic.cli.failures import UsageError
from agentic.cli.imports.failures import BrokenFileError
from agentic.cli.imports.json_reader import JsonReader
from agentic.cli.imports.zip_parts import find_members, open_archive
from agentic.cli.input_files import open_input, read_input
from agentic.cli.terminal_text import one_line

Read = Callable[[int], bytes]

STANDARD_INPUT = Path("-")
_ZIP_BEGINNINGS = (b"PK\x03\x04", b"PK\x05\x06")


@dataclass(slots=True)
class Reading:
    """How far the file was read, in bytes of JSON."""

    done_bytes: int = 0
    total_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Part:
    """One text of JSON; `name` is what a person calls it."""

    name: str
    reader: JsonReader


@dataclass(slots=True)
class Source:
    """What is imported. Its parts are read in a worker thread, one after the other."""

    path: Path
    reading: Reading = field(default_factory=Reading)

    @property
    def name(self) -> str:
        """What a person calls it."""
        return "standard input" if self.path == STANDARD_INPUT else one_line(str(self.path), 500)

    def check(self) -> None:
        """Find out at once whether it can be read.

        Raises:
            UsageError: It can't.
        """
        if self.path == STANDARD_INPUT:
            if sys.stdin is None or sys.stdin.isatty():
                raise UsageError("Nothing comes on standard input: name a file.")
            return
        try:
            mode = self.path.stat().st_mode
        except FileNotFoundError:
            raise UsageError(f"There is no file {self.name}.") from None
        except OSError as error:
            raise UsageError(f"{self.name} can't be read: {error.strerror}.") from None
        if stat.S_ISDIR(mode):
            raise UsageError(f"{self.name} is a folder: name the file in it, such as its zip.")
        if not os.access(self.path, os.R_OK):
            raise UsageError(f"{self.name} can't be read: you may not.")

    def parts(self) -> Generator[Part]:
        """The texts, each to be read before the next is asked for.

        Raises:
            BrokenFileError: There is nothing to be read.
        """
        if self.path == STANDARD_INPUT:
            yield Part(self.name, JsonReader(self._counting(_listening(sys.stdin.fileno()))))
            return
        with open_input(self.path) as file:
            self.reading.total_bytes = _size(file.fileno())
            seekable = self.reading.total_bytes is not None
            if not (seekable and os.pread(file.fileno(), 4, 0) in _ZIP_BEGINNINGS):
                read = file.read if seekable else _listening(file.fileno())
                yield Part(self.name, JsonReader(self._counting(read)))
                return
        yield from self._zip_parts()

    def _zip_parts(self) -> Generator[Part]:
        with open_archive(self.path) as archive:
            members = list(find_members(archive))
            self.reading.total_bytes = sum(member.info.file_size for member in members)
            for member in members:
                name = f"{one_line(member.info.filename)} in {self.name}"
                try:
                    opened = member.open()
                except BrokenFileError as failure:
                    yield Part(name, JsonReader(_failing(failure)))
                    continue
                with closing(opened):
                    yield Part(name, JsonReader(self._counting(opened.read)))

    def _counting(self, read: Read) -> Read:
        def counting(max_bytes: int) -> bytes:
            # One piece may be as long as the file, and come as fast as it is read.
            from_thread.check_cancelled()
            try:
                data = read(max_bytes)
            except OSError as error:
                raise BrokenFileError(f"reading it failed: {error.strerror or error}.") from None
            self.reading.done_bytes += len(data)
            return data

        return counting


def _failing(failure: BrokenFileError) -> Read:
    def read(_max_bytes: int) -> bytes:
        raise failure

    return read


def _size(file: int) -> int | None:
    status = os.fstat(file)
    return status.st_size if stat.S_ISREG(status.st_mode) else None


def _listening(file: int) -> Read:
    """Reads what comes in its own time."""
    begun = False

    def read(max_bytes: int) -> bytes:
        nonlocal begun
        data = read_input(file, max_bytes)
        if not begun and data.startswith(_ZIP_BEGINNINGS):
            raise BrokenFileError("a zip can't be read from a pipe: name the file.")
        begun = True
        return data

    return read
