"""Standard input, line by line, without a thread that could not be stopped."""

import codecs
import os
import select
import sys
import termios
from collections.abc import Generator
from contextlib import contextmanager

import anyio
from anyio.lowlevel import checkpoint

from agentic.cli.failures import CommandError, UsageError
from servers.conversations.contract import MAX_MESSAGE_BYTES

_CHUNK_BYTES = 65_536


class InputLines:
    """The lines of standard input, whatever it is: a terminal, a pipe, a file."""

    def __init__(self) -> None:
        self._file = sys.stdin.fileno() if sys.stdin else None
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._text = ""
        self._ended = self._file is None

    async def begin_within(self, seconds: float) -> bool:
        """Whether something comes, be it the end, within this time."""
        with anyio.move_on_after(seconds):
            if not self._ended:
                await self._read_more()
            return True
        return False

    def drop(self) -> None:
        """Forget what was read and not asked for."""
        self._text = ""

    def take_typed_ahead(self) -> list[str]:
        """The lines of a terminal that were read and not asked for, and those that wait."""
        read, self._text = self._text, ""
        return [*_split(read), *take_typed_ahead()]

    async def next_line(self) -> str | None:
        """The next line without its end, or None when there is no more.

        Raises:
            UsageError: It is no UTF-8, or too long to be a message.
        """
        while "\n" not in self._text and not self._ended:
            await self._read_more()
        line, newline, self._text = self._text.partition("\n")
        return line.removesuffix("\r") if line or newline else None

    async def read_all(self) -> str:
        """All of it.

        Raises:
            UsageError: It is no UTF-8, or too long to be a message.
        """
        while not self._ended:
            await self._read_more()
        text, self._text = self._text, ""
        return text

    async def _read_more(self) -> None:
        assert self._file is not None
        data = await _read(self._file)
        try:
            self._text += self._decoder.decode(data, final=not data)
        except UnicodeDecodeError:
            raise UsageError("What came on standard input is no UTF-8 text.") from None
        self._ended = not data
        if len(self._text) > MAX_MESSAGE_BYTES:
            raise UsageError(
                "What came on standard input is longer than a message may be "
                f"({MAX_MESSAGE_BYTES:,} bytes)."
            )


async def _read(file: int) -> bytes:
    try:
        await anyio.wait_readable(file)
    except PermissionError:  # a regular file is always readable, and can't be waited for
        await checkpoint()
    return os.read(file, _CHUNK_BYTES)


async def confirm(question: str, *, instead: str) -> None:
    """Ask on the terminal and go on after a yes.

    Raises:
        CommandError: The answer was no.
        UsageError: There is no terminal to ask on; `instead` says what to do.
    """
    if not (sys.stdin and sys.stdin.isatty()):
        raise UsageError(instead)
    sys.stderr.write(f"{question} [y/N] ")
    sys.stderr.flush()
    answer = await InputLines().next_line()
    if (answer or "").strip().lower() not in ("y", "yes"):
        raise CommandError("Nothing was changed.")


def is_terminal() -> bool:
    """Whether a person is at both ends."""
    return all(stream is not None and stream.isatty() for stream in (sys.stdin, sys.stdout))


def take_typed_ahead() -> list[str]:
    """The lines of a terminal that wait to be read; one that was only begun goes on waiting."""
    file = sys.stdin.fileno()
    data = b""
    while select.select([file], [], [], 0)[0] and (chunk := os.read(file, _CHUNK_BYTES)):
        data += chunk
    return _split(data.decode("utf-8", "replace"))


def _split(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.strip()]


@contextmanager
def without_echo() -> Generator[None]:
    """What is typed meanwhile is not shown; it can be read all the same."""
    with _local_modes(off=termios.ECHO):
        yield


@contextmanager
def outliving_interrupts() -> Generator[None]:
    """What is typed meanwhile is still there after Ctrl-C, which else throws it away."""
    with _local_modes(on=termios.NOFLSH):
        yield


@contextmanager
def _local_modes(*, off: int = 0, on: int = 0) -> Generator[None]:
    file = sys.stdin.fileno()
    before = termios.tcgetattr(file)
    meanwhile = termios.tcgetattr(file)
    meanwhile[3] = meanwhile[3] & ~off | on
    termios.tcsetattr(file, termios.TCSADRAIN, meanwhile)
    try:
        yield
    finally:
        termios.tcsetattr(file, termios.TCSADRAIN, before)
