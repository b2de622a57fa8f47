"""A conversation's next generation: written beside the file that it is to replace."""

from collections import OrderedDict
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Literal

from servers.conversations.file_directory import ACTIVE
from servers.conversations.file_history import Place
from servers.conversations.file_ids import OffsetTable
from servers.conversations.file_projection import Projection
from servers.conversations.file_records import (
    Draft,
    Facts,
    Generation,
    Progress,
    make_draft,
)
from servers.conversations.file_replacing import NewFile
from servers.conversations.file_state import ConversationState


class NextGeneration:
    """One that is on disk, but not yet in its place. Closed by whoever made it."""

    def __init__(
        self,
        place: Place,
        before: Progress,
        at: str,
        kind: Literal["header", "tombstone"],
        facts: Facts,
        drafts: Iterable[Draft] = (),
        token: str = "",
        *,
        with_ids: bool = False,
        in_reserve: bool = False,
    ) -> None:
        """Write it; the drafts are taken one by one meanwhile.

        `before`: how far the generation before has come. `at`: what `last_updated` shall be.
        `token`, `in_reserve`: see `NewFile`. `with_ids`: whether the state shall know all ids.

        Raises:
            OSError: It could not be written; nothing is left of it.
        """
        self.projection = Projection()
        self.state = ConversationState(
            *(b"", 0, 0, before, facts),
            deleted=kind == "tombstone",
            recent=OrderedDict(),
            all_ids=OffsetTable() if with_ids else None,
        )
        head = make_draft(kind, facts.model_dump())
        again = head._replace(kind="continuation" if kind == "header" else kind)
        drafts = iter(drafts)
        # Whose it is stands at both ends, never on two lines only that share a line break.
        all_drafts = chain([head, next(drafts, again)], drafts, [again])
        self._file = NewFile(
            place, ACTIVE, self._encode(all_drafts, at), token, in_reserve=in_reserve
        )

    def extend(self, drafts: Iterable[Draft], at: str) -> None:
        """Write more at its end.

        Raises:
            OSError: It could not be written; it is to be closed.
        """
        self._file.extend(self._encode(drafts, at))

    def may_hold(self, message_id: str) -> bool:
        """Whether a message may have this id; never False where one has."""
        ids = self.state.all_ids
        return ids is None or any(True for _ in ids.candidates(message_id))

    def put_in_place(self) -> int:
        """See `NewFile`."""
        return self._file.put_in_place()

    def close(self) -> None:
        """Remove it, unless it is in its place."""
        self._file.close()

    def _encode(self, drafts: Iterable[Draft], at: str) -> Iterator[bytes]:
        state = self.state
        records = Generation(state.progress, at, drafts, end=state.end)
        for line, record in records.encode():
            if not state.generation:
                state.first_line = line.removesuffix(b"\n")
                state.generation = record.progress.seq
            self.projection.add(record)
            state.note(record)
            yield line
        state.progress = records.progress
        state.end = state.settled = records.end
