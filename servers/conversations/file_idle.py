"""Descriptors kept open for their next use, closed when the process may open no more."""

import os
from collections.abc import Callable

from servers.conversations.file_failures import is_out_of_files


class IdleFiles:
    """Those of one store: whoever keeps some open says how they are closed."""

    def __init__(self) -> None:
        self._closers: list[Callable[[], None]] = []

    def add(self, close_idle: Callable[[], None]) -> None:
        """`close_idle`: closes what nobody uses now; called by any thread, whatever it holds."""
        self._closers.append(close_idle)

    def close(self) -> None:
        """Close all that is idle; it is opened again when it is needed."""
        for close_idle in self._closers:
            close_idle()

    def make_room(self, folder_fd: int) -> None:
        """See to it that a file can be opened in a folder by whoever does not know this."""
        os.close(self.open(".", os.O_RDONLY | os.O_DIRECTORY, dir_fd=folder_fd))

    def open(self, name: str, flags: int, mode: int = 0o600, *, dir_fd: int) -> int:
        """As `os.open`; what is idle does not keep it from opening a file.

        An open that failed for this has done nothing, so it is repeated, and not the verb that
        needs it, of which nobody would know what was written.
        """
        try:
            return os.open(name, flags, mode, dir_fd=dir_fd)
        except OSError as error:
            if not is_out_of_files(error):
                raise
        self.close()
        return os.open(name, flags, mode, dir_fd=dir_fd)
