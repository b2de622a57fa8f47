"""The verb that exports a page of a conversation in DynamoDB, oldest messages first."""

from collections.abc import AsyncIterator
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
from servers.conversations.dynamodb_log import Log
from servers.conversations.dynamodb_reads import (
    Stored,
    annotate_found,
    read_annotations,
    to_conversation,
)
from servers.conversations.dynamodb_states import Place, State
from servers.conversations.store_errors import StaleCursorError
from servers.conversations.transcript_text import MarkdownPage

_ITEMS = 32


class _Position(NamedTuple):
    """Where a page begins."""

    place: Place
    written: int = 0
    """Characters of what stands there that earlier pages held."""


class _Next(NamedTuple):
    """A message, or the end, and how many could not be read before it."""

    stored: Stored | None
    place: Place
    lost: int


async def export_page(
    log: Log, state: State, form: ExportFormat, cursor: str | None
) -> ExportResult:
    """The first page, or the one that a cursor leads to; the conversation exists."""
    header = state.header
    assert header is not None
    scope = ("export", form, state.pk)
    position = None if cursor is None else _read_position(state, scope, cursor)
    conversation = to_conversation(state, await log.read_facts(state))
    document: dict[str, Any] | str
    if form == "json":
        document, after = await _make_json(log, state, conversation, position)
    else:
        document, after = await _make_markdown(log, state, conversation, position)
    next_cursor = None
    if after is not None:
        place = after.place
        values = (header.generation, int(place.is_log), place.item, place.number, after.written)
        next_cursor = make_cursor(scope, values)
    return ExportResult.model_construct(document=document, next_cursor=next_cursor)


def _read_position(state: State, scope: tuple[str, ...], cursor: str) -> _Position:
    values = read_cursor(cursor, "cursor", scope, (int, int, int, int, int))
    generation, is_log, index, number, written = cast("tuple[int, ...]", tuple(values))
    if state.header is None or state.header.generation != generation:
        raise StaleCursorError(
            "the history was rewritten since this cursor was made: start without it",
            field="cursor",
        )
    return _Position(Place(bool(is_log), index, number), written)


async def _read_forward(log: Log, state: State, position: _Position | None) -> AsyncIterator[_Next]:
    start = position.place if position else None
    lost, place = 0, start or Place(is_log=True, item=state.ordinal, number=0)
    async for found in log.forward(state, start, items=_ITEMS):
        if found.messages is None:
            lost += found.expected
            continue
        last = found.place.number + found.expected
        annotated = await read_annotations(log, state, found.place.number, last)
        for stored in annotate_found(found, annotated):
            place = stored.place
            if start is not None and place.number < start.number:
                continue
            yield _Next(stored, place, lost)
            lost = 0
    yield _Next(None, place, lost)


async def _make_json(
    log: Log, state: State, conversation: Conversation, position: _Position | None
) -> tuple[dict[str, Any], _Position | None]:
    facts = conversation.model_dump()
    room = MAX_PAGE_BYTES - len(encode_json(facts))
    messages: list[dict[str, Any]] = []
    after: _Position | None = None
    async for found in _read_forward(log, state, position):
        if found.stored is None:
            break
        wire = found.stored.message.to_wire()
        room -= len(encode_json(wire))
        if messages and (room < 0 or len(messages) == MAX_BATCH_MESSAGES):
            after = _Position(found.place)
            break
        messages.append(wire)
    document = {"format": DOCUMENT_FORMAT, "conversation": facts, "messages": messages}
    return document, after


async def _make_markdown(
    log: Log, state: State, conversation: Conversation, position: _Position | None
) -> tuple[str, _Position | None]:
    page = MarkdownPage(conversation, position and position.written)
    async for found in _read_forward(log, state, position):
        written = page.take(found.stored and found.stored.message, found.lost)
        if written is not None:
            return page.text, _Position(found.place, written)
    return page.text, None
