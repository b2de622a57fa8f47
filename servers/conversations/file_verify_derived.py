"""Looking for damage in what is derived from the files: the index, and that of searches.

Nothing is lost by it. What lags mends itself; what says of itself that it is in step, and is not,
is what only `reindex` mends.
"""

import sqlite3
from collections.abc import Callable
from contextlib import ExitStack, closing

from servers.conversations.file_directory import INDEX_NAME, SEARCH_NAME, StoreDirectory
from servers.conversations.file_index import snapshot
from servers.conversations.file_index_rows import SCHEMA_VERSION, find_held_of
from servers.conversations.file_search_rows import SEARCH_SCHEMA_VERSION, count_held_of
from servers.conversations.file_verify import Examination, Finding

_ADVICE = "nothing is lost; `agentic conversations reindex` makes it anew"


class DerivedCheck:
    """Compares what conversations were found to hold with what is derived of them."""

    def __init__(self, directory: StoreDirectory) -> None:
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
        if found.findings or found.facts is None:
            return
        self._ask(INDEX_NAME, lambda: self._compare_row(found))
        self._ask(SEARCH_NAME, lambda: self._compare_documents(found))

    def findings(self) -> list[Finding]:
        """What was found, when all were compared."""
        found = {
            name: f"is wrong about {count} conversations"
            for name, count in self._wrong.items()
            if count
        } | self._damage
        return [
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

    def _compare_documents(self, found: Examination) -> None:
        connection = self._open.get(SEARCH_NAME)
        if connection is None:
            return
        with snapshot(connection):
            count = count_held_of(connection, found.key, found.generation, found.end)
        self._wrong[SEARCH_NAME] += count not in (None, found.texts)
