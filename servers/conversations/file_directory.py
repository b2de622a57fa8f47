"""The directory of the embedded store: its format, where files lie, durable changes.

FORMAT                  what this directory is
v1/<2>/<key>.jsonl      one conversation
locks/<nn>              locks between processes
lag                     where the index may lag behind the files
index.sqlite3           a cache that may be deleted
"""

import base64
import errno
import hashlib
import json
import os
import stat
from collections.abc import Generator
from contextlib import ExitStack, contextmanager, suppress
from functools import lru_cache
from pathlib import Path

from servers.conversations.store import UnavailableError

FORMAT_NAME = "agentic-conversations"
FORMAT_VERSION = 1
INDEX_NAME = "index.sqlite3"

_FORMAT_LINE = json.dumps({"format": FORMAT_NAME, "version": FORMAT_VERSION})
_FORMAT_FILE = "FORMAT"
_DATA = f"v{FORMAT_VERSION}"
_LOCKS = "locks"
_SIGNS = "lag"
_SUFFIX = ".jsonl"
_NEW_SUFFIX = ".new"
SHARD_CHARACTERS = 2
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
# Without O_NONBLOCK, opening a named pipe that somebody put in the way would never return.
_FILE = os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK

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


def explain(error: OSError, what: str) -> UnavailableError:
    """`error` as a sentence that says what to do, and to which file, if the error names one."""
    advice = _ADVICE.get(error.errno or 0, os.strerror(error.errno or 0))
    where = f"{error.filename}: " if error.filename else ""
    return UnavailableError(f"{what}: {where}{advice}")


@contextmanager
def _naming(path: str) -> Generator[None]:
    """Failures name `path`, from the store's directory on, and not what was opened last."""
    try:
        yield
    except OSError as error:
        raise OSError(error.errno, error.strerror, path) from error


@lru_cache(maxsize=4_096)
def key_of(owner: str, conversation_id: str) -> str:
    """The name of a conversation's file: safe whatever the ids are, and nothing readable."""
    digest = hashlib.sha256(f"{owner}\0{conversation_id}".encode()).digest()
    return base64.b32encode(digest)[:32].decode().lower()


def _path_of(key: str) -> str:
    return f"{_DATA}/{key[:SHARD_CHARACTERS]}/{key}{_SUFFIX}"


class StoreDirectory:
    """An opened store directory. Everything below its root is reached without following links."""

    def __init__(self, root: Path, root_fd: int, data_fd: int) -> None:
        self.root = root
        self._root_fd = root_fd
        self._data_fd = data_fd

    def open_file(self, key: str) -> int | None:
        """A descriptor of a conversation's file for reading and writing, None if there is none.

        Raises:
            OSError: It is there but can't be opened, or is no plain file.
        """
        try:
            with _naming(_path_of(key)), self._open_shard(key) as shard_fd:
                fd = os.open(key + _SUFFIX, os.O_RDWR | _FILE, dir_fd=shard_fd)
        except FileNotFoundError:
            return None
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            os.close(fd)
            raise OSError(errno.ENXIO, "not a plain file", _path_of(key))
        return fd

    def replace_file(self, key: str, data: bytes) -> int:
        """Put a file with this content in the place of a conversation's, or change nothing.

        Returns the new file's descriptor.
        """
        with _naming(_path_of(key)), self._open_shard(key, create=True) as shard_fd:
            new = key + _NEW_SUFFIX
            with suppress(FileNotFoundError):
                os.unlink(new, dir_fd=shard_fd)
            fd = os.open(new, os.O_RDWR | os.O_CREAT | os.O_EXCL | _FILE, 0o600, dir_fd=shard_fd)
            try:
                _write_all(fd, data)
                os.fsync(fd)
                os.rename(new, key + _SUFFIX, src_dir_fd=shard_fd, dst_dir_fd=shard_fd)
                os.fsync(shard_fd)
            except OSError:
                os.close(fd)
                with suppress(OSError):
                    os.unlink(new, dir_fd=shard_fd)
                raise
            return fd

    def open_lock(self, name: str) -> int:
        """A descriptor of a lock file, which is made if it or its folder is missing."""
        with self._open_locks() as locks_fd, _naming(f"{_LOCKS}/{name}"):
            return os.open(name, os.O_RDWR | os.O_CREAT | _FILE, 0o600, dir_fd=locks_fd)

    @contextmanager
    def open_signs(self) -> Generator[int]:
        """A descriptor of the file of `LagSigns`, which is made if it is missing."""
        with _naming(_SIGNS):
            flags = os.O_RDWR | os.O_CREAT | _FILE
            fd = os.open(_SIGNS, flags, 0o600, dir_fd=self._root_fd)
        try:
            yield fd
        finally:
            os.close(fd)

    def shards(self) -> list[str]:
        """The names of the folders that hold files."""
        with os.scandir(self._data_fd) as entries:
            return [entry.name for entry in entries if len(entry.name) == SHARD_CHARACTERS]

    def files_in(self, shard: str) -> dict[str, os.stat_result]:
        """Status of each conversation's file in a folder, by key."""
        found: dict[str, os.stat_result] = {}
        with (
            suppress(FileNotFoundError),
            self._open_shard(shard) as shard_fd,
            os.scandir(shard_fd) as entries,
        ):
            for entry in entries:
                if entry.name.endswith(_SUFFIX):
                    with suppress(FileNotFoundError):
                        status = entry.stat(follow_symlinks=False)
                        found[entry.name.removesuffix(_SUFFIX)] = status
        return found

    def check_writable(self) -> None:
        """Open what is written even to read a conversation."""
        with self._open_locks(), self.open_signs():
            pass

    @contextmanager
    def _open_locks(self) -> Generator[int]:
        with _naming(_LOCKS):
            with suppress(FileExistsError):
                os.mkdir(_LOCKS, 0o700, dir_fd=self._root_fd)
            fd = os.open(_LOCKS, _DIRECTORY | os.O_NOFOLLOW, dir_fd=self._root_fd)
        try:
            yield fd
        finally:
            os.close(fd)

    @contextmanager
    def _open_shard(self, key: str, *, create: bool = False) -> Generator[int]:
        name = key[:SHARD_CHARACTERS]
        if create:
            _ensure_directory(name, self._data_fd)
        fd = os.open(name, _DIRECTORY | os.O_NOFOLLOW, dir_fd=self._data_fd)
        try:
            yield fd
        finally:
            os.close(fd)


@contextmanager
def open_directory(root: Path) -> Generator[StoreDirectory]:
    """Open a store's directory; a missing or empty one becomes a new store.

    Raises:
        UnavailableError: It cannot be one, or its format is unknown; the text says what to do.
    """
    with ExitStack() as opened:
        try:
            root_fd = _open_root(root, opened)
            _check_format(root, root_fd)
            data_fd = _open_subdirectory(_DATA, root_fd, opened)
            directory = StoreDirectory(root, root_fd, data_fd)
            directory.check_writable()
        except OSError as error:
            raise explain(error, f"cannot open the conversation store {root}") from error
        yield directory


def _open_root(root: Path, opened: ExitStack) -> int:
    if not root.exists():
        if not root.parent.is_dir():
            raise UnavailableError(
                f"cannot make the conversation store {root}: {root.parent} is not there "
                f"(make it, mount it, or set conversations.directory)"
            )
        with suppress(FileExistsError):
            root.mkdir(mode=0o700)
        _sync_directory(root.parent)
    fd = os.open(root, _DIRECTORY)
    opened.callback(os.close, fd)
    return fd


def _open_subdirectory(name: str, root_fd: int, opened: ExitStack) -> int:
    _ensure_directory(name, root_fd)
    fd = os.open(name, _DIRECTORY | os.O_NOFOLLOW, dir_fd=root_fd)
    opened.callback(os.close, fd)
    return fd


def _check_format(root: Path, root_fd: int) -> None:
    text = _read_format(root_fd)
    if text is None:
        present = os.listdir(root_fd)
        if _DATA in present:
            raise _damaged_format(root, "is missing")
        if not present:
            with suppress(PermissionError):  # a volume that somebody else owns and lets us write
                os.fchmod(root_fd, 0o700)
        _write_format(root_fd)
        return
    try:
        found = json.loads(text)
        name, version = found["format"], found["version"]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise _damaged_format(root, "is damaged") from None
    if name != FORMAT_NAME or type(version) is not int or version < 1:
        raise _damaged_format(root, "is damaged")
    if version > FORMAT_VERSION:
        raise UnavailableError(
            f"the conversation store {root} has format {version}, this program knows "
            f"{FORMAT_VERSION}: update agentic"
        )


def _damaged_format(root: Path, state: str) -> UnavailableError:
    return UnavailableError(
        f"the file {root / _FORMAT_FILE} {state}, so it is unsure what this directory holds: "
        f"restore it from a back-up or, if this version of agentic wrote the directory, put this "
        f"line in it: {_FORMAT_LINE}"
    )


def _read_format(root_fd: int) -> bytes | None:
    try:
        fd = os.open(_FORMAT_FILE, os.O_RDONLY | _FILE, dir_fd=root_fd)
    except FileNotFoundError:
        return None
    try:
        return os.read(fd, 4096)
    finally:
        os.close(fd)


def _write_format(root_fd: int) -> None:
    new = f"{_FORMAT_FILE}.{os.getpid()}"
    fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | _FILE, 0o600, dir_fd=root_fd)
    try:
        _write_all(fd, f"{_FORMAT_LINE}\n".encode())
        os.fsync(fd)
    finally:
        os.close(fd)
    os.rename(new, _FORMAT_FILE, src_dir_fd=root_fd, dst_dir_fd=root_fd)
    os.fsync(root_fd)


def _ensure_directory(name: str, parent_fd: int) -> None:
    with suppress(FileExistsError):
        os.mkdir(name, 0o700, dir_fd=parent_fd)
    os.fsync(parent_fd)  # also if it exists: another process may have made it just now


def _sync_directory(path: Path) -> None:
    fd = os.open(path, _DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]
