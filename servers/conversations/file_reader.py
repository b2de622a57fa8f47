"""One conversation's files as a verb reads them, opened under its lock for the verb's length."""

import os
import time
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from typing import Any

from servers.conversations.contract import Message
from servers.conversations.file_attachment_folder import AttachmentFolder
from servers.conversations.file_directory import StoreDirectory, key_of
from servers.conversations.file_expiry import Expiry, Horizon
from servers.conversations.file_forward import Found, Start, read_forward
from servers.conversations.file_history import History, Place
from servers.conversations.file_index_advance import RowEnd, read_on_opened
from servers.conversations.file_layout import has_sealed
from servers.conversations.file_pages import (
    Annotations,
    Page,
    PageEnd,
    find_annotations,
    find_message,
    read_page,
)
from servers.conversations.file_projection import Entry, project_file
from servers.conversations.file_records import NOTHING, Facts, Progress, Record
from servers.conversations.file_segment import lines_backward, lines_forward, read_range
from servers.conversations.file_snapshot import Snapshot
from servers.conversations.file_state import (
    MARK_BYTES,
    ConversationState,
    load_all_ids,
    load_recent,
    read_record,
    read_state,
)
from servers.conversations.file_whole_history import read_history
from servers.conversations.store_errors import (
    ConflictError,
    InvalidError,
    NotFoundError,
    UnavailableError,
)


class ConversationReader:
    """What reading verbs need of one conversation. Made and used by one thread, under the lock.

    A conversation that was deleted or has expired does not exist, though its file does.
    """

    def __init__(
        self,
        directory: StoreDirectory,
        owner: str,
        conversation_id: str,
        sync: Callable[[int], None],
        expiry: Expiry,
    ) -> None:
        self.key = key_of(owner, conversation_id)
        self.now = ""
        self.state: ConversationState | None = None
        self.conversation_id = conversation_id
        self._directory = directory
        self._place = Place(directory, self.key)
        self._sync = sync
        self._owner = owner
        self._expiry = expiry
        self._horizon: Horizon
        self._mtime_ns = 0
        self._fd: int | None = None
        self._read: History | None = None
        self.lacks_active = False
        """Whether nothing but sealed segments is left of it."""

    @cached_property
    def attachments(self) -> AttachmentFolder:
        """Its attachments, whether it exists or not."""
        return AttachmentFolder(self._directory, self.key, self._sync)

    def open(self, known: ConversationState | None) -> None:
        """Open the file, if there is one, and bring what is `known` of it up to date.

        Raises:
            OSError: It is there but cannot be opened.
            UnavailableError: It is another conversation's.
        """
        self._horizon = self._expiry.look()
        self.now = self._horizon.now
        opened = self._directory.open_with_status(self.key)
        size = 0
        if opened is not None:
            self._fd, status = opened
            self._mtime_ns, size = status.st_mtime_ns, status.st_size
        self.lacks_active = not size and has_sealed(self._place)
        if self.lacks_active and self._fd is None:
            self._fd = os.open(os.devnull, os.O_RDONLY)  # reads as an empty one would
            self._mtime_ns = time.time_ns()
        if self._fd is not None:
            self.state = read_state(self._fd, size, known, self._place)
        facts = self.state and self.state.facts
        if facts and (facts.owner != self._owner or facts.conversation_id != self.conversation_id):
            raise UnavailableError(
                f"the file {self.key}.jsonl holds another conversation than its name says: "
                f"`agentic conversations repair` keeps what is this one's, and the rest aside; "
                f"or restore it from a back-up"
            )

    def close(self) -> None:
        """Close the file."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = self._read = None

    @property
    def exists(self) -> bool:
        """Whether there is such a conversation for the caller."""
        if self.state is None or self.state.deleted:
            return False
        return not self._horizon.has_passed(self.facts.expires_at, self._mtime_ns)

    @property
    def has_expired(self) -> bool:
        """Whether it would be there, were it not for the time."""
        return self.state is not None and not self.state.deleted and not self.exists

    @property
    def written_ns(self) -> int:
        """When it was written to last."""
        return self._mtime_ns

    @property
    def version(self) -> int:
        """The version, 0 if it doesn't exist."""
        return self.progress.version if self.exists else 0

    @property
    def generation(self) -> int:
        """Of what cursors point into; 0 if there is no file."""
        return self.state.generation if self.state else 0

    @property
    def end(self) -> int:
        """The offset of what is appended next."""
        return self.state.end if self.state else 0

    @property
    def progress(self) -> Progress:
        """How far the file has come, whether the conversation exists or not."""
        return self.state.progress if self.state else NOTHING

    @property
    def facts(self) -> Facts:
        """Title and the like; defaults where they are lost or were never given."""
        known = self.state.facts if self.state else None
        return known or self.bare_facts(self.progress.updated)

    def bare_facts(self, created_at: str = "") -> Facts:
        """The facts of a conversation that nobody has told anything about."""
        return Facts(
            owner=self._owner,
            conversation_id=self.conversation_id,
            created_at=created_at or self.now,
        )

    def require(self, field: str = "conversation_id") -> None:
        """Check that the conversation, which `field` names, exists.

        Raises:
            NotFoundError: It doesn't.
        """
        if not self.exists:
            raise NotFoundError("there is no such conversation", field=field)

    def check_version(self, expected: int | None) -> None:
        """Check a caller's expectation.

        Raises:
            ConflictError: It is not met.
        """
        if expected is not None and expected != self.version:
            raise ConflictError(
                f"the conversation has version {self.version}, not {expected}: load it, try again",
                field="expected_version",
                current_version=self.version,
            )

    def find_recent(self, message_id: str) -> Record | None:
        """A message among the latest 4,096, at least."""
        if not self.exists or self._fd is None or self.state is None:
            return None
        offset = load_recent(self.history(), self.state).get(message_id)
        return None if offset is None else read_record(self.history(), offset)

    def find(self, message_id: str) -> Record | None:
        """A message, however old."""
        found = self.find_recent(message_id)
        if found is None and self.exists and self._fd is not None and self.state is not None:
            found = find_message(self.history(), self.state, message_id)
        return found

    def find_among_all(self, message_id: str) -> Record | None:
        """The same, for who looks for many: the first call reads all, the others don't."""
        found = self.find_recent(message_id)
        state = self.state
        if found is not None or not self.exists or self._fd is None or state is None:
            return found
        if state.recent is not None and len(state.recent) == state.progress.message_count:
            return None
        for offset in load_all_ids(self.history(), state).candidates(message_id):
            record = read_record(self.history(), offset)
            if record is None or record.body.get("message_id") != message_id:
                continue
            if found is None or found.offset < offset:
                found = record
        return found

    def read_page(
        self,
        limit: int | None,
        before: PageEnd | None = None,
        annotated_later: Annotations | None = None,
    ) -> Page:
        """The latest messages, or those `before` a place; without a limit all of them.

        Raises:
            InvalidError: `before` is no place in this file.
        """
        if not self.exists or self._fd is None or self.state is None:
            return Page()
        if before is not None:
            self._check_place(before.offset, "before")
        history, state = self.history(), self.state
        if limit is None:
            return read_history(history, state, before, annotated_later)
        return read_page(
            history, state, limit=limit, before=before, annotated_later=annotated_later
        )

    def read_forward(self, start: Start | None) -> Iterator[Found]:
        """The messages from a place on, or all, and then the end, while the lock is held.

        Raises:
            InvalidError: `start` is no place in this file.
        """
        if self.state is None:
            return iter(())
        if start is None:
            start = Start(0, self.state.generation)
        else:
            self._check_place(start.offset, "cursor")
        end = Start(self.state.end, self.progress.seq + 1)
        return read_forward(self.history(), start, end)

    def lines_from(self, start: int, max_bytes: int) -> list[tuple[int, bytes]]:
        """Offset and bytes of the lines from `start`, which is between lines: about so many."""
        lines: list[tuple[int, bytes]] = []
        if self._fd is not None and self.state is not None:
            for offset, line in lines_forward(self.history(), start, self.state.end):
                lines.append((offset, line))
                if offset + len(line) >= start + max_bytes:
                    break
        return lines

    def mark_at(self, offset: int) -> bytes:
        """The bytes before an offset, which tell whether what was read up to there is there still.

        None at all where nothing is, and behind the end.
        """
        if self._fd is None or self.state is None or not 0 < offset <= self.state.end:
            return b""
        return read_range(self.history(), max(0, offset - MARK_BYTES), offset)

    def line_before(self, end: int) -> bytes | None:
        """The line that ends at `end`, which is between lines; None if there is none."""
        if self._fd is None or self.state is None:
            return None
        return next((line for _, line in lines_backward(self.history(), end)), None)

    def read_at(self, offset: int) -> Record | None:
        """The record that begins at an offset of this generation; None if it is damaged."""
        return None if self._fd is None else read_record(self.history(), offset)

    def read_all(self) -> list[Message]:
        """The whole history."""
        return self.read_page(None).messages

    def project(self) -> Entry | None:
        """The whole file as the index holds it; None if there is none."""
        return None if self._fd is None else project_file(self._fd, self._place, self.facts)

    def read_on(self, row: RowEnd) -> Entry | None:
        """What the file holds behind the end of its row; None if all of it must be read."""
        if self._fd is None or self.state is None or self.generation != row.generation:
            return None
        return read_on_opened(self.history(), self.state, os.fstat(self._fd), row)

    def annotations_of(self, message: Record) -> Mapping[str, Any]:
        """The annotations of a stored message as they are now."""
        assert self.state is not None
        return find_annotations(self.history(), self.state, message)

    def snapshot(self) -> Snapshot:
        """What is there now, to be read when the lock is gone.

        Raises:
            NotFoundError: There is no such conversation.
        """
        self.require()
        assert self._fd is not None
        assert self.state is not None
        history = History(os.dup(self._fd), self.state.layout, self._place, strict=True)
        return Snapshot(history, self.state.generation, self.state.end, self.progress, self.facts)

    def history(self) -> History:
        """Its bytes, sealed ones included; there must be a file with something in it."""
        if self._read is None:
            assert self._fd is not None
            assert self.state is not None
            self._read = History(self._fd, self.state.layout, self._place)
        return self._read

    def _check_place(self, offset: int, field: str) -> None:
        """Check that a cursor's offset lies between lines."""
        assert self.state is not None
        inside = 0 < offset <= self.state.end
        if not inside or read_range(self.history(), offset - 1, offset) != b"\n":
            raise InvalidError(f"{field} is no cursor of this conversation", field=field)
