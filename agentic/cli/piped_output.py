"""Standard output as a pipe or a file.

Who was told to stop does not wait for a reader that reads no more: a write to a full pipe blocks
the event loop, which then hears of no signal.
"""

import io
import math
import select
import time
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

_LOOK_SECONDS = 0.1
_PATIENCE_SECONDS = 1.0
"""Of who was told to stop: a reader that is only slow gets what is whole."""


class PipedOutput(io.TextIOWrapper):
    """Writes to a pipe like any other, until it is told to `stop_waiting`."""

    def __init__(self, replaced: TextIO) -> None:
        """As `replaced` writes, to where it writes."""
        self._pipe = _Pipe(replaced.fileno(), "w", closefd=False)
        super().__init__(
            io.BufferedWriter(self._pipe),
            replaced.encoding,
            replaced.errors,
            line_buffering=bool(replaced.line_buffering),
        )

    def stop_waiting(self, signal_number: int) -> None:
        """Drop what the reader does not take within a moment, and what comes after it."""
        if self._pipe.stopped_by is None:
            self._pipe.stopped_by = signal_number
            self._pipe.waits_until = time.monotonic() + _PATIENCE_SECONDS

    @property
    def dropped_for(self) -> int | None:
        """The signal for which something was dropped; None if nothing was."""
        return self._pipe.stopped_by if self._pipe.is_dropping else None


def name_output(replaced: TextIO) -> TextIO:
    """One that writes as `replaced`, and whose errors say that it is standard output."""
    return io.TextIOWrapper(
        io.BufferedWriter(_Output(replaced.fileno(), "w", closefd=False)),
        replaced.encoding,
        replaced.errors,
    )


class _Output(io.FileIO):
    def write(self, data: "ReadableBuffer", /) -> int:
        try:
            return super().write(data)
        except OSError as error:
            raise OSError(error.errno, error.strerror, "standard output") from error


class _Pipe(io.FileIO):
    stopped_by: int | None = None
    waits_until = math.inf
    is_dropping = False

    def write(self, data: "ReadableBuffer", /) -> int:
        whole = memoryview(data)
        while not self.is_dropping:
            if select.select((), (self,), (), _LOOK_SECONDS)[1]:
                # What a pipe that can be written to takes without blocking.
                return super().write(whole[: select.PIPE_BUF])
            self.is_dropping = time.monotonic() > self.waits_until
        return len(whole)
