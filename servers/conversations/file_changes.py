"""The verbs that change a conversation, on its opened file."""

from collections.abc import Mapping, Sequence
from typing import Any

from servers.conversations.contract import MAX_FACTS_CHANGES_BYTES, Conversation, Message
from servers.conversations.contract_results import (
    AnnotateResult,
    AppendResult,
    DeleteResult,
    SaveResult,
)
from servers.conversations.facts_changes import change_facts, check_facts_of, merge_facts
from servers.conversations.file_conversation import ConversationFile
from servers.conversations.file_index_rows import to_conversation
from servers.conversations.file_records import Annotation, Draft, make_draft, to_message
from servers.conversations.message_drafts import (
    check_batch,
    check_batch_size,
    id_conflict,
    keep_unless_given,
    to_draft,
)
from servers.conversations.store_errors import ConflictError, InvalidError, NotFoundError
from servers.conversations.store_values import ConversationUpdate


def append(
    opened: ConversationFile, messages: Sequence[Message], expected_version: int | None
) -> AppendResult:
    """Add what is not yet stored."""
    check_batch(messages)
    drafts = [to_draft(message, opened.now) for message in messages]
    check_batch_size(drafts)
    new: dict[str, Draft] = {}
    for message, draft in zip(messages, drafts, strict=True):
        message_id = draft.body["message_id"]
        earlier = new.get(message_id) or opened.find_recent(message_id)
        if earlier is None:
            new[message_id] = draft
        elif to_message(earlier.body).content_key() != message.content_key():
            raise id_conflict(message_id, opened.version)
    if new:
        opened.check_version(expected_version)
        opened.append(list(new.values()))
    return AppendResult(
        conversation_id=opened.conversation_id,
        version=opened.version,
        message_ids=[draft.body["message_id"] for draft in drafts],
        appended=len(new),
        repeated=len(drafts) - len(new),
    )


def save(
    opened: ConversationFile, messages: Sequence[Message], expected_version: int | None
) -> SaveResult:
    """Make the history exactly the list: by appending if that will do, else in a new generation."""
    stored = opened.read_all()
    stored_by_id = {str(message.message_id): message for message in stored}
    wanted = [keep_unless_given(stored_by_id, message, opened.now) for message in messages]
    wanted_ids = {str(message.message_id) for message in wanted}
    if len(wanted_ids) < len(wanted):
        raise InvalidError("the list holds a message_id more than once", field="messages")
    if wanted != stored:
        opened.check_version(expected_version)
        drafts = [to_draft(message, opened.now) for message in wanted]
        if wanted[: len(stored)] == stored:
            opened.append(drafts[len(stored) :])
        elif expected_version is None:
            raise ConflictError(
                "this would remove or change stored messages: give the expected_version that the "
                "list is based on, or use append_messages to add",
                field="expected_version",
                current_version=opened.version,
            )
        else:
            opened.begin("header", opened.facts, drafts)
    return SaveResult(
        conversation_id=opened.conversation_id,
        version=opened.version,
        message_count=len(wanted),
        appended=len(wanted_ids - stored_by_id.keys()),
        removed=len(stored_by_id.keys() - wanted_ids),
    )


def annotate(
    opened: ConversationFile, message_id: str, annotations: Mapping[str, Any]
) -> AnnotateResult:
    """Write a message's annotations after the merge, if it changes them."""
    opened.require()
    check_facts_of(annotations, "annotations", MAX_FACTS_CHANGES_BYTES)
    record = opened.find(message_id)
    if record is None:
        raise NotFoundError("there is no such message in this conversation", field="message_id")
    before = opened.annotations_of(record)
    merged = merge_facts(before, annotations)
    if merged != before:
        check_facts_of(merged, "annotations")
        annotation = Annotation(
            message_id=message_id,
            message_seq=record.progress.seq,
            stored_at=record.progress.updated,
            annotations=merged,
        )
        opened.append([make_draft("annotation", annotation.model_dump())])
    return AnnotateResult(message_id=message_id, annotations=merged)


def update(opened: ConversationFile, update: ConversationUpdate) -> Conversation:
    """Write the conversation's facts, if it changes them."""
    opened.require()
    facts = opened.facts
    changed = change_facts(facts, update)
    if changed != facts:
        opened.append([make_draft("metadata", changed.model_dump())])
    progress = opened.progress
    return to_conversation(changed, progress.version, progress.message_count, progress.updated)


def delete(opened: ConversationFile) -> DeleteResult:
    """Leave nothing but the version numbers that must not be used again."""
    deleted = opened.exists
    if deleted:
        opened.delete()
        opened.attachments.discard()
    return DeleteResult(deleted=deleted)
