"""Messages on their way into a store: completed, checked, compared with what is there."""

import secrets
from collections.abc import Mapping, Sequence

from servers.conversations.contract import (
    MAX_BATCH_BYTES,
    MAX_BATCH_MESSAGES,
    MAX_MESSAGE_BYTES,
    Message,
    SizeError,
)
from servers.conversations.file_records import Draft, make_draft
from servers.conversations.store_errors import ConflictError, InvalidError, TooLargeError


def check_batch(messages: Sequence[Message]) -> None:
    """Raise `InvalidError` for more messages than one append takes."""
    if len(messages) > MAX_BATCH_MESSAGES:
        raise InvalidError(
            f"a batch has at most {MAX_BATCH_MESSAGES} messages, this one has {len(messages)}: "
            f"append them in several",
            field="messages",
        )


def check_batch_size(drafts: Sequence[Draft]) -> None:
    """Raise `TooLargeError` for more bytes than one append takes."""
    size = sum(len(draft.encoded) for draft in drafts)
    if size > MAX_BATCH_BYTES:
        raise TooLargeError(
            f"a batch has at most {MAX_BATCH_BYTES} bytes as JSON, this one has {size}: "
            f"append it in several",
            field="messages",
        )


def to_draft(message: Message, now: str) -> Draft:
    """A message as it is stored: with an id and a time.

    Raises:
        InvalidError: It can't be one.
    """
    wire = message.to_wire()
    if message.message_id is None:
        wire = {"message_id": make_id(), **wire}
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


def keep_unless_given(stored: Mapping[str, Message], message: Message, now: str) -> Message:
    """A message of a list that is saved, with what the stored one of its id and content has."""
    earlier = stored.get(message.message_id or "")
    if earlier is None or earlier.content_key() != message.content_key():
        made = {
            "message_id": message.message_id or make_id(),
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


def make_id() -> str:
    """An id for a message that came without one."""
    return secrets.token_hex(16)


def id_conflict(message_id: str, version: int) -> ConflictError:
    """The error of a message whose id is stored with other content."""
    return ConflictError(
        f"the message_id {message_id!r} is stored, or given twice, with other content: give a new "
        f"message an id of its own",
        field="messages",
        current_version=version,
    )
