"""Keeping the index in step with the files: rows that differ from theirs are read anew.

A folder at a time, so that whatever else needs the index waits for a few rows only, also when all
of them are missing. Nothing is locked while files are read: a row that somebody changed meanwhile
is newer than what was read, and stays.
"""

import logging
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from servers.conversations.file_directory import SHARD_CHARACTERS, StoreDirectory
from servers.conversations.file_entries import read_entries
from servers.conversations.file_index import (
    FileIndex,
    check_integrity,
    forget_traces,
    transaction,
)
from servers.conversations.file_index_rows import (
    add_entries,
    drop_entry,
    find_marks,
    find_prefixes,
)
from servers.conversations.file_lag import LagSigns
from servers.conversations.file_locks import STRIPES, stripe_of
from servers.conversations.file_projection import Entry, Mark

_log = logging.getLogger(__name__)
_T = TypeVar("_T")

_ALL_STRIPES = range(STRIPES)
_TELL_SECONDS = 1.0
_TELL_AGAIN_SECONDS = 5.0


class _Run(Protocol):
    """Does work on an index."""

    def __call__(self, work: Callable[[sqlite3.Connection], _T], /) -> _T: ...


class _ReopenedError(Exception):
    """The index is another one than the one that was looked at."""


@dataclass(slots=True)
class _Round:
    """Once through the folders."""

    began: float
    opening: int
    signs: Sequence[int]
    stripes: Container[int]
    """Whose rows may lag."""
    folders: list[str]
    """Still to be looked at."""
    total: int
    tell_at: float
    read: int = 0
    """Conversations, so far."""
    is_told: bool = False


class CatalogueCheck:
    """Knows how far the index of one store is in step."""

    def __init__(
        self,
        directory: StoreDirectory,
        index: FileIndex,
        signs: LagSigns,
        *,
        tell_seconds: float = _TELL_SECONDS,
    ) -> None:
        """`tell_seconds`: what takes longer is told."""
        self._directory = directory
        self._index = index
        self._signs = signs
        self._tell_seconds = tell_seconds
        self._turn = threading.Lock()
        self._round: _Round | None = None
        self._opening = 0
        self._seen: Sequence[int] = ()
        self._last_began = float("-inf")

    def is_about(self, opening: int) -> bool:
        """Whether all rows were compared with the files since this opening of the index."""
        return self._opening == opening > 0

    def run(self) -> None:
        """See to it that the rows hold all that was written before.

        Raises:
            UnavailableError: The index cannot be used.
            OSError: A file cannot.
        """
        began = time.monotonic()
        while not self.go_on(began, float("inf")):
            pass

    def go_on(self, since: float, seconds: float) -> bool:
        """Do a part of that, for about so long; whether what was written before `since` is there.

        Raises:
            UnavailableError: The index cannot be used.
            OSError: A file cannot.
        """
        if self._is_current():
            return True
        with self._turn:
            if self._last_began >= since or self._is_current():
                return True
            until = time.monotonic() + seconds
            going, self._round = self._round or self._begin(), None
            try:
                is_done = self._look_at_folders(going, until)
            except _ReopenedError:
                return False
            if is_done:
                self._finish(going)
            else:
                self._round = going
            return is_done and going.began >= since

    def _is_current(self) -> bool:
        return self._index.opening == self._opening and self._signs.read() == self._seen

    def _begin(self) -> _Round:
        began = time.monotonic()
        signs = self._signs.read()  # first: what is written from now on need not be seen

        def look(connection: sqlite3.Connection) -> tuple[int, set[str]]:
            if not self.is_about(self._index.opening):
                check_integrity(connection)
            return self._index.opening, find_prefixes(connection, SHARD_CHARACTERS)

        opening, folders = self._index.run(look)
        stripes: Container[int] = _ALL_STRIPES
        if self.is_about(opening):
            pairs = enumerate(zip(signs, self._seen, strict=True))
            stripes = {stripe for stripe, (sign, seen) in pairs if sign != seen}
        ordered = sorted(folders | set(self._directory.shards()))
        # Processes that begin at once begin at different places, and so share the work.
        first = os.getpid() % max(1, len(ordered))
        ordered = ordered[first:] + ordered[:first]
        tell_at = began + self._tell_seconds
        return _Round(began, opening, signs, stripes, ordered, len(ordered), tell_at)

    def _look_at_folders(self, going: _Round, until: float) -> bool:
        def run(work: Callable[[sqlite3.Connection], _T]) -> _T:
            def work_on_same(connection: sqlite3.Connection) -> _T:
                if self._index.opening != going.opening:
                    raise _ReopenedError
                return work(connection)

            return self._index.run(work_on_same)

        while going.folders:
            going.read += mend_folder(run, self._directory, going.folders.pop(), going.stripes)
            now = time.monotonic()
            if going.read and now > going.tell_at:
                self._tell(going, now)
            if now > until:
                return not going.folders
        return True

    def _finish(self, going: _Round) -> None:
        if going.read:
            self._index.run(forget_traces)
        self._opening, self._seen, self._last_began = going.opening, going.signs, going.began
        if going.is_told:
            seconds = time.monotonic() - going.began
            _log.warning(
                "the conversation index is in step with the files: %d conversations were read "
                "in %.1f seconds",
                *(going.read, seconds),
            )

    def _tell(self, going: _Round, now: float) -> None:
        done = going.total - len(going.folders)
        _log.warning(
            "the conversation index is made anew where it differs from the files: %d %% done, "
            "%d conversations read; listings and searches wait for it",
            *(100 * done // going.total, going.read),
        )
        going.is_told = True
        going.tell_at = now + _TELL_AGAIN_SECONDS


def mend_folders(run: _Run, directory: StoreDirectory) -> None:
    """Bring all rows of an index that `run` works on in step."""
    prefixes = run(lambda connection: find_prefixes(connection, SHARD_CHARACTERS))
    for folder in prefixes | set(directory.shards()):
        mend_folder(run, directory, folder, _ALL_STRIPES)


def mend_folder(run: _Run, directory: StoreDirectory, folder: str, stripes: Container[int]) -> int:
    """Mend the rows of a folder that differ from their files; how many there were."""
    marks = run(lambda connection: find_marks(connection, folder))
    lagging = {
        key: status
        for key, status in _find_differing(directory, folder, marks).items()
        if stripe_of(key) in stripes
    }
    for entries in read_entries(directory, folder, lagging):
        run(lambda connection, entries=entries: _put(connection, folder, marks, entries))
    return len(lagging)


def _find_differing(
    directory: StoreDirectory, folder: str, marks: Mapping[str, Mark]
) -> dict[str, os.stat_result | None]:
    try:
        files = directory.files_in(folder)
    except OSError as error:
        _log.warning("the folder %s of conversations cannot be read: %s", folder, error)
        files = {}
    differing: dict[str, os.stat_result | None] = {key: None for key in marks if key not in files}
    for key, status in files.items():
        mark = marks.get(key)
        held = mark and (mark.end - mark.base, mark.mtime_ns)
        if held != (status.st_size, status.st_mtime_ns):
            differing[key] = status
    return differing


def _put(
    connection: sqlite3.Connection,
    folder: str,
    before: Mapping[str, Mark],
    entries: Mapping[str, Entry | None],
) -> None:
    with transaction(connection):
        marks = find_marks(connection, folder)
        own = {key: new for key, new in entries.items() if marks.get(key) == before.get(key)}
        for key in own.keys() & marks.keys():
            drop_entry(connection, key)
        add_entries(connection, {key: new for key, new in own.items() if new is not None})
