"""A server's process: its ends of three pipes are ours, and leaving ends it for certain."""

import logging
import os
import signal
from collections.abc import AsyncGenerator
from contextlib import ExitStack, asynccontextmanager, suppress
from io import FileIO

import anyio
from anyio.abc import Process
from mcp.client.stdio import get_default_environment

from client.hub.allowance import Allowance
from client.hub.complaints import Complaints
from client.hub.incoming import MAX_MESSAGE_BYTES
from client.hub.servers import StdioTarget

logger = logging.getLogger(__name__)

_CHUNK_BYTES = 65_536
_GRACE_SECONDS = 2.0
"""What a server has to end after its input has, again after SIGTERM, and after SIGKILL."""
_LAST_WORDS_SECONDS = 0.2
_STDERR_BYTES_PER_SECOND = 1024 * 1024
"""Read no faster, a flood waits in its pipe instead of keeping us busy."""


@asynccontextmanager
async def open_process(
    target: StdioTarget, complaints: Complaints
) -> AsyncGenerator[tuple[FileIO, FileIO]]:
    """Start the command: its standard input and output. Leaving ends it and its process group.

    It runs in a session of its own, so Ctrl-C at the terminal reaches us and not it.

    Raises:
        OSError: It can't be started.
        ValueError: There is a null byte in the command.
    """
    with ExitStack() as ours, ExitStack() as theirs:
        child_stdin, stdin = _open_pipe(theirs, ours)
        stdout, child_stdout = _open_pipe(ours, theirs)
        stderr, child_stderr = _open_pipe(ours, theirs)
        for pipe in (stdin, stdout, stderr):
            os.set_blocking(pipe.fileno(), False)
        process = await anyio.open_process(
            [target.command, *target.args],
            env=get_default_environment() | dict(target.env),
            cwd=target.cwd,
            stdin=child_stdin,
            stdout=child_stdout,
            stderr=child_stderr,
            start_new_session=True,
        )
        # Only the process holds its ends now, so its end is the end of the pipes. Nothing is
        # awaited before the `try`: a cancellation would leave the process alone.
        theirs.close()
        async with anyio.create_task_group() as tasks:
            silent = anyio.Event()
            tasks.start_soon(_listen, stderr, complaints, silent)
            try:
                yield stdin, stdout
            finally:
                with anyio.CancelScope(shield=True):
                    await _end(process, stdin, stdout)
                    with anyio.move_on_after(_LAST_WORDS_SECONDS):
                        await silent.wait()
                tasks.cancel_scope.cancel()


async def receive(pipe: FileIO) -> bytes:
    """What there is to read; nothing at the end."""
    while True:
        await anyio.wait_readable(pipe)
        chunk = pipe.read(_CHUNK_BYTES)
        if chunk is not None:
            return chunk


async def send(pipe: FileIO, data: bytes) -> None:
    """Write all of it.

    Raises:
        BrokenPipeError: Nobody reads it any more.
    """
    rest = memoryview(data)
    while rest:
        await anyio.wait_writable(pipe)
        rest = rest[pipe.write(rest) or 0 :]


def _open_pipe(reader: ExitStack, writer: ExitStack) -> tuple[FileIO, FileIO]:
    read_end, write_end = os.pipe()
    return (
        reader.enter_context(FileIO(read_end, "rb")),
        writer.enter_context(FileIO(write_end, "wb")),
    )


async def _listen(stderr: FileIO, complaints: Complaints, silent: anyio.Event) -> None:
    allowance = Allowance(_STDERR_BYTES_PER_SECOND, _STDERR_BYTES_PER_SECOND)
    while chunk := await receive(stderr):
        complaints.add(chunk)
        await allowance.spend(len(chunk))
    silent.set()


async def _end(process: Process, stdin: FileIO, stdout: FileIO) -> None:
    stdin.close()
    await _wait_end(process, stdout)
    for order in (signal.SIGTERM, signal.SIGKILL):
        # Also when it has ended: what it has started may be left.
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, order)
        await _wait_end(process, stdout)
    if process.returncode is None:
        logger.warning("process %d can't be ended", process.pid)


async def _wait_end(process: Process, stdout: FileIO) -> None:
    """Let it finish what it is saying, or it can't end; but not talk for ever."""
    drained = 0
    with anyio.move_on_after(_GRACE_SECONDS):
        while chunk := await receive(stdout):
            drained += len(chunk)
            if drained > MAX_MESSAGE_BYTES:
                return
        await process.wait()
