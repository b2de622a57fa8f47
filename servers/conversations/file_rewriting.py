"""A conversation written anew: the same history, without what is damaged, outdated or repeated."""

from collections.abc import Iterator, Mapping

from servers.conversations.file_conversation import ConversationFile
from servers.conversations.file_history import History
from servers.conversations.file_ids import OffsetTable
from servers.conversations.file_records import Annotation, Draft, make_draft, parse_line
from servers.conversations.file_segment import lines_forward, read_line


class _Repeats:
    """Tells lines that stand in a file once more, as where a part of it was copied in twice."""

    def __init__(self, history: History) -> None:
        self.count = 0
        self._history = history
        self._highest = 0
        self._places = OffsetTable()

    def is_one(self, offset: int, line: bytes, seq: int) -> bool:
        """Whether the same line came before this one, which holds the record `seq`."""
        if seq <= self._highest:
            before = self._places.candidates(seq)
            if any(read_line(self._history, place) == line for place in before):
                self.count += 1
                return True
        self._highest = max(self._highest, seq)
        self._places.add(seq, offset)
        return False


def rewrite(opened: ConversationFile) -> int:
    """Put a new generation in the place of a conversation or tombstone; cursors become stale.

    Returns how many lines were left out because they are there once more.

    Raises:
        OSError: It could not be written; nothing has changed.
    """
    assert opened.state is not None
    entry = opened.project()
    annotations = entry.projection.annotations if entry else {}
    repeats = _Repeats(opened.history().again())
    drafts = _read_drafts(opened.history(), opened.state.end, annotations, repeats)
    kind = "tombstone" if opened.state.deleted else "header"
    opened.begin(kind, opened.facts, drafts, at=opened.progress.updated)
    return repeats.count


def _read_drafts(
    history: History, end: int, annotations: Mapping[str, Annotation], repeats: _Repeats
) -> Iterator[Draft]:
    """The messages up to a place as they are now, oldest first."""
    for offset, line in lines_forward(history, 0, end):
        record = parse_line(offset, line)
        if record is None or repeats.is_one(offset, line, record.progress.seq):
            continue
        if record.kind == "message":
            body = {name: value for name, value in record.body.items() if name != "annotations"}
            known = annotations.get(body["message_id"])
            if known is not None and known.annotations:
                body["annotations"] = known.annotations
            yield make_draft("message", body)
