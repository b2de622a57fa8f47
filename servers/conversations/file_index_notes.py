"""What writers tell the index: which files are about to be ahead of it, and what can't wait."""

import logging
import sqlite3
import threading
import time
from collections.abc import Callable

from servers.conversations.file_catalogue_check import CatalogueCheck
from servers.conversations.file_conversation import ConversationFile
from servers.conversations.file_index import FileIndex, forget_traces, transaction
from servers.conversations.file_index_rows import put_entry
from servers.conversations.file_lag import LagSigns
from servers.conversations.file_projection import Entry
from servers.conversations.store_errors import UnavailableError

_log = logging.getLogger(__name__)

_PAUSE_SECONDS = 1.0
_MOST_LAGGING_BYTES = 1024 * 1024
"""Of one conversation. So much is soon read by whoever asks next; of many writers each does it."""


class IndexNotes:
    """Of one store. An append writes a name, now and then; its row follows when somebody asks."""

    def __init__(self, index: FileIndex, signs: LagSigns, check: CatalogueCheck) -> None:
        self._index = index
        self._signs = signs
        self._check = check
        self._turn = threading.Lock()
        self._unusable_until = 0.0

    def announce(self, stripe: int, key: str) -> bool:
        """Say that a conversation's file is about to be ahead of its row. Under the lock.

        Returns whether it was not until now, whoever wrote to it last.

        Raises:
            OSError: That could not be said.
        """
        named = self._signs.name(stripe, key)
        if named == "full":
            self.bring_on(stripe)
            named = self._signs.name(stripe, key)
        return named == "new"

    def note(self, stripe: int, opened: ConversationFile, *, is_first: bool) -> None:
        """Take over what a verb wrote, if it can't wait or has become much. Under the lock.

        The file holds it, and is announced, so a failure here is none of the verb. `is_first`: what
        `announce` said.
        """
        state, begun = opened.state, opened.begun
        if state is None:
            return
        if begun is not None:
            self._try(lambda: self._put(opened.key, begun))
        elif not is_first:
            if state.end - state.noted <= _MOST_LAGGING_BYTES:
                return
            self.bring_on(stripe)
        state.noted = state.end

    def bring_on(self, stripe: int) -> None:
        """Take over all that was written under a lock, which is held."""
        if self._try(lambda: self._check.mend_named(stripe)):
            self._signs.clear(stripe)
        else:
            self._signs.give_up(stripe)

    def bring_on_all(self) -> None:
        """Take over what was announced, as far as nobody is writing: whoever is next finds less."""
        self._try(self._check.mend_all_named)

    def _put(self, key: str, entry: Entry) -> None:
        def work(connection: sqlite3.Connection) -> None:
            with transaction(connection):
                put_entry(connection, key, entry)
            if not entry.alive:
                forget_traces(connection)

        self._index.run(work)

    def _try(self, work: Callable[[], None]) -> bool:
        """Do what appends would wait for; False, at once for a while, if the index can't be used.

        Or all would wait one after another for an index that somebody keeps locked.
        """
        with self._turn:
            if time.monotonic() < self._unusable_until:
                return False
            try:
                work()
            except (UnavailableError, OSError) as error:
                _log.warning("the conversation index lags behind: %s", error)
                self._unusable_until = time.monotonic() + _PAUSE_SECONDS
                return False
        return True
