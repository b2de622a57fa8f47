"""The verb that imports a page of a document, on the opened file of where it goes."""

import hashlib
from collections.abc import Iterator, Sequence

from servers.conversations.contract import Message
from servers.conversations.contract_documents import ConversationDocument
from servers.conversations.contract_results import ImportResult
from servers.conversations.file_conversation import ConversationFile
from servers.conversations.file_records import Draft, Facts, to_message
from servers.conversations.message_drafts import to_draft

_ID_CHARACTERS = 32


def import_page(opened: ConversationFile, document: ConversationDocument) -> ImportResult:
    """Add what is not yet stored, and the facts if nothing is."""
    new: dict[str, Draft] = {}
    repeated = skipped = 0
    for message in name_all(document.messages):
        message_id = message.message_id or ""
        earlier = new.get(message_id) or opened.find_among_all(message_id)
        if earlier is None:
            new[message_id] = to_draft(message, opened.now)
        elif to_message(earlier.body).content_key() == message.content_key():
            repeated += 1
        else:
            skipped += 1
    drafts = list(new.values())
    at = min(document.conversation.last_updated or opened.now, opened.now)
    if not opened.exists:
        opened.begin("header", take_facts(opened.bare_facts(), document, opened.now), drafts, at=at)
    elif drafts:
        opened.append(drafts, at=at)
    return ImportResult(
        conversation_id=opened.conversation_id,
        appended=len(drafts),
        repeated=repeated,
        skipped=skipped,
    )


def name_all(messages: Sequence[Message]) -> Iterator[Message]:
    """The messages, each with an id, and always the same."""
    before = b""
    for message in messages:
        parts = (message.message_id or "", message.created_at or "", message.content_key())
        digest = hashlib.sha256(before + "\0".join(parts).encode())
        before = digest.digest()
        if message.message_id is None:
            made = f"imported-{digest.hexdigest()[:_ID_CHARACTERS]}"
            message = message.model_copy(update={"message_id": made})
        yield message


def take_facts(bare: Facts, document: ConversationDocument, now: str) -> Facts:
    """The facts of a conversation that begins with a document; `bare` says which it is."""
    given = document.conversation
    expires_at = given.expires_at
    if expires_at is not None and expires_at <= now:
        expires_at = None
    return Facts(
        owner=bare.owner,
        conversation_id=bare.conversation_id,
        created_at=given.created_at or bare.created_at,
        title=given.title,
        tags=list(dict.fromkeys(given.tags)),
        metadata=given.metadata,
        expires_at=expires_at,
    )
