"""The process's standard streams as a wire: read and written by threads that can be ended."""

import os
import select
import sys
from collections.abc import Generator
from contextlib import contextmanager
from typing import Self

from servers.errors import StartError

_CHUNK_BYTES = 64 * 1024


class WireEnd:
    """One descriptor, and a pipe beside it that ends a thread's wait."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._woken, self._waker = os.pipe()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for descriptor in (self._descriptor, self._woken, self._waker):
            os.close(descriptor)

    def wake(self) -> None:
        """End waits in threads, the present one and those to come."""
        os.write(self._waker, b"x")

    def read(self) -> bytes | None:
        """Some bytes; none at the end of the input, None when woken. Blocks: for a thread."""
        if not self._wait(select.POLLIN):
            return None
        return os.read(self._descriptor, _CHUNK_BYTES)

    def write(self, data: bytes) -> bool:
        """Write `data`; False if woken before all was taken. Blocks: for a thread."""
        rest = memoryview(data)
        while rest:
            if not self._wait(select.POLLOUT):
                return False
            # What polls as writable takes this much without blocking.
            rest = rest[os.write(self._descriptor, rest[: select.PIPE_BUF]) :]
        return True

    def _wait(self, event: int) -> bool:
        poll = select.poll()
        poll.register(self._descriptor, event)
        poll.register(self._woken, select.POLLIN)
        return self._woken not in {descriptor for descriptor, _ in poll.poll()}


@contextmanager
def claimed_standard_streams() -> Generator[tuple[WireEnd, WireEnd]]:
    """What stdin and stdout are; meanwhile they read nothing, and write to stderr.

    So nothing else in the process can take bytes off the wire or put any on it.

    Raises:
        StartError: One of them is closed.
    """
    if sys.__stdin__ is None or sys.__stdout__ is None:
        raise StartError("serving on stdio needs an open stdin and stdout")
    try:
        wire_in, wire_out = os.dup(0), os.dup(1)
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        os.close(nothing)
        os.dup2(2, 1)
    except OSError as error:
        raise StartError(f"serving on stdio: {error.strerror}") from None
    with WireEnd(wire_in) as stdin, WireEnd(wire_out) as stdout:
        try:
            yield stdin, stdout
        finally:
            os.dup2(wire_in, 0)
            os.dup2(wire_out, 1)
