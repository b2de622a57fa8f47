"""The verb that exports a page of a conversation, oldest messages first, on its opened file."""

from collections.abc import Iterator
from typing import Any, NamedTuple, cast

from servers.conversations.contract import (
    MAX_BATCH_MESSAGES,
    MAX_PAGE_BYTES,
    Conversation,
    encode_json,
)
from servers.conversations.contract_documents import DOCUMENT_FORMAT, ExportFormat
from servers.conversations.contract_results import ExportResult
from servers.conversations.cursors import make_cursor, read_cursor
from servers.conversations.file_catalogue import Catalogue
from servers.conversations.file_forward import Found, Start
from servers.conversations.file_index_rows import to_conversation
from servers.conversations.file_pages import Annotations
from servers.conversations.file_reader import ConversationReader
from servers.conversations.file_records import Record, to_message
from servers.conversations.store_errors import StaleCursorError
from servers.conversations.transcript_text import MarkdownPage


class _Taken(NamedTuple):
    """A message of a page."""

    record: Record
    start: Start


class _Position(NamedTuple):
    """Where a page begins."""

    start: Start
    written: int = 0
    """Characters of what stands there that earlier pages held."""


def export_page(
    opened: ConversationReader, catalogue: Catalogue, form: ExportFormat, cursor: str | None
) -> ExportResult:
    """The first page, or the one that a cursor leads to."""
    opened.require()
    scope = ("export", form, opened.key)
    position = None if cursor is None else _read_position(opened, scope, cursor)
    progress = opened.progress
    conversation = to_conversation(
        opened.facts, progress.version, progress.message_count, progress.updated
    )
    match form:
        case "json":
            document, after = _make_json(opened, catalogue, conversation, position)
        case "markdown":
            document, after = _make_markdown(opened, conversation, position)
    next_cursor = after and make_cursor(scope, (opened.generation, *after.start, after.written))
    return ExportResult.model_construct(document=document, next_cursor=next_cursor)


def _read_position(opened: ConversationReader, scope: tuple[str, ...], cursor: str) -> _Position:
    values = read_cursor(cursor, "cursor", scope, (int, int, int, int))
    generation, offset, seq, written = cast("tuple[int, int, int, int]", tuple(values))
    if opened.generation != generation:
        raise StaleCursorError(
            "the history was rewritten since this cursor was made: start without it",
            field="cursor",
        )
    return _Position(Start(offset, seq), written)


def _make_json(
    opened: ConversationReader,
    catalogue: Catalogue,
    conversation: Conversation,
    position: _Position | None,
) -> tuple[dict[str, Any], _Position | None]:
    facts = conversation.model_dump()
    room = MAX_PAGE_BYTES - len(encode_json(facts))
    taken, after = _take(opened.read_forward(position and position.start), room)
    annotations: Annotations = {}
    if taken:
        first, last = taken[0].record.progress.seq, taken[-1].record.progress.seq
        annotations = catalogue.find_annotations(opened, from_seq=first, before_seq=last + 1)
    messages: list[dict[str, Any]] = []
    for record, start in taken:
        later = annotations.get(record.body["message_id"])
        room -= record.body_bytes + len(encode_json(later or {}))
        if messages and room < 0:
            after = start
            break
        messages.append(to_message(record.body, later).to_wire())
    document = {"format": DOCUMENT_FORMAT, "conversation": facts, "messages": messages}
    return document, after and _Position(after)


def _take(found: Iterator[Found], room: int) -> tuple[list[_Taken], Start | None]:
    """As many messages as there may be room for, one at least, and where the next one is."""
    taken: list[_Taken] = []
    for record, start, _ in found:
        if record is None:
            break
        room -= record.body_bytes
        if taken and (room < 0 or len(taken) == MAX_BATCH_MESSAGES):
            return taken, start
        taken.append(_Taken(record, start))
    return taken, None


def _make_markdown(
    opened: ConversationReader, conversation: Conversation, position: _Position | None
) -> tuple[str, _Position | None]:
    page = MarkdownPage(conversation, position and position.written)
    for found in opened.read_forward(position and position.start):
        message = found.record and to_message(found.record.body)
        written = page.take(message, found.lost)
        if written is not None:
            return page.text, _Position(found.start, written)
    return page.text, None
