"""Files that a command reads in a worker thread: when it is stopped, the wait for them ends."""

import io
import os
import select
from contextlib import suppress
from pathlib import Path

from anyio import from_thread

_LISTEN_SECONDS = 0.2
"""How long a wait goes on after the command was stopped."""


def open_input(path: Path) -> io.FileIO:
    """Open a file to be read by `read_input`, a named pipe without waiting for its writer."""
    return io.FileIO(path, opener=_open_at_once)


def read_input(file: int, max_bytes: int) -> bytes:
    """The next at most so many bytes, as soon as there are any; none at the end."""
    while True:
        while not select.select([file], [], [], _LISTEN_SECONDS)[0]:
            from_thread.check_cancelled()
        with suppress(BlockingIOError):  # another reader of the same pipe was faster
            return os.read(file, max_bytes)


def _open_at_once(path: str, flags: int) -> int:
    # To open a pipe that nobody writes to waits where no signal ends it: Python goes on with it.
    return os.open(path, flags | os.O_NONBLOCK)
