"""Documents in the model: pages out of a conversation and into it."""

import hashlib
from collections.abc import Iterator, Sequence
from typing import cast

from servers.conversations.contract import (
    MAX_BATCH_MESSAGES,
    MAX_PAGE_BYTES,
    Message,
    encode_json,
)
from servers.conversations.contract_documents import (
    DOCUMENT_FORMAT,
    ConversationDocument,
    DocumentConversation,
    ExportFormat,
)
from servers.conversations.contract_results import ExportResult, ImportResult
from servers.conversations.cursors import make_cursor, read_cursor
from servers.conversations.store_errors import StaleCursorError
from servers.conversations.transcript_text import json_size, render_head, render_message
from tests.servers.conversations.model_conversation import Held

_FRAME_BYTES = 200
"""Of a document, beside its facts and messages."""


def export_page(held: Held, form: ExportFormat, cursor: str | None) -> ExportResult:
    """A page of a conversation that exists."""
    scope = ("export", form, held.owner, held.conversation_id)
    position = (0, 0)
    if cursor is not None:
        generation, *rest = cast("list[int]", read_cursor(cursor, "cursor", scope, (int,) * 3))
        position = (rest[0], rest[1])
        if generation != held.generation:
            raise StaleCursorError("rewritten", field="cursor")
    make = {"json": _make_json, "markdown": _make_markdown}[form]
    document, after = make(held, *position)
    return ExportResult.model_construct(
        document=document,
        next_cursor=after and make_cursor(scope, (held.generation, *after)),
    )


def _make_json(held: Held, start: int, _: int) -> tuple[object, tuple[int, int] | None]:
    facts = held.to_conversation().model_dump()
    room = MAX_PAGE_BYTES - len(encode_json(facts)) - _FRAME_BYTES
    taken: list[object] = []
    for message in held.messages[start : start + MAX_BATCH_MESSAGES]:
        wire = message.to_wire()
        room -= len(encode_json(wire)) + 1
        if taken and room < 0:
            break
        taken.append(wire)
    after = start + len(taken)
    document = {"format": DOCUMENT_FORMAT, "conversation": facts, "messages": taken}
    return document, (after, 0) if after < len(held.messages) else None


def _make_markdown(held: Held, start: int, written: int) -> tuple[object, tuple[int, int] | None]:
    head = render_head(held.to_conversation(), f"{len(held.messages)} messages, oldest first.")
    parts = [head, *map(render_message, held.messages)]
    page, room = "", MAX_PAGE_BYTES
    for number in range(start, len(parts)):
        text = parts[number][written:]
        if json_size(text) > room:
            text = "" if page else _first_lines(text, room)
        page += text
        room -= json_size(text)
        written += len(text)
        if written < len(parts[number]):
            return page, (number, written)
        written = 0
    return page, None


def _first_lines(text: str, room: int) -> str:
    lines: list[str] = []
    for line in text.splitlines(keepends=True):
        room -= json_size(line)
        if room < 0:
            break
        lines.append(line)
    return "".join(lines)


def choose_new(
    held: Held, document: ConversationDocument, conversation_id: str
) -> tuple[Sequence[Message], ImportResult]:
    """The messages of a page that are to be stored, and what becomes of the others."""
    known = held.by_id()
    new: dict[str, Message] = {}
    repeated = skipped = 0
    for message in _name_all(document.messages):
        message_id = str(message.message_id)
        earlier = new.get(message_id) or known.get(message_id)
        if earlier is None:
            new[message_id] = message
        elif earlier.content_key() == message.content_key():
            repeated += 1
        else:
            skipped += 1
    result = ImportResult(
        conversation_id=conversation_id, appended=len(new), repeated=repeated, skipped=skipped
    )
    return list(new.values()), result


def take_facts(held: Held, given: DocumentConversation, now: str) -> None:
    """Give a new conversation the facts of a document."""
    held.created_at = given.created_at or now
    expires_at = given.expires_at
    held.facts = {
        "title": given.title,
        "tags": list(dict.fromkeys(given.tags)),
        "metadata": given.metadata,
        "expires_at": expires_at if expires_at and expires_at > now else None,
    }


def _name_all(messages: Sequence[Message]) -> Iterator[Message]:
    before = hashlib.sha256()
    for message in messages:
        for part in (message.message_id, message.created_at, message.content_key()):
            before.update(encode_json(part))
        made = {"message_id": message.message_id or before.hexdigest()}
        yield message.model_copy(update=made)
