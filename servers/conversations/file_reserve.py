"""Room for a deletion on a full disk: a file of zeros whose place on the disk it then takes."""

import errno
import os
import secrets
from contextlib import suppress

RESERVE = "reserve"
_BYTES = 64 * 1024
"""Several times what is left of a deleted conversation with the longest ids."""
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_FULL = {errno.ENOSPC, errno.EDQUOT}


def is_full(error: OSError) -> bool:
    """Whether `error` says that the disk, or what the user may have of it, is used up."""
    return error.errno in _FULL


def keep_reserve(root_fd: int) -> None:
    """Make the file in a store's directory if it is missing; on a full disk that is left."""
    with suppress(OSError):
        if RESERVE in os.listdir(root_fd):
            return
        # Nobody must take what is still written to.
        new = f"{RESERVE}.{secrets.token_hex(8)}"
        fd = os.open(new, _NEW, 0o600, dir_fd=root_fd)
        try:
            is_whole = os.write(fd, bytes(_BYTES)) == _BYTES
        except OSError:
            is_whole = False
        finally:
            os.close(fd)
        if is_whole:
            os.rename(new, RESERVE, src_dir_fd=root_fd, dst_dir_fd=root_fd)
        else:
            os.unlink(new, dir_fd=root_fd)


def take_reserve(root_fd: int, folder_fd: int, name: str) -> None:
    """Make the file one of another name in another folder.

    Raises:
        OSError: There is none.
    """
    os.rename(RESERVE, name, src_dir_fd=root_fd, dst_dir_fd=folder_fd)
