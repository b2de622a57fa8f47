"""The index kept in step with the files: what spans conversations, and figures of one."""

import logging
import os
import sqlite3
from contextlib import closing
from typing import Any

from servers.conversations.contract import Conversation, Delivery
from servers.conversations.file_conversation import ConversationFile
from servers.conversations.file_directory import SHARD_CHARACTERS, StoreDirectory, key_of
from servers.conversations.file_index import FileIndex, check_integrity, transaction
from servers.conversations.file_index_rows import (
    advance_entry,
    drop_entry,
    find_annotations,
    find_figures,
    find_mark,
    find_marks,
    find_prefixes,
    put_entry,
    select_deliveries,
    select_newest,
)
from servers.conversations.file_projection import Entry, Figures, Mark, project_file
from servers.conversations.store import UnavailableError

_log = logging.getLogger(__name__)


class Catalogue:
    """The index of one store's directory."""

    def __init__(self, directory: StoreDirectory, index: FileIndex) -> None:
        self._directory = directory
        self._index = index

    def note(self, opened: ConversationFile) -> None:
        """Take over what a verb wrote. The file holds it, so a failure here is none of the verb."""
        change = opened.change
        if change is None:
            return

        def work(connection: sqlite3.Connection) -> None:
            key, end, entry = opened.key, change.previous_end, change.entry
            # A plain append changes one row and needs no transaction, which saves a tenth of it.
            if entry.projection.is_plain and end and advance_entry(connection, key, end, entry):
                return
            with transaction(connection):
                if end is None:
                    put_entry(connection, key, entry)
                    return
                has_advanced = advance_entry(connection, key, end, entry)
            if not has_advanced:
                self._put_whole(connection, opened)

        try:
            self._index.run(work)
        except (UnavailableError, OSError) as error:
            _log.warning("the conversation index lags behind: %s", error)
            self._index.is_checked = False

    def find_figures(self, opened: ConversationFile) -> Figures:
        """Sums over a conversation that exists."""

        def work(connection: sqlite3.Connection) -> Figures:
            self._catch_up(connection, opened)
            return find_figures(connection, opened.key)

        return self._index.run(work)

    def find_annotations(
        self, opened: ConversationFile, *, before_seq: int, limit: int | None
    ) -> dict[str, dict[str, Any]]:
        """See `file_index_rows.find_annotations`."""

        def work(connection: sqlite3.Connection) -> dict[str, dict[str, Any]]:
            self._catch_up(connection, opened)
            return find_annotations(connection, opened.key, before_seq=before_seq, limit=limit)

        return self._index.run(work)

    def select_newest(
        self,
        owner: str,
        *,
        tag: str | None,
        after: tuple[str, str] | None,
        offset: int,
        limit: int,
        now: str,
    ) -> list[Conversation]:
        """See `file_index_rows.select_newest`."""

        def work(connection: sqlite3.Connection) -> list[Conversation]:
            self._check_all(connection)
            return select_newest(
                connection, owner, tag=tag, after=after, offset=offset, limit=limit, now=now
            )

        return self._index.run(work)

    def select_deliveries(
        self,
        state: str,
        *,
        owner: str | None,
        after: tuple[str, str, int] | None,
        limit: int,
        now: str,
    ) -> list[tuple[Delivery, tuple[str, str, int]]]:
        """See `file_index_rows.select_deliveries`."""

        def work(connection: sqlite3.Connection) -> list[tuple[Delivery, tuple[str, str, int]]]:
            self._check_all(connection)
            return select_deliveries(
                connection, state, owner=owner, after=after, limit=limit, now=now
            )

        return self._index.run(work)

    def _catch_up(self, connection: sqlite3.Connection, opened: ConversationFile) -> None:
        state, mark = opened.state, find_mark(connection, opened.key)
        assert state is not None
        if mark is None or (mark.generation, mark.end) != (state.generation, state.end):
            self._put_whole(connection, opened)

    def _put_whole(self, connection: sqlite3.Connection, opened: ConversationFile) -> None:
        entry = opened.project()
        if entry is not None:
            with transaction(connection):
                put_entry(connection, opened.key, entry)

    def _check_all(self, connection: sqlite3.Connection) -> None:
        """Compare all rows with the files once, for what happened while nobody looked."""
        if self._index.is_checked:
            return
        check_integrity(connection)
        shards = find_prefixes(connection, SHARD_CHARACTERS) | set(self._directory.shards())
        for shard in shards:
            self._check_shard(connection, shard)
        self._index.is_checked = True

    def _check_shard(self, connection: sqlite3.Connection, shard: str) -> None:
        differing: dict[str, Mark | None] = {**find_marks(connection, shard)}
        try:
            files = self._directory.files_in(shard)
        except OSError as error:
            _log.warning("the folder %s of conversations cannot be read: %s", shard, error)
            files = {}
        for key, status in files.items():
            mark = differing.get(key)
            if mark and (mark.end, mark.mtime_ns) == (status.st_size, status.st_mtime_ns):
                del differing[key]
            elif mark is None:
                differing[key] = None
        if differing:
            # Read within the transaction, or what a writer notes meanwhile would be overwritten.
            with transaction(connection):
                for key in differing:
                    entry = self._read_anew(key)
                    if entry is None:
                        drop_entry(connection, key)
                    else:
                        put_entry(connection, key, entry)

    def _read_anew(self, key: str) -> Entry | None:
        try:
            fd = self._directory.open_file(key)
            if fd is None:
                return None
            with closing(os.fdopen(fd, "rb")):
                entry = project_file(fd)
        except OSError as error:
            _log.warning("the conversation file %s cannot be read: %s", key, error)
            return None
        if entry is None:
            _log.warning("the conversation file %s is damaged: nothing tells whose it is", key)
        elif key_of(entry.facts.owner, entry.facts.conversation_id) != key:
            _log.warning("the conversation file %s holds another conversation", key)
        else:
            return entry
        return None
