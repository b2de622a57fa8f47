"""The directory of the embedded store: its format, where files lie, durable changes.

FORMAT                  what this directory is
v1/<2>/<key>.jsonl      one conversation, or what of it is not sealed
v1/<2>/<key>.<generation>.<base>.jsonl.zst   what is sealed of it
v1/<2>/<key>.att/       its attachments
v1/<2>/<key>….new       what is about to replace one of its files
locks/<nn>              locks between processes
damaged/<time>/         what a repair found and kept
lag                     which files the index may lag behind
reserve                 room for a deletion on a full disk
index.sqlite3           a cache that may be deleted
search.sqlite3          another one, of words
"""

import base64
import errno
import hashlib
import os
import stat
from collections.abc import Generator, Iterable
from contextlib import ExitStack, contextmanager, suppress
from functools import lru_cache
from pathlib import Path

from servers.conversations.file_failures import explain, naming
from servers.conversations.file_format import (
    DATA_NAME,
    FORMAT_FILE,
    FormatWatch,
    check_format,
    find_format_damage,
    repair_format,
)
from servers.conversations.file_idle import IdleFiles
from servers.conversations.file_place import OpenedPlace
from servers.conversations.file_reserve import keep_reserve, take_reserve
from servers.conversations.store_errors import UnavailableError

INDEX_NAME = "index.sqlite3"
SEARCH_NAME = "search.sqlite3"
ACTIVE = ".jsonl"
"""What the name of a conversation's active file has after its key."""

_LOCKS = "locks"
_ASIDE = "damaged"
_MAX_PATH_BYTES = 504
"""Of an index: SQLite names files beside it, and takes 512."""
_SIGNS = "lag"
SHARD_CHARACTERS = 2
KEY_CHARACTERS = 32
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_SUBDIRECTORY = _DIRECTORY | os.O_NOFOLLOW
# Without O_NONBLOCK, opening a named pipe that somebody put in the way would never return.
_FILE = os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK


@lru_cache(maxsize=4_096)
def key_of(owner: str, conversation_id: str) -> str:
    """The name of a conversation's file: safe whatever the ids are, and nothing readable."""
    digest = hashlib.sha256(f"{owner}\0{conversation_id}".encode()).digest()
    return base64.b32encode(digest[:20]).decode().lower()


def path_of(key: str, suffix: str) -> str:
    """Where a conversation's file is, from the store's directory on."""
    return f"{DATA_NAME}/{key[:SHARD_CHARACTERS]}/{key}{suffix}"


class StoreDirectory:
    """An opened store directory. Everything below its root is reached without following links."""

    def __init__(self, root: Path, root_fd: int, data_fd: int) -> None:
        self.root = root
        self.idle = IdleFiles()
        self.place = OpenedPlace(root, root_fd, DATA_NAME, data_fd)
        self.format = FormatWatch(root, root_fd, self.place)
        self._root_fd = root_fd
        self._data_fd = data_fd

    def open_file(self, key: str, suffix: str = ACTIVE) -> int | None:
        """A descriptor of a conversation's file for reading and writing, None if there is none.

        Without a suffix: of its active file.

        Raises:
            OSError: It is there but can't be opened, or is no plain file.
        """
        opened = self.open_with_status(key, suffix)
        return opened and opened[0]

    def open_with_status(self, key: str, suffix: str = ACTIVE) -> tuple[int, os.stat_result] | None:
        """The same, with the file's status."""
        try:
            shard_fd = self.idle.open(key[:SHARD_CHARACTERS], _SUBDIRECTORY, dir_fd=self._data_fd)
            try:
                fd = self.idle.open(key + suffix, os.O_RDWR | _FILE, dir_fd=shard_fd)
            finally:
                os.close(shard_fd)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise OSError(error.errno, error.strerror, path_of(key, suffix)) from error
        return fd, _check_plain(fd, path_of(key, suffix))

    def status_of(self, key: str) -> os.stat_result | None:
        """The status of a conversation's active file, None if there is none."""
        try:
            with self.open_shard(key) as shard_fd:
                return os.stat(key + ACTIVE, dir_fd=shard_fd, follow_symlinks=False)
        except FileNotFoundError:
            return None

    def read_start(self, shard_fd: int, key: str, count: int) -> bytes | None:
        """At most `count` bytes of an active file in an opened folder; None if they can't be read.

        For whoever reads many: nothing is checked but that it is no link.
        """
        try:
            fd = self.idle.open(key + ACTIVE, os.O_RDONLY | _FILE, dir_fd=shard_fd)
        except OSError:
            return None
        try:
            return os.read(fd, count)
        except OSError:
            return None
        finally:
            os.close(fd)

    def remove_files(self, key: str, suffixes: Iterable[str]) -> None:
        """Remove files of a conversation; those that are gone are no error."""
        with naming(path_of(key, "")), self.open_shard(key) as shard_fd:
            for suffix in suffixes:
                with suppress(FileNotFoundError):
                    os.unlink(key + suffix, dir_fd=shard_fd)
            os.fsync(shard_fd)

    def suffixes_of(self, key: str) -> list[str]:
        """What the names of a conversation's files have after its key."""
        with self.open_shard(key) as shard_fd, os.scandir(shard_fd) as entries:
            return [
                entry.name[len(key) :]
                for entry in entries
                if entry.name.startswith(key) and not entry.is_dir(follow_symlinks=False)
            ]

    def open_lock(self, name: str) -> int:
        """A descriptor of a lock file, which is made if it or its folder is missing."""
        with self._open_locks() as locks_fd:
            return self._open_or_make(name, locks_fd, f"{_LOCKS}/{name}")

    def is_lock(self, name: str, fd: int) -> bool:
        """Whether a descriptor of a lock file is of the one that others find there now."""
        try:
            there = os.stat(f"{_LOCKS}/{name}", dir_fd=self._root_fd, follow_symlinks=False)
        except (FileNotFoundError, NotADirectoryError):
            return False
        opened = os.fstat(fd)
        return there.st_ino == opened.st_ino and there.st_dev == opened.st_dev

    def open_signs(self) -> int:
        """A descriptor of the file of `LagSigns`, which is made if it is missing."""
        return self._open_or_make(_SIGNS, self._root_fd, _SIGNS)

    def keep_aside(self, key: str, suffixes: Iterable[str], folder: str) -> None:
        """Give files of a conversation a second name in `damaged/<folder>`, before it is mended."""
        with self.open_aside(folder) as aside_fd, self.open_shard(key) as shard_fd:
            for suffix in suffixes:
                with naming(path_of(key, suffix)), suppress(FileNotFoundError, FileExistsError):
                    name = key + suffix
                    os.link(name, name, src_dir_fd=shard_fd, dst_dir_fd=aside_fd)
            os.fsync(aside_fd)

    def open_kept(self, key: str, folder: str) -> int | None:
        """A descriptor of an active file in `damaged/<folder>`, None if there is none."""
        with self.open_aside(folder) as aside_fd, suppress(FileNotFoundError):
            return os.open(key + ACTIVE, os.O_RDONLY | _FILE, dir_fd=aside_fd)
        return None

    def find_format_damage(self) -> str | None:
        """What is wrong with the file FORMAT, if anything."""
        return find_format_damage(self._root_fd)

    def repair_format(self, folder: str) -> None:
        """Put a good FORMAT in the place of a damaged one, which goes to `damaged/<folder>`."""
        with self.open_aside(folder) as aside_fd, suppress(FileNotFoundError):
            os.link(FORMAT_FILE, FORMAT_FILE, src_dir_fd=self._root_fd, dst_dir_fd=aside_fd)
        repair_format(self._root_fd)

    def size_of(self, suffixed: str) -> int:
        """The size of a file in the root, 0 if there is none."""
        try:
            return os.stat(suffixed, dir_fd=self._root_fd, follow_symlinks=False).st_size
        except FileNotFoundError:
            return 0

    def shards(self) -> list[str]:
        """The names of the folders that hold files."""
        with os.scandir(self._data_fd) as entries:
            return [entry.name for entry in entries if len(entry.name) == SHARD_CHARACTERS]

    def files_in(self, shard: str) -> dict[str, os.stat_result]:
        """Status of each conversation's active file in a folder, by key."""
        return {
            name.removesuffix(ACTIVE): status
            for name, status in self.all_files_in(shard).items()
            if name.endswith(ACTIVE)
        }

    def all_files_in(self, shard: str) -> dict[str, os.stat_result]:
        """Status of each file in a folder, by name."""
        found: dict[str, os.stat_result] = {}
        with (
            suppress(FileNotFoundError),
            self.open_shard(shard) as shard_fd,
            os.scandir(shard_fd) as entries,
        ):
            for entry in entries:
                with suppress(FileNotFoundError):
                    found[entry.name] = entry.stat(follow_symlinks=False)
        return found

    def keep_reserve(self) -> None:
        """See to it that a deletion finds room on a full disk."""
        keep_reserve(self._root_fd)

    def take_reserve(self, shard_fd: int, name: str) -> None:
        """Make that room a file in an opened folder; OSError if there is none."""
        take_reserve(self._root_fd, shard_fd, name)

    def check_writable(self) -> None:
        """Open what is written even to read a conversation."""
        with self._open_locks():
            os.close(self.open_signs())

    def _open_or_make(self, name: str, folder_fd: int, path: str) -> int:
        with naming(path):
            fd = self.idle.open(name, os.O_RDWR | os.O_CREAT | _FILE, dir_fd=folder_fd)
        _check_plain(fd, path)
        return fd

    @contextmanager
    def _open_locks(self) -> Generator[int]:
        with naming(_LOCKS):
            with suppress(FileExistsError):
                os.mkdir(_LOCKS, 0o700, dir_fd=self._root_fd)
            fd = self.idle.open(_LOCKS, _SUBDIRECTORY, dir_fd=self._root_fd)
        try:
            yield fd
        finally:
            os.close(fd)

    @contextmanager
    def open_aside(self, folder: str) -> Generator[int]:
        """The folder `damaged/<folder>`, made if it is missing."""
        with ExitStack() as opened, naming(f"{_ASIDE}/{folder}"):
            aside_fd = _open_subdirectory(_ASIDE, self._root_fd, opened)
            yield _open_subdirectory(folder, aside_fd, opened)

    @contextmanager
    def open_shard(self, key: str, *, create: bool = False) -> Generator[int]:
        """A descriptor of the folder that holds a conversation's files."""
        name = key[:SHARD_CHARACTERS]
        if create:
            ensure_directory(name, self._data_fd)
        try:
            fd = self.idle.open(name, _SUBDIRECTORY, dir_fd=self._data_fd)
        except OSError as error:
            raise OSError(error.errno, error.strerror, f"{DATA_NAME}/{name}") from error
        try:
            yield fd
        finally:
            os.close(fd)


@contextmanager
def open_directory(root: Path, *, any_format: bool = False) -> Generator[StoreDirectory]:
    """Open a store's directory; a missing or empty one becomes a new store.

    `any_format`: for whoever looks after the store; a damaged FORMAT is not refused then.

    Raises:
        UnavailableError: It cannot be one, or its format is unknown; the text says what to do.
    """
    with ExitStack() as opened:
        try:
            root_fd = _open_root(root, opened)
            _check_length(root)
            if not (any_format and find_format_damage(root_fd)):
                check_format(root, root_fd)
            data_fd = _open_subdirectory(DATA_NAME, root_fd, opened)
            directory = StoreDirectory(root, root_fd, data_fd)
            directory.check_writable()
            directory.keep_reserve()
        except OSError as error:
            raise explain(error, f"cannot open the conversation store {root}", root) from error
        yield directory


def _open_root(root: Path, opened: ExitStack) -> int:
    try:
        fd = os.open(root, _DIRECTORY)
    except FileNotFoundError:
        _make_root(root)
        fd = os.open(root, _DIRECTORY)
    except NotADirectoryError as error:
        in_the_way = next(path for path in (root, *root.parents) if path.exists())
        raise OSError(error.errno, error.strerror, str(in_the_way)) from error
    opened.callback(os.close, fd)
    return fd


def _check_length(root: Path) -> None:
    length = len(os.fsencode(root.resolve() / SEARCH_NAME))
    if length > _MAX_PATH_BYTES:
        raise UnavailableError(
            f"cannot open the conversation store {root}: an index's path has {length} bytes "
            f"there, and SQLite takes {_MAX_PATH_BYTES}: move it, or set conversations.directory "
            "to a shorter one"
        )


def _make_root(root: Path) -> None:
    parent = root.parent
    try:
        with naming(str(parent)):
            root.mkdir(mode=0o700)
    except FileExistsError:
        if not root.exists():
            raise UnavailableError(
                f"cannot open the conversation store {root}: it is a link to a place that is not "
                f"there (mount that, or remove the link)"
            ) from None
    except FileNotFoundError:
        problem = "no directory can be made in" if parent.is_dir() else "there is no directory"
        raise UnavailableError(
            f"cannot make the conversation store {root}: {problem} {parent} "
            f"(make it, mount it, or set conversations.directory)"
        ) from None
    _sync_directory(parent)


def _check_plain(fd: int, path: str) -> os.stat_result:
    """The status of what was opened; it is closed again if it is a pipe or the like."""
    status = os.fstat(fd)
    if not stat.S_ISREG(status.st_mode):
        os.close(fd)
        raise OSError(errno.ENXIO, "not a plain file", path)
    return status


def _open_subdirectory(name: str, root_fd: int, opened: ExitStack) -> int:
    ensure_directory(name, root_fd)
    fd = os.open(name, _SUBDIRECTORY, dir_fd=root_fd)
    opened.callback(os.close, fd)
    return fd


def ensure_directory(name: str, parent_fd: int) -> None:
    """Make a directory, for good, if it is missing."""
    with suppress(FileExistsError):
        os.mkdir(name, 0o700, dir_fd=parent_fd)
    os.fsync(parent_fd)  # also if it exists: another process may have made it just now


def _sync_directory(path: Path) -> None:
    fd = os.open(path, _DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
