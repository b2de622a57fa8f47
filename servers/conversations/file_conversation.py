"""One conversation's files as a verb changes them: appended to, begun anew, sealed."""

import logging
import os
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from typing import Literal

from servers.conversations.file_directory import StoreDirectory
from servers.conversations.file_expiry import Expiry
from servers.conversations.file_generation import NextGeneration
from servers.conversations.file_history import UNSEALED
from servers.conversations.file_projection import Entry, Projection, mark_of
from servers.conversations.file_reader import ConversationReader
from servers.conversations.file_records import (
    Draft,
    Facts,
    encode_batch,
    make_draft,
    parse_facts,
)
from servers.conversations.file_replacing import replace_file
from servers.conversations.file_reserve import is_full
from servers.conversations.file_sealed import suffix_of
from servers.conversations.file_sealing import Sealing, is_due, seal_active
from servers.conversations.file_segment import take_back, write_again, write_whole
from servers.conversations.file_state import ConversationState

_log = logging.getLogger(__name__)

_A_LITTLE_NS = 1_000


class ConversationFile(ConversationReader):
    """What verbs need that write. A conversation is written to under its lock held alone."""

    def __init__(
        self,
        directory: StoreDirectory,
        owner: str,
        conversation_id: str,
        sync: Callable[[int], None],
        sealing: Sealing | None,
        expiry: Expiry,
    ) -> None:
        super().__init__(directory, owner, conversation_id, sync, expiry)
        self.begun: Entry | None = None
        """What the index is to hold of a new generation, if this verb put one in place."""
        self._appended_at: int | None = None
        self._sealing = sealing

    def open(self, known: ConversationState | None) -> None:
        """The same; where nothing but sealed segments is left, what is written follows them."""
        super().open(known)
        if self.lacks_active:
            self.close()
            # A line that can't be read is found to come after all of them.
            os.close(replace_file(self._place, [b"\n"]))
            super().open(None)

    def append(self, drafts: Sequence[Draft], *, at: str | None = None) -> None:
        """Write records, all or none; a conversation that doesn't exist begins with them.

        They are on disk when `settle` has returned, which needs no lock.

        `at`: what `last_updated` shall be, unless it is later already; now if absent.

        Raises:
            OSError: They could not be written; nothing has changed.
        """
        if not self.exists or self._fd is None or self.state is None:
            self.begin("header", self.bare_facts(), drafts)
            return
        state, previous_end = self.state, self.state.end
        if state.facts is None or not state.progress.facts_at:
            # So that the file tells whose it is, and not at its beginning alone.
            drafts = [make_draft("continuation", self.facts.model_dump()), *drafts]
        # A clock that was set back must not make the newest conversation an older one.
        at = max(at or self.now, state.progress.updated)
        data, records = encode_batch(state.progress, previous_end, at, drafts)
        write_whole(self._fd, previous_end - state.layout.base, data)
        self._appended_at = previous_end
        state.grow(data)
        state.progress = records[-1].progress
        messages: list[tuple[str, int]] = []
        for record in records:
            if record.kind == "message":
                messages.append((record.body["message_id"], record.offset))
            else:
                state.facts = parse_facts(record) or state.facts
        state.note_messages(messages)
        if self._sealing and is_due(self._sealing, state, previous_end):
            self._try_to_seal(self._sealing)

    def use(self) -> None:
        """Have what is about to be written beside the file count as written to the conversation."""
        drafts = [make_draft("continuation", self.facts.model_dump())] if self.exists else []
        self.append(drafts)

    def settle(self) -> None:
        """Have all on disk that was read or written here: somebody else may just be syncing it.

        Raises:
            OSError: It may not be. What was written is to be taken back.
        """
        state = self.state
        if self._fd is not None and state is not None and state.settled < (end := state.end):
            self._sync(self._fd)
            state.settled = max(state.settled, end)

    def take_back(self) -> None:
        """Remove what was appended but not settled, unless somebody appended after it.

        What stays is written again: after a failed sync the system takes it for written, and the
        next one would pass over it.
        """
        if self._fd is None or self.state is None:
            return
        base, start = self.state.layout.base, self._appended_at
        is_last = os.fstat(self._fd).st_size == self.state.end - base
        if is_last and start is not None and start >= base:
            take_back(self._fd, start - base)
        write_again(self._fd, max(self.state.settled - base, 0))

    def begin(
        self,
        kind: Literal["header", "tombstone"],
        facts: Facts,
        drafts: Iterable[Draft] = (),
        *,
        at: str | None = None,
    ) -> None:
        """Put a new generation in the place of all that was there.

        The drafts are taken one by one while the file is written, so they may be read from the
        old one. `at`: what `last_updated` shall be, now if absent.

        Raises:
            OSError: It could not be written; nothing has changed.
        """
        before, at = self.progress, at or max(self.now, self.progress.updated)
        with closing(NextGeneration(self._place, before, at, kind, facts, drafts)) as new:
            self.replace(new)

    def delete(self) -> None:
        """Put a tombstone in the place of all that was there, on a full disk, too.

        Raises:
            OSError: It could not be written; nothing has changed.
        """
        try:
            self.begin("tombstone", self.bare_facts())
        except OSError as error:
            if not is_full(error):
                raise
            try:
                self._begin_in_reserve()
            except FileNotFoundError:
                raise error from None

    def _begin_in_reserve(self) -> None:
        before, at = self.progress, max(self.now, self.progress.updated)
        facts = self.bare_facts()
        with closing(
            NextGeneration(self._place, before, at, "tombstone", facts, in_reserve=True)
        ) as new:
            self.replace(new)
        self._directory.keep_reserve()

    def replace(self, new: NextGeneration) -> None:
        """The same with one that is written already, and follows what is there now.

        Raises:
            OSError: It could not be put in its place; nothing has changed.
        """
        if not self.exists:
            self.attachments.set_aside()  # of a conversation that was there before
        fd = new.put_in_place()
        self.close()
        self._fd = fd
        self._remove_sealed()
        self.state = state = new.state
        self.begun = self._entry(new.projection)
        if self._sealing and not state.deleted and is_due(self._sealing, state, state.layout.base):
            self._try_to_seal(self._sealing)

    def seal(self, sealing: Sealing) -> None:
        """Compress what is in the active file.

        Raises:
            OSError: It could not be done; nothing has changed.
        """
        assert self.state is not None
        fd = seal_active(self.history(), self._place, self.state, self.facts, sealing)
        self.close()
        self._fd = fd
        if self.begun is not None:
            self.begun = self._entry(self.begun.projection)

    def leave_alone_since(self, written_ns: int) -> None:
        """Have what was put in place here count as written at that time, so that nobody used it.

        Raises:
            OSError: It counts as written now.
        """
        assert self._fd is not None
        # A little later: who compares files by their times shall see that this is another one.
        later_ns = written_ns + _A_LITTLE_NS
        os.utime(self._fd, ns=(later_ns, later_ns))
        if self.begun is not None:
            self.begun = self._entry(self.begun.projection)

    def _try_to_seal(self, sealing: Sealing) -> None:
        """The same after a write, which is safe either way: a failure is none of its verb."""
        try:
            self.seal(sealing)
        except OSError as error:
            _log.warning("a conversation's older messages stay uncompressed: %s", error)

    def _entry(self, projection: Projection) -> Entry:
        assert self._fd is not None
        assert self.state is not None
        mark = mark_of(self.state, os.fstat(self._fd))
        self._mtime_ns = mark.mtime_ns
        return Entry(mark, not self.state.deleted, self.progress, self.facts, projection)

    def _remove_sealed(self) -> None:
        """Remove the segments of the generation before, which nothing refers to any more."""
        layout = self.state.layout if self.state else UNSEALED
        names = [suffix_of(layout.generation, offset) for offset in layout.sealed]
        try:
            if names:
                self._directory.remove_files(self.key, names)
        except OSError as error:
            _log.warning("what a conversation no longer needs could not be removed: %s", error)
