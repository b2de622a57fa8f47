"""The index kept in step with the files: what spans conversations, and figures of one."""

import logging
import sqlite3
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TypeVar

from servers.conversations.contract import Conversation
from servers.conversations.contract_results import Delivery
from servers.conversations.figures import Figures
from servers.conversations.file_catalogue_check import CatalogueCheck
from servers.conversations.file_directory import StoreDirectory
from servers.conversations.file_expiry import NEVER, Expiry, Horizon
from servers.conversations.file_index import (
    FileIndex,
    IndexLayout,
    transaction,
)
from servers.conversations.file_index_advance import RowEnd, find_row_end, put_on
from servers.conversations.file_index_mending import mend_folders
from servers.conversations.file_index_notes import IndexNotes
from servers.conversations.file_index_rows import (
    SCHEMA,
    SCHEMA_VERSION,
    find_annotations,
    find_figures,
    put_entry,
)
from servers.conversations.file_index_selects import (
    find_totals,
    select_deliveries,
    select_gone,
    select_newest,
    select_owners,
)
from servers.conversations.file_lag import LagSigns
from servers.conversations.file_pages import Annotations
from servers.conversations.file_projection import Entry, Projection
from servers.conversations.file_reader import ConversationReader
from servers.conversations.store_errors import UnavailableError

_log = logging.getLogger(__name__)
_T = TypeVar("_T")

_MAX_OPENINGS = 5
"""So often a listing is begun again because the index was replaced meanwhile."""
CATALOGUE_LAYOUT = IndexLayout(
    "index of the conversation store", SCHEMA_VERSION, SCHEMA, survives_power_loss=False
)


class Catalogue:
    """The index of one store's directory."""

    def __init__(
        self, directory: StoreDirectory, index: FileIndex, signs: LagSigns, expiry: Expiry = NEVER
    ) -> None:
        self._directory = directory
        self._index = index
        self._expiry = expiry
        self._check = CatalogueCheck(directory, index, signs)
        self._memory_turn = threading.Lock()
        self.notes = IndexNotes(index, signs, self._check)

    def find_figures(self, opened: ConversationReader) -> Figures:
        """Sums over a conversation that exists."""
        found = self._look_up(opened, lambda connection: find_figures(connection, opened.key))
        return found or self._project(opened).figures

    def find_annotations(
        self,
        opened: ConversationReader,
        *,
        from_seq: int = 0,
        before_seq: int,
        limit: int | None = None,
    ) -> Annotations:
        """See `file_index_rows.find_annotations`; here there may be more than `limit`."""
        found = self._look_up(
            opened,
            lambda connection: find_annotations(
                connection, opened.key, from_seq=from_seq, before_seq=before_seq, limit=limit
            ),
        )
        if found is not None:
            return found
        annotations = self._project(opened).annotations.values()
        return {
            a.message_id: a.annotations
            for a in annotations
            if from_seq <= a.message_seq < before_seq
        }

    def select_newest(
        self,
        owner: str,
        *,
        tag: str | None,
        after: tuple[str, str] | None,
        offset: int,
        limit: int,
    ) -> list[Conversation]:
        """See `file_index_selects.select_newest`."""
        return self._select(
            lambda connection: select_newest(
                connection,
                owner,
                tag=tag,
                after=after,
                offset=offset,
                limit=limit,
                horizon=self._expiry.look(),
            )
        )

    def select_deliveries(
        self,
        state: str,
        *,
        owner: str | None,
        after: tuple[str, str, int] | None,
        limit: int,
    ) -> list[tuple[Delivery, tuple[str, str, int]]]:
        """See `file_index_selects.select_deliveries`."""
        return self._select(
            lambda connection: select_deliveries(
                connection,
                state,
                owner=owner,
                after=after,
                limit=limit,
                horizon=self._expiry.look(),
            )
        )

    def select_owners(self, *, after: str, limit: int) -> list[str]:
        """See `file_index_selects.select_owners`."""
        return self._select(
            lambda connection: select_owners(
                connection, after=after, limit=limit, horizon=self._expiry.look()
            )
        )

    def discard(self) -> None:
        """Throw the index away; the next question makes it anew."""
        self._index.discard()

    def find_totals(self) -> tuple[int, int, int, int, int]:
        """See `file_index_selects.find_totals`."""
        return self._select(lambda connection: find_totals(connection, self._expiry.look()))

    def find_gone(self, shard: str, keys: Sequence[str]) -> list[tuple[str, str]]:
        """See `file_index_selects.select_gone`; as far as the index has come, which may lag.

        Raises:
            UnavailableError: The index cannot be used.
        """
        self._check.mend_all_named()
        return self._index.run(
            lambda connection: select_gone(connection, shard, keys, self._expiry.look())
        )

    def horizon(self) -> Horizon:
        """What lies beyond it has expired."""
        return self._expiry.look()

    def consult(self, work: Callable[[sqlite3.Connection], _T]) -> _T:
        """Do `work` on rows that are in step with the files; waits until they are.

        Raises:
            UnavailableError: The index cannot be used.
        """
        answer: list[_T] = []

        def work_on_checked(connection: sqlite3.Connection) -> None:
            if self._check.is_about(self._index.opening):
                answer.append(work(connection))

        for _ in range(_MAX_OPENINGS):
            self._check.run()
            self._index.run(work_on_checked)
            if answer:
                return answer[0]
        raise UnavailableError(
            "the conversation index is damaged again and again: is something wrong with the disk?"
        )

    def recall_count(self, key: str) -> int | None:
        """How many messages of a conversation there were when it was last looked at, if known."""
        with suppress(UnavailableError, OSError):
            row = self._index.run(lambda connection: find_row_end(connection, key))
            return row and row.message_count
        return None

    @property
    def is_checked(self) -> bool:
        """Whether all rows were compared with the files since the index was opened."""
        return self._check.is_about(self._index.opening)

    @property
    def checked_folders(self) -> tuple[int, int]:
        """How far `go_on_checking` has come: folders, and of how many."""
        return self._check.come_to

    def go_on_checking(self, since: float, seconds: float) -> bool:
        """Do a part of what `consult` would wait for; see `CatalogueCheck.go_on`.

        True also if the index can't be used: whoever asks it finds out.
        """
        try:
            return self._check.go_on(since, seconds)
        except (UnavailableError, OSError):
            return True

    def _look_up(
        self, opened: ConversationReader, query: Callable[[sqlite3.Connection], _T]
    ) -> _T | None:
        """What a conversation's row says; None if it lags too far, or can't be read."""
        state = opened.state

        def work(connection: sqlite3.Connection) -> tuple[_T | None, RowEnd | None]:
            row = find_row_end(connection, opened.key)
            if state and row and (row.generation, row.end) == (state.generation, state.end):
                return query(connection), None
            return None, row

        try:
            found, row = self._index.run(work)
            entry = opened.read_on(row) if row else None
            if row and entry:
                self._index.run(lambda connection: put_on(connection, opened.key, row, entry))
                found, _ = self._index.run(work)
        except (UnavailableError, OSError) as error:
            _log.warning("a conversation is read without the index: %s", error)
            return None
        return found

    def _project(self, opened: ConversationReader) -> Projection:
        """What the row should say, which is put in if that is possible."""
        entry = opened.project()
        # Whoever compares all files cannot know whose a file without facts is.
        if opened.state and opened.state.facts:
            with suppress(UnavailableError, OSError):
                self._index.run(lambda connection: _put_whole(connection, opened.key, entry))
        return entry.projection if entry else Projection()

    def _select(self, query: Callable[[sqlite3.Connection], _T]) -> _T:
        try:
            return self.consult(query)
        except (UnavailableError, OSError) as error:
            _log.warning("conversations are listed from memory: %s", error)
        with self._memory_turn:
            mend_folders(self._index.run_in_memory, self._directory)
            return self._index.run_in_memory(query)


def _put_whole(connection: sqlite3.Connection, key: str, entry: Entry | None) -> None:
    if entry is not None:
        with transaction(connection):
            put_entry(connection, key, entry)
