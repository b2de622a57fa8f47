"""The socket that listens, of a process that may open few files: told in a line, tried again."""

import errno
import logging
import resource
import socket
import time
from asyncio import AbstractEventLoop
from typing import Any

logger = logging.getLogger(__name__)

_OUT_OF_FILES = {errno.EMFILE, errno.ENFILE}
_PAUSE_SECONDS = 0.5
"""Less than asyncio waits before it tries again."""
_TELL_SECONDS = 10.0


class Listener(socket.socket):
    """As any other, but asyncio goes through one failure for want of files at a time."""

    _failed_at = _told_at = float("-inf")

    def accept(self) -> tuple[socket.socket, Any]:
        """As the socket's own; for a moment after such a failure nobody seems to wait.

        Else asyncio would try as often as it takes connections at once, and with each failure it
        adds a try for later: soon it would do nothing else.
        """
        if time.monotonic() < self._failed_at + _PAUSE_SECONDS:
            raise BlockingIOError
        try:
            return super().accept()
        except OSError as error:
            if error.errno in _OUT_OF_FILES:
                self._failed_at = time.monotonic()
                self._tell()
            raise

    def _tell(self) -> None:
        if self._failed_at >= self._told_at + _TELL_SECONDS:
            self._told_at = self._failed_at
            logger.error(
                "new connections have to wait: too many files are open, and this process may open "
                "%s: raise the limit (ulimit -n) where it is started",
                resource.getrlimit(resource.RLIMIT_NOFILE)[0],
            )


def pass_over_told(loop: AbstractEventLoop, context: dict[str, Any]) -> None:
    """A loop's exception handler that leaves out what `Listener` has told."""
    error = context.get("exception")
    if not ("socket" in context and isinstance(error, OSError) and error.errno in _OUT_OF_FILES):
        loop.default_exception_handler(context)
