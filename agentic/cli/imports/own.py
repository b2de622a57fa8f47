"""Our own documents: what `agentic conversations export` writes, without loss."""

from collections.abc import Iterable, Iterator
from typing import Any, cast

from pydantic import ValidationError

from agentic.cli.imports.failures import UnreadablePieceError
from agentic.cli.imports.found import Found, digest, to_title
from agentic.cli.imports.json_values import Decoded, why_not_stored, why_too_deep
from agentic.cli.imports.tally import Tally
from agentic.cli.unique_ids import UniqueIds
from client.asking.stored import mark_imported
from servers.conversations.contract import Conversation, Message, check_conversation_id
from servers.conversations.contract_documents import DOCUMENT_FORMAT
from servers.typed_arguments import explain

NAME = "agentic"
_NOT_TAKEN = {"owner", "version", "message_count"}
_TAKEN = Conversation.model_fields.keys() - _NOT_TAKEN


def check_format(fields: dict[str, Any]) -> str | None:
    """Why this is none of our documents that can be read here; None if it is one."""
    written = fields.get("format")
    if written != DOCUMENT_FORMAT:
        return f"of the format {str(written)[:60]}: none that is known, or a newer version's"
    facts = fields.get("conversation")
    if not isinstance(facts, dict):
        return "without its `conversation`, which has to stand before `messages`"
    try:
        check_conversation_id(cast("dict[str, Any]", facts).get("conversation_id") or "")
    except (ValueError, AttributeError):
        return "without a usable conversation_id"
    reason = why_not_stored(_take(cast("dict[str, Any]", facts)))
    return f"whose `conversation` {reason}" if reason else None


def to_found(
    fields: dict[str, Any],
    messages: Iterable[Decoded | UnreadablePieceError],
    tally: Tally,
) -> Found:
    """The conversation, whose messages are read as they are taken; `check_format` said yes."""
    facts: dict[str, Any] = fields["conversation"]
    conversation_id: str = facts["conversation_id"]
    title = facts.get("title")
    shown = (to_title(title) if isinstance(title, str) else None) or conversation_id
    counted = facts.get("message_count")
    return Found(
        conversation_id,
        shown,
        _take(facts),
        _read(messages, conversation_id, shown, tally),
        counted if isinstance(counted, int) else None,
    )


def _take(facts: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in facts.items() if name in _TAKEN}


def _read(
    messages: Iterable[Decoded | UnreadablePieceError],
    conversation_id: str,
    title: str,
    tally: Tally,
) -> Iterator[Message]:
    ids = UniqueIds()
    for number, decoded in enumerate(messages):
        if isinstance(decoded, UnreadablePieceError):
            tally.lose(f"message {number + 1}, which is {decoded}", title)
            continue
        tally.cleaned += decoded.cleaned
        deep = why_too_deep(decoded.value)
        if deep:
            tally.lose(f"message {number + 1}, which {deep}", title)
            continue
        try:
            message = Message.model_validate(decoded.value)
        except ValidationError as error:
            is_object = isinstance(decoded.value, dict)
            fields = cast("dict[str, Any]", decoded.value) if is_object else {}
            reason = explain(error.errors(), fields)
            tally.lose(f"message {number + 1}: {reason}", title)
            continue
        if message.message_id is None:  # else the server would make another one each time
            made = f"made-{digest(conversation_id, number, message.content_key())}"
            message = message.model_copy(update={"message_id": made})
        changes = ids.find_changes(str(message.message_id), message.turn_id)
        yield mark_imported(message.model_copy(update=changes) if changes else message)
