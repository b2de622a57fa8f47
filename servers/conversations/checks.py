"""Values that no back end takes, refused in the same words by all of them."""

from collections.abc import Callable

from servers.access.contract import check_owner
from servers.conversations.contract import (
    MAX_LIST_LIMIT,
    MAX_OFFSET,
    check_conversation_id,
    encode_json,
)
from servers.conversations.contract_documents import ConversationDocument
from servers.conversations.store_errors import InvalidError


def check_range(field: str, value: int, low: int, high: int) -> None:
    """Raise `InvalidError` if a number is not from `low` to `high`."""
    if not low <= value <= high:
        raise InvalidError(f"{field} is {low} to {high}, not {value}", field=field)


def check_text(field: str, text: str) -> None:
    """Raise `InvalidError` for what is no Unicode text, or holds NUL."""
    try:
        encode_json(text)
    except ValueError as error:
        raise InvalidError(f"{field} {error}", field=field) from None


def checked(field: str, check: Callable[[str], str], text: str) -> str:
    """What `check` makes of `text`; its ValueErrors as `InvalidError`."""
    try:
        return check(text)
    except ValueError as error:
        raise InvalidError(f"{field} {error}", field=field) from None


def check_owner_name(owner: str) -> None:
    """Raise `InvalidError` if this can't be an owner."""
    try:
        check_owner(owner)
    except ValueError as error:
        raise InvalidError(str(error), field="owner") from None


def check_id(conversation_id: str, field: str = "conversation_id") -> None:
    """Raise `InvalidError` if this can't be a conversation's id."""
    try:
        check_conversation_id(conversation_id)
    except ValueError as error:
        raise InvalidError(f"a conversation_id {error}", field=field) from None


def check_listing(owner: str, limit: int, offset: int, cursor: str | None, tag: str | None) -> None:
    """Raise `InvalidError` if these can't be arguments of a listing."""
    check_owner_name(owner)
    check_range("limit", limit, 1, MAX_LIST_LIMIT)
    check_range("offset", offset, 0, MAX_OFFSET)
    if tag is not None:
        check_text("tag", tag)
    if cursor is not None and offset:
        raise InvalidError("give offset or cursor, not both", field="cursor")


def check_deliveries(state: str, owner: str | None, limit: int) -> None:
    """Raise `InvalidError` if these can't be arguments of a listing of deliveries."""
    check_text("state", state)
    check_range("limit", limit, 1, MAX_LIST_LIMIT)
    if owner is not None:
        check_owner_name(owner)


def name_target(document: ConversationDocument, conversation_id: str | None) -> str:
    """Where a document goes; `InvalidError` if nothing says it."""
    target = document.conversation.conversation_id if conversation_id is None else conversation_id
    if target is None:
        raise InvalidError(
            "the document names no conversation: give conversation_id",
            field="document.conversation.conversation_id",
        )
    return target
