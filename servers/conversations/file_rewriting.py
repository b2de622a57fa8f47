"""A conversation written anew: the same history, without what is damaged or outdated."""

from collections.abc import Iterator, Mapping

from servers.conversations.file_conversation import ConversationFile
from servers.conversations.file_history import History
from servers.conversations.file_records import Annotation, Draft, make_draft, parse_line
from servers.conversations.file_segment import lines_forward


def rewrite(opened: ConversationFile) -> None:
    """Put a new generation in the place of a conversation or tombstone; cursors become stale.

    Raises:
        OSError: It could not be written; nothing has changed.
    """
    assert opened.state is not None
    entry = opened.project()
    annotations = entry.projection.annotations if entry else {}
    drafts = read_drafts(opened.history(), opened.state.end, annotations)
    kind = "tombstone" if opened.state.deleted else "header"
    opened.begin(kind, opened.facts, drafts, at=opened.progress.updated)


def read_drafts(
    history: History, end: int, annotations: Mapping[str, Annotation]
) -> Iterator[Draft]:
    """The messages up to a place as they are now, oldest first."""
    for offset, line in lines_forward(history, 0, end):
        record = parse_line(offset, line)
        if record is not None and record.kind == "message":
            body = {name: value for name, value in record.body.items() if name != "annotations"}
            known = annotations.get(body["message_id"])
            if known is not None and known.annotations:
                body["annotations"] = known.annotations
            yield make_draft("message", body)
