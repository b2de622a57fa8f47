"""The verbs that change a conversation, on its opened file."""

import secrets
from collections.abc import Mapping, Sequence
from typing import Any

from servers.conversations.contract import (
    MAX_BATCH_BYTES,
    MAX_BATCH_MESSAGES,
    MAX_FACTS_BYTES,
    MAX_FACTS_CHANGES_BYTES,
    MAX_MESSAGE_BYTES,
    MAX_TAG_CHARACTERS,
    MAX_TAGS,
    MAX_TITLE_CHARACTERS,
    Conversation,
    Message,
    SizeError,
    check_facts,
    encode_json,
    parse_timestamp,
)
from servers.conversations.contract_results import (
    AnnotateResult,
    AppendResult,
    DeleteResult,
    SaveResult,
)
from servers.conversations.file_conversation import ConversationFile
from servers.conversations.file_index_rows import to_conversation
from servers.conversations.file_records import Annotation, Draft, make_draft, to_message
from servers.conversations.store import ConversationUpdate
from servers.conversations.store_errors import (
    ConflictError,
    InvalidError,
    NotFoundError,
    TooLargeError,
)


def append(
    opened: ConversationFile, messages: Sequence[Message], expected_version: int | None
) -> AppendResult:
    """Add what is not yet stored."""
    if len(messages) > MAX_BATCH_MESSAGES:
        raise InvalidError(
            f"a batch has at most {MAX_BATCH_MESSAGES} messages, this one has {len(messages)}: "
            f"append them in several",
            field="messages",
        )
    drafts = [to_draft(message, opened.now) for message in messages]
    size = sum(len(draft.encoded) for draft in drafts)
    if size > MAX_BATCH_BYTES:
        raise TooLargeError(
            f"a batch has at most {MAX_BATCH_BYTES} bytes as JSON, this one has {size}: "
            f"append it in several",
            field="messages",
        )
    new: dict[str, Draft] = {}
    for message, draft in zip(messages, drafts, strict=True):
        message_id = draft.body["message_id"]
        earlier = new.get(message_id) or opened.find_recent(message_id)
        if earlier is None:
            new[message_id] = draft
        elif to_message(earlier.body).content_key() != message.content_key():
            raise _id_conflict(opened, message_id)
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
    wanted = [_keep_unless_given(stored_by_id, message, opened.now) for message in messages]
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
    _check_facts(annotations, "annotations", MAX_FACTS_CHANGES_BYTES)
    record = opened.find(message_id)
    if record is None:
        raise NotFoundError("there is no such message in this conversation", field="message_id")
    before = opened.annotations_of(record)
    merged = _merge(before, annotations)
    if merged != before:
        _check_facts(merged, "annotations")
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
    given = update.model_fields_set
    facts = opened.facts
    changes: dict[str, Any] = {}
    if "title" in given:
        changes["title"] = _check_title(update.title)
    if update.tags is not None:
        changes["tags"] = _check_tags(update.tags)
    if update.metadata is not None:
        _check_facts(update.metadata, "metadata", MAX_FACTS_CHANGES_BYTES)
        changes["metadata"] = _merge(facts.metadata, update.metadata)
        _check_facts(changes["metadata"], "metadata")
    if "expires_at" in given:
        changes["expires_at"] = _check_expiry(update.expires_at)
    changed = facts.model_copy(update=changes)
    if changed != facts:
        opened.append([make_draft("metadata", changed.model_dump())])
    progress = opened.progress
    return to_conversation(changed, progress.version, progress.message_count, progress.updated)


def delete(opened: ConversationFile) -> DeleteResult:
    """Leave nothing but the version numbers that must not be used again."""
    deleted = opened.exists
    if deleted:
        opened.begin("tombstone", opened.bare_facts())
        opened.attachments.discard()
    return DeleteResult(deleted=deleted)


def _keep_unless_given(stored: Mapping[str, Message], message: Message, now: str) -> Message:
    earlier = stored.get(message.message_id or "")
    if earlier is None or earlier.content_key() != message.content_key():
        made = {
            "message_id": message.message_id or _make_id(),
            "created_at": message.created_at or now,
        }
        return message.model_copy(update=made)
    kept = {
        "created_at": message.created_at or earlier.created_at,
        "annotations": (
            earlier.annotations if message.annotations is None else message.annotations or None
        ),
    }
    return earlier.model_copy(update=kept)


def _make_id() -> str:
    return secrets.token_hex(16)


def _id_conflict(opened: ConversationFile, message_id: str) -> ConflictError:
    return ConflictError(
        f"the message_id {message_id!r} is stored, or given twice, with other content: give a new "
        f"message an id of its own",
        field="messages",
        current_version=opened.version,
    )


def to_draft(message: Message, now: str) -> Draft:
    """A message as it is stored: with an id and a time.

    Raises:
        InvalidError: It can't be one.
    """
    wire = message.to_wire()
    if message.message_id is None:
        wire = {"message_id": _make_id(), **wire}
    wire.setdefault("created_at", now)
    try:
        draft = make_draft("message", wire)
    except ValueError as error:
        raise InvalidError(f"a message {error}", field="messages") from None
    if len(draft.encoded) > MAX_MESSAGE_BYTES:  # all of it, of which less may count
        try:
            message.check_size()
        except SizeError as error:
            raise TooLargeError(str(error), field="messages") from None
    return draft


def _check_json(value: Mapping[str, Any], field: str) -> None:
    try:
        encode_json(value)
    except ValueError as error:
        raise InvalidError(f"{field} {error}", field=field) from None


def _check_facts(facts: Mapping[str, Any], field: str, max_bytes: int = MAX_FACTS_BYTES) -> None:
    try:
        check_facts(facts, max_bytes)
    except SizeError as error:
        raise TooLargeError(f"{field} {error}", field=field) from None
    except ValueError as error:
        raise InvalidError(f"{field} {error}", field=field) from None


def _check_title(title: str | None) -> str | None:
    if title is not None:
        _check_json({"title": title}, "title")
        if len(title) > MAX_TITLE_CHARACTERS:
            raise InvalidError(
                f"title has at most {MAX_TITLE_CHARACTERS} characters", field="title"
            )
    return title


def _check_tags(tags: Sequence[str]) -> list[str]:
    _check_json({"tags": tags}, "tags")
    unique = list(dict.fromkeys(tags))
    if len(unique) > MAX_TAGS:
        raise InvalidError(f"there are at most {MAX_TAGS} tags", field="tags")
    if not all(1 <= len(tag) <= MAX_TAG_CHARACTERS for tag in unique):
        raise InvalidError(f"a tag has 1 to {MAX_TAG_CHARACTERS} characters", field="tags")
    return unique


def _check_expiry(expires_at: str | None) -> str | None:
    if expires_at is None:
        return None
    try:
        return parse_timestamp(expires_at)
    except ValueError as error:
        raise InvalidError(f"expires_at {error}", field="expires_at") from None


def _merge(facts: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    kept = {key: value for key, value in facts.items() if key not in changes}
    return kept | {key: value for key, value in changes.items() if value is not None}
