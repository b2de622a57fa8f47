"""Keeping the index in step with the files: rows that differ from theirs are read anew.

A folder at a time, so that whatever else needs the index waits for a few rows only, also when all
of them are missing.
"""

import logging
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass
from typing import TypeVar

from servers.conversations.file_directory import SHARD_CHARACTERS, StoreDirectory
from servers.conversations.file_index import (
    FileIndex,
    check_integrity,
    forget_traces,
)
from servers.conversations.file_index_mending import ALL_STRIPES, mend_files, mend_folder
from servers.conversations.file_index_rows import (
    find_prefixes,
)
from servers.conversations.file_lag import LagSigns
from servers.conversations.file_locks import name_of, tried

_log = logging.getLogger(__name__)
_T = TypeVar("_T")

_TELL_SECONDS = 1.0
_TELL_AGAIN_SECONDS = 5.0


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

    @property
    def come_to(self) -> tuple[int, int]:
        """How many folders were looked at, and of how many, where a part of them is left."""
        going = self._round
        return (going.total - len(going.folders), going.total) if going else (0, 0)

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
        numbers, named = self._signs.read()
        if named and self.is_about(self._index.opening):  # else all are compared anyhow
            self.mend_all_named()
            numbers, _ = self._signs.read()  # a writer may have given some up meanwhile
        return self._is_current(numbers) or self._go_on_with_all(since, seconds)

    def mend_all_named(self) -> None:
        """See to it that the rows hold all that was written to files that are named.

        Raises:
            UnavailableError: The index cannot be used.
            OSError: A file cannot.
        """
        with self._turn:
            for stripe in self._signs.read()[1]:
                # Nobody waits for a writer: while one is there the names just stay.
                with tried(self._directory, name_of(stripe)) as held:
                    self.mend_named(stripe)
                    if held is not None:
                        self._signs.clear(stripe)

    def mend_named(self, stripe: int) -> None:
        """The same for one lock's files; whoever holds the lock may clear the names then."""
        mend_files(self._index.run, self._directory, self._signs.read_names(stripe))

    def _go_on_with_all(self, since: float, seconds: float) -> bool:
        with self._turn:
            if self._last_began >= since or self._is_current(self._signs.read()[0]):
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

    def _is_current(self, numbers: Sequence[int]) -> bool:
        return self._index.opening == self._opening and numbers == self._seen

    def _begin(self) -> _Round:
        began = time.monotonic()
        signs, _ = self._signs.read()  # first: what is written from now on need not be seen

        def look(connection: sqlite3.Connection) -> tuple[int, set[str]]:
            if not self.is_about(self._index.opening):
                check_integrity(connection)
            return self._index.opening, find_prefixes(connection, SHARD_CHARACTERS)

        opening, folders = self._index.run(look)
        stripes: Container[int] = ALL_STRIPES
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
                "the conversation index is in step with the files: conversations read: "
                "%d, in %.1f seconds",
                *(going.read, seconds),
            )

    def _tell(self, going: _Round, now: float) -> None:
        done = going.total - len(going.folders)
        _log.warning(
            "the conversation index is made anew where it differs from the files: %d %% done, "
            "conversations read: %d; listings and searches wait for it",
            *(100 * done // going.total, going.read),
        )
        going.is_told = True
        going.tell_at = now + _TELL_AGAIN_SECONDS
