"""Looking for damage in what is derived from the files: the index, and that of searches.

Nothing is lost by it. What lags mends itself; what says of itself that it is in step, and is not,
is what only `reindex` mends. The other way round the index knows of losses that no file can tell
of: where it had read further than a file goes now, or there is no file any more.
"""

import sqlite3
from collections.abc import Callable
from contextlib import ExitStack, closing

from servers.conversations.file_directory import (
    ACTIVE,
    INDEX_NAME,
    SEARCH_NAME,
    StoreDirectory,
    path_of,
)
from servers.conversations.file_findings import Examination, Finding
from servers.conversations.file_index import snapshot
from servers.conversations.file_index_rows import (
    SCHEMA_VERSION,
    HeldOf,
    find_held_of,
    find_living,
    find_mark,
)
from servers.conversations.file_search_rows import SEARCH_SCHEMA_VERSION, count_held_of

_ADVICE = "nothing is lost; `agentic conversations reindex` makes it anew"
_RESTORE = "put it back from a copy, if there is one"


class DerivedCheck:
    """Compares what conversations were found to hold with what is derived of them."""

    def __init__(self, directory: StoreDirectory) -> None:
        self._directory = directory
        self._seen: set[str] = set()
        self._losses: list[Finding] = []
        self._stack = ExitStack()
        self._damage: dict[str, str] = {}
        self._wrong = {INDEX_NAME: 0, SEARCH_NAME: 0}
        self._open: dict[str, sqlite3.Connection] = {}
        for name, version in ((INDEX_NAME, SCHEMA_VERSION), (SEARCH_NAME, SEARCH_SCHEMA_VERSION)):
            path = directory.root / name
            if path.is_dir():
                self._damage[name] = "is a directory, so nothing can be looked up: move it away"
            elif path.is_file():
                self._ask(name, lambda name=name, v=version: self._look_at(directory, name, v))

    def close(self) -> None:
        """Close the files."""
        self._stack.close()

    def compare(self, found: Examination) -> None:
        """Compare a conversation that was read just now; one that lags is not wrong."""
        self._seen.add(found.key)
        if found.findings or found.facts is None:
            return
        self._ask(INDEX_NAME, lambda: self._compare_row(found))
        self._ask(SEARCH_NAME, lambda: self._compare_documents(found))

    def findings(self) -> list[Finding]:
        """What was found, when all were compared."""
        self._ask(INDEX_NAME, self._look_for_missing)
        found = {
            name: f"is wrong about {count} conversations"
            for name, count in self._wrong.items()
            if count
        } | self._damage
        return self._losses + [
            Finding(name, None, f"{what}: {_ADVICE}", is_damage=False)
            for name, what in found.items()
        ]

    def _ask(self, name: str, work: Callable[[], None]) -> None:
        if name in self._damage:
            return
        try:
            work()
        except sqlite3.OperationalError as error:
            if not error.sqlite_errorname.startswith("SQLITE_BUSY"):
                self._damage[name] = f"cannot be read ({error})"
        # ValueError: text that is no UTF-8, and whatever a row should not hold.
        except (sqlite3.Error, ValueError) as error:
            self._damage[name] = f"is damaged ({error})"

    def _look_at(self, directory: StoreDirectory, name: str, version: int) -> None:
        uri = (directory.root / name).absolute().as_uri()
        connection = sqlite3.connect(
            f"{uri}?mode=ro", uri=True, isolation_level=None, check_same_thread=False
        )
        self._stack.enter_context(closing(connection))
        if connection.execute("PRAGMA user_version").fetchone()[0] != version:
            return  # it is made anew by whoever uses it next
        (found,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
        if found != "ok":
            self._damage[name] = f"is damaged ({' '.join(found.split())})"
            return
        self._open[name] = connection

    def _compare_row(self, found: Examination) -> None:
        connection = self._open.get(INDEX_NAME)
        if connection is None:
            return
        projection = found.projection
        expected = {
            message_id: annotation.annotations
            for message_id, annotation in projection.annotations.items()
        }
        with snapshot(connection):
            held = find_held_of(connection, found.key)
        if held is None or held.end != (found.generation, found.end):
            if held is not None and self._is_cut(connection, found, held):
                what = f"is shorter than it was: of {held.count} messages the index had read "
                self._lose(found.key, f"{what}{found.messages} are left; {_RESTORE}")
            return
        tags = sorted(set(found.facts.tags)) if found.facts else []
        is_right = (
            held.facts == found.facts
            and held.count == found.messages
            and held.figures == projection.figures
            and held.tags == tags
            and held.annotations == expected
        )
        self._wrong[INDEX_NAME] += not is_right

    def _is_cut(self, connection: sqlite3.Connection, found: Examination, held: HeldOf) -> bool:
        """Whether the file ends before what was read of it, and is not just being written."""
        if held.end[0] != found.generation or held.end[1] <= found.end:
            return False
        status = self._directory.files_in(found.key).get(found.key)
        mark = find_mark(connection, found.key)  # after the file: it is changed first
        return status is not None and mark is not None and status.st_size < mark.end - mark.base

    def _look_for_missing(self) -> None:
        """Conversations that the index knows and that have no file; one that was read has one."""
        connection = self._open.get(INDEX_NAME)
        if connection is None:
            return
        for key, count in find_living(connection):
            if key not in self._seen and key not in self._directory.files_in(key):
                known = "1 message" if count == 1 else f"{count} messages"
                self._lose(key, f"is gone, of which the index knows {known}; {_RESTORE}")

    def _lose(self, key: str, what: str) -> None:
        self._losses.append(Finding(path_of(key, ACTIVE), None, what))

    def _compare_documents(self, found: Examination) -> None:
        connection = self._open.get(SEARCH_NAME)
        if connection is None:
            return
        with snapshot(connection):
            count = count_held_of(connection, found.key, found.generation, found.end)
        self._wrong[SEARCH_NAME] += count not in (None, found.texts)
