"""Failures of the operating system, told so that a person knows what to do, and to which file."""

import errno
import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from servers.conversations.store_errors import UnavailableError

_ADVICE = {
    errno.ENOSPC: "the disk is full: free some space and try again",
    errno.EDQUOT: "the disk quota is used up: free some space and try again",
    errno.EFBIG: "the file would become larger than this process may write: raise the limit",
    errno.EROFS: "the disk is mounted read-only: mount it writable",
    errno.EACCES: "access is denied: give the user of this process read and write access",
    errno.EPERM: "access is denied: give the user of this process read and write access",
    errno.ELOOP: "a symbolic link is in the way, and links are not followed: remove it",
    errno.ENOTDIR: "a file or link stands where a directory should be: move it away",
    errno.EISDIR: "a directory stands where a file should be: move it away",
    errno.ENXIO: "what stands there is no plain file, as it should be: move it away",
    errno.ENOENT: "it was removed under the running program: put it back, or restart the program",
    errno.EMFILE: "too many files are open: raise the limit of open files",
    errno.ENFILE: "too many files are open on this machine",
    errno.EIO: "the disk reported an error: check its health and try again",
}
_OF_ONE = {
    errno.EACCES,
    errno.EPERM,
    errno.ELOOP,
    errno.ENOTDIR,
    errno.EISDIR,
    errno.ENXIO,
    errno.EIO,
}
_OUT_OF_FILES = {errno.EMFILE, errno.ENFILE}


def is_of_one(error: OSError) -> bool:
    """Whether it is one file's, or folder's, and all others can well be read."""
    return error.errno in _OF_ONE


def is_out_of_files(error: OSError) -> bool:
    """Whether too many files are open, in this process or on the machine."""
    return error.errno in _OUT_OF_FILES


def advise(error: OSError) -> str:
    """What is wrong and what to do, without the file that the error names."""
    return _ADVICE.get(error.errno or 0, os.strerror(error.errno or 0))


def explain(error: OSError, what: str, root: Path) -> UnavailableError:
    """`error` as a sentence that says what to do, and to which file, if the error names one.

    `root`: the store's directory, from which on it is named.
    """
    where = f"{root / os.fsdecode(error.filename)}: " if error.filename else ""
    return UnavailableError(f"{what}: {where}{advise(error)}")


@contextmanager
def naming(path: str) -> Generator[None]:
    """Failures name `path`, from the store's directory on, and not what was opened last."""
    try:
        yield
    except OSError as error:
        raise OSError(error.errno, error.strerror, path) from error
