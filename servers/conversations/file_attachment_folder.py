"""The folder of one conversation's attachments: for each its bytes, and beside them what it is.

v1/<2>/<key>.att/<name>.bin    the bytes
v1/<2>/<key>.att/<name>.json   what they are, written after them; `.part` until all are there
v1/<2>/<key>.<token>.trash     such a folder on its way out

What the second file says counts: bytes beyond its size are of a write that was not acknowledged.
"""

import errno
import logging
import os
import secrets
import zlib
from collections.abc import Callable, Collection, Generator
from contextlib import ExitStack, contextmanager, suppress

from servers.conversations.contract_results import StoredAttachment
from servers.conversations.file_attachment_facts import BLOCK_BYTES, AttachmentFacts, DamagedError
from servers.conversations.file_attachment_files import (
    names_in,
    opened_file,
    read_beginning,
    read_range,
    status_of,
    unlink,
)
from servers.conversations.file_attachment_listing import (
    BYTES,
    COMPLETE,
    INCOMPLETE,
    MAX_FACTS_BYTES,
    NEW,
    find_from,
    find_latest,
    measure,
    name_of,
    stem_of,
)
from servers.conversations.file_directory import StoreDirectory, ensure_directory, path_of
from servers.conversations.file_failures import naming
from servers.conversations.file_format import write_all
from servers.conversations.file_segment import write_whole

FOLDER_SUFFIX = ".att"
TRASH_SUFFIX = ".trash"
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW
_REMOVED_AT_ONCE = 200
"""Files, while a deletion is waited for. A folder with more is left to the sweeper."""

_log = logging.getLogger(__name__)


class AttachmentFolder:
    """The attachments of the conversation `key`. For use under its lock."""

    def __init__(self, directory: StoreDirectory, key: str, sync: Callable[[int], None]) -> None:
        self._directory = directory
        self._key = key
        self._sync = sync

    def find(self, attachment_id: str) -> AttachmentFacts | None:
        """What is stored of an attachment, None if nothing is.

        Raises:
            DamagedError: Its files are there, but not as they were written.
            OSError: They can't be read.
        """
        name = name_of(attachment_id)
        with self._opened() as folder_fd:
            if folder_fd is None:
                return None
            text = _facts_of(folder_fd, name)
            if text is None:
                return None
            facts = AttachmentFacts.parse(text)
            status = status_of(folder_fd, name + BYTES)
            if facts.attachment_id != attachment_id or not status or status.st_size < facts.size:
                raise DamagedError
            return facts

    def read(self, facts: AttachmentFacts, offset: int, length: int) -> bytes:
        """At most `length` bytes from `offset` on, checked.

        Raises:
            DamagedError: They are not as they were written.
            OSError: They can't be read.
        """
        end = min(offset + length, facts.size)
        first = offset // BLOCK_BYTES
        blocks: list[bytes] = []
        with self._opened() as folder_fd:
            if folder_fd is None:
                raise DamagedError
            with opened_file(folder_fd, name_of(facts.attachment_id) + BYTES) as fd:
                for number in range(first, -(-end // BLOCK_BYTES)):
                    start = number * BLOCK_BYTES
                    block = read_range(fd, start, min(BLOCK_BYTES, facts.size - start))
                    if zlib.crc32(block) != facts.crcs[number]:
                        raise DamagedError
                    blocks.append(block)
        start = first * BLOCK_BYTES
        return b"".join(blocks)[offset - start : end - start]

    def write(self, known: AttachmentFacts, data: bytes) -> AttachmentFacts:
        """Add `data` to the bytes that are known, of which a new attachment has none.

        Raises:
            OSError: It could not be written, and what was known still is what counts.
        """
        facts = known.grown(data)
        name = name_of(facts.attachment_id)
        target, other = (COMPLETE, INCOMPLETE) if facts.is_complete else (INCOMPLETE, COMPLETE)
        with self._opened(create=not known.size) as folder_fd:
            if folder_fd is None:
                raise FileNotFoundError(errno.ENOENT, "removed under the running program")
            with opened_file(folder_fd, name + BYTES, os.O_RDWR | os.O_CREAT) as fd:
                write_whole(fd, known.size, data)
                self._sync(fd)
            self._write_new(folder_fd, name + NEW, facts.encode())
            os.rename(name + NEW, name + target, src_dir_fd=folder_fd, dst_dir_fd=folder_fd)
            unlink(folder_fd, name + other)
            os.fsync(folder_fd)
        return facts

    def count(self) -> int:
        """How many attachments there are, incomplete ones too."""
        with self._opened() as folder_fd:
            return len({stem_of(name) for name in names_in(folder_fd)})

    def measure(self) -> tuple[int, int]:
        """How many attachments are complete, and how many bytes they have."""
        with self._opened() as folder_fd:
            return measure(folder_fd)

    def latest(self, limit: int) -> list[StoredAttachment]:
        """So many of the complete ones that were written to last, in the order they were begun."""
        with self._opened() as folder_fd:
            return find_latest(folder_fd, limit)

    def list_after(self, attachment_id: str | None, limit: int) -> list[StoredAttachment | None]:
        """So many of the complete ones behind one, in an order that stays; None: damaged."""
        with self._opened() as folder_fd:
            return find_from(folder_fd, name_of(attachment_id) if attachment_id else "", limit)

    def find_damaged(self, among: Collection[str] | None = None) -> dict[str, str | None]:
        """The attachments that are not as they were written: what they are called, if that is left.

        By the names of their files, without their ends. `among`: None for all.
        """
        with self._opened() as folder_fd:
            if folder_fd is None:
                return {}
            stems = {stem_of(name) for name in names_in(folder_fd)}
            if among is not None:
                stems.intersection_update(among)
            return {
                stem: _title_of(folder_fd, stem)
                for stem in sorted(stems)
                if _is_damaged(folder_fd, stem)
            }

    def move_aside(self, stems: Collection[str], folder: str) -> None:
        """Move the files of attachments by those names to `damaged/<folder>`."""
        with self._opened() as folder_fd, self._directory.open_aside(folder) as aside_fd:
            for name in names_in(folder_fd):
                if stem_of(name) in stems:
                    os.rename(
                        name, f"{self._key}.{name}", src_dir_fd=folder_fd, dst_dir_fd=aside_fd
                    )
            os.fsync(aside_fd)

    def set_aside(self) -> str | None:
        """Make it the folder of no conversation; its new name, None if there was none."""
        trash = f"{self._key}.{secrets.token_hex(8)}{TRASH_SUFFIX}"
        try:
            with naming(self._path), self._directory.open_shard(self._key) as shard_fd:
                os.rename(self._name, trash, src_dir_fd=shard_fd, dst_dir_fd=shard_fd)
        except FileNotFoundError:
            return None
        return trash

    def discard(self) -> None:
        """Remove all, or leave it to the sweeper where that fails or takes long."""
        try:
            trash = self.set_aside()
            if trash is not None:
                with self._directory.open_shard(self._key) as shard_fd:
                    remove_folder(shard_fd, trash, _REMOVED_AT_ONCE)
        except OSError as error:
            _log.warning("a conversation's attachments are removed later: %s", error)

    def find_abandoned(self, before_ns: int) -> list[str]:
        """The names of files that are of no use: of uploads that were not gone on with since."""
        with self._opened() as folder_fd:
            names = set(names_in(folder_fd))
            left = [name for name in names if not _is_needed(name, names)]
            found = {name: status_of(folder_fd, name) for name in left}
            return [
                name for name, status in found.items() if status and status.st_mtime_ns < before_ns
            ]

    def remove_abandoned(self, before_ns: int) -> int:
        """Remove such files; how many."""
        names = self.find_abandoned(before_ns)
        with self._opened() as folder_fd:
            for name in names if folder_fd is not None else ():
                assert folder_fd is not None
                unlink(folder_fd, name)
        return len(names)

    @property
    def _name(self) -> str:
        return self._key + FOLDER_SUFFIX

    @property
    def _path(self) -> str:
        return path_of(self._key, FOLDER_SUFFIX)

    @contextmanager
    def _opened(self, *, create: bool = False) -> Generator[int | None]:
        with naming(self._path), ExitStack() as stack:
            folder_fd = None
            with suppress(FileNotFoundError):
                shard_fd = stack.enter_context(self._directory.open_shard(self._key))
                if create:
                    ensure_directory(self._name, shard_fd)
                folder_fd = self._directory.idle.open(self._name, _FOLDER, dir_fd=shard_fd)
                stack.callback(os.close, folder_fd)
                self._directory.idle.make_room(folder_fd)
            yield folder_fd

    def _write_new(self, folder_fd: int, name: str, data: bytes) -> None:
        unlink(folder_fd, name)
        try:
            with opened_file(folder_fd, name, os.O_WRONLY | os.O_CREAT | os.O_EXCL) as fd:
                write_all(fd, data)
                self._sync(fd)
        except OSError:
            with suppress(OSError):
                unlink(folder_fd, name)
            raise


def remove_folder(parent_fd: int, name: str, max_files: int) -> bool:
    """Remove a folder with its files, or so many of them if it has more; whether it is gone.

    Raises:
        OSError: It holds what is no file, or something can't be removed.
    """
    try:
        folder_fd = os.open(name, _FOLDER, dir_fd=parent_fd)
    except NotADirectoryError:  # somebody put a link or file there
        unlink(parent_fd, name)
        return True
    except FileNotFoundError:
        return True
    try:
        names = names_in(folder_fd)
        for each in names[:max_files]:
            unlink(folder_fd, each)
    finally:
        os.close(folder_fd)
    if len(names) > max_files:
        return False
    os.rmdir(name, dir_fd=parent_fd)
    return True


def _facts_of(folder_fd: int, stem: str) -> bytes | None:
    texts = (
        read_beginning(folder_fd, stem + suffix, MAX_FACTS_BYTES)
        for suffix in (COMPLETE, INCOMPLETE)
    )
    return next((text for text in texts if text is not None), None)


def _title_of(folder_fd: int, stem: str) -> str | None:
    try:
        return AttachmentFacts.parse(_facts_of(folder_fd, stem) or b"").name
    except DamagedError:
        return None


def _is_damaged(folder_fd: int, stem: str) -> bool:
    text = _facts_of(folder_fd, stem)
    if text is None:
        return False  # bytes of a write that was never acknowledged
    try:
        facts = AttachmentFacts.parse(text)
        with opened_file(folder_fd, stem + BYTES) as fd:
            starts = range(0, facts.size, BLOCK_BYTES)
            blocks = (
                read_range(fd, start, min(BLOCK_BYTES, facts.size - start)) for start in starts
            )
            crcs = [zlib.crc32(block) for block in blocks]
    except (DamagedError, FileNotFoundError):
        return True
    return name_of(facts.attachment_id) != stem or crcs != list(facts.crcs)


def _is_needed(name: str, names: Collection[str]) -> bool:
    """Whether a file, among all of its folder, is part of a complete attachment."""
    return name.endswith((COMPLETE, BYTES)) and stem_of(name) + COMPLETE in names
