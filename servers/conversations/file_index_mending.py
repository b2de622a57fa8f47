"""Mending rows of the index that differ from their files.

Nothing is locked while files are read: a row that somebody changed meanwhile is newer than what was
read, and stays.
"""

import logging
import os
import sqlite3
from collections.abc import Callable, Container, Mapping, Sequence
from typing import Protocol, TypeVar

from servers.conversations.file_directory import (
    ACTIVE,
    KEY_CHARACTERS,
    SHARD_CHARACTERS,
    StoreDirectory,
)
from servers.conversations.file_entries import read_entries
from servers.conversations.file_failures import is_of_one
from servers.conversations.file_index import forget_traces, transaction
from servers.conversations.file_index_advance import find_row_end, put_on, read_on
from servers.conversations.file_index_rows import (
    add_entries,
    drop_entry,
    find_marks,
    find_prefixes,
)
from servers.conversations.file_locks import STRIPES, stripe_of
from servers.conversations.file_projection import Entry, Mark
from servers.conversations.file_sealed import parse_suffix

_log = logging.getLogger(__name__)
_T = TypeVar("_T")

ALL_STRIPES = range(STRIPES)


class Run(Protocol):
    """Does work on an index."""

    def __call__(self, work: Callable[[sqlite3.Connection], _T], /) -> _T:
        """What `work` gives."""
        ...


def mend_folders(run: Run, directory: StoreDirectory) -> None:
    """Bring all rows of an index that `run` works on in step."""
    prefixes = run(lambda connection: find_prefixes(connection, SHARD_CHARACTERS))
    for folder in prefixes | set(directory.shards()):
        mend_folder(run, directory, folder, ALL_STRIPES)


def mend_folder(run: Run, directory: StoreDirectory, folder: str, stripes: Container[int]) -> int:
    """Mend the rows of a folder that differ from their files; how many there were."""
    marks = run(lambda connection: find_marks(connection, folder))
    lagging = {
        key: status
        for key, status in _find_differing(directory, folder, marks).items()
        if stripe_of(key) in stripes
    }
    _mend(run, directory, folder, marks, lagging)
    return len(lagging)


def mend_files(run: Run, directory: StoreDirectory, keys: Sequence[str]) -> None:
    """Mend the rows of some conversations where they differ from their files."""
    held = run(lambda connection: [find_marks(connection, key) for key in keys])
    for key, marks in zip(keys, held, strict=True):
        status = directory.status_of(key)
        if not _is_held(marks.get(key), status) and _mend(
            run, directory, key, marks, {key: status}
        ):
            run(forget_traces)


def _mend(
    run: Run,
    directory: StoreDirectory,
    prefix: str,
    marks: Mapping[str, Mark],
    lagging: Mapping[str, os.stat_result | None],
) -> int:
    """Read on where that is enough, else anew; how many were read anew.

    `prefix`: of the keys whose `marks` are given.
    """
    rest = {
        key: status
        for key, status in lagging.items()
        if status is None or key not in marks or not _go_on(run, directory, key)
    }
    for entries in read_entries(directory, prefix, rest):
        run(lambda connection, entries=entries: _put(connection, prefix, marks, entries))
    return len(rest)


def _go_on(run: Run, directory: StoreDirectory, key: str) -> bool:
    row = run(lambda connection: find_row_end(connection, key))
    try:
        entry = row and read_on(directory, key, row)
    except OSError as error:
        if not is_of_one(error):
            raise
        return False
    if row is None or entry is None:
        return False
    run(lambda connection: put_on(connection, key, row, entry))
    return True


def _find_differing(
    directory: StoreDirectory, folder: str, marks: Mapping[str, Mark]
) -> dict[str, os.stat_result | None]:
    try:
        files = directory.all_files_in(folder)
    except OSError as error:
        if not is_of_one(error):
            raise  # it is not known what is there
        _log.warning("the folder %s of conversations cannot be read: %s", folder, error)
        return {}
    active: dict[str, os.stat_result] = {}
    known = set(marks)
    for name, status in files.items():
        if name.endswith(ACTIVE):
            active[name.removesuffix(ACTIVE)] = status
        elif parse_suffix(name[KEY_CHARACTERS:]):
            known.add(name[:KEY_CHARACTERS])
    gone = {key: None for key in known if key not in active}
    changed = {
        key: status for key, status in active.items() if not _is_held(marks.get(key), status)
    }
    return gone | changed


def _is_held(mark: Mark | None, status: os.stat_result | None) -> bool:
    """Whether a row holds what a file does, as far as its status tells."""
    if mark is None or status is None:
        return mark is None and status is None
    return (mark.end - mark.base, mark.mtime_ns) == (status.st_size, status.st_mtime_ns)


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
