"""The sync of what was written to a file: until it returns, a loss of power may take it away."""

import fcntl
import os
from collections.abc import Callable


def _sync_fully(fd: int) -> None:
    """Where there is no fdatasync, as on macOS, whose fsync leaves it in the disk's own memory."""
    full = getattr(fcntl, "F_FULLFSYNC", None)
    if full is None:
        os.fsync(fd)
    else:
        fcntl.fcntl(fd, full)


sync_data: Callable[[int], None] = getattr(os, "fdatasync", _sync_fully)
"""Takes the file's descriptor; raises OSError."""
