"""Changes to a conversation's facts and to annotations: checked, merged."""

from collections.abc import Mapping, Sequence
from typing import Any

from servers.conversations.contract import (
    MAX_FACTS_BYTES,
    MAX_FACTS_CHANGES_BYTES,
    MAX_TAG_CHARACTERS,
    MAX_TAGS,
    MAX_TITLE_CHARACTERS,
    SizeError,
    check_facts,
    encode_json,
    parse_timestamp,
)
from servers.conversations.file_records import Facts
from servers.conversations.store_errors import InvalidError, TooLargeError
from servers.conversations.store_values import ConversationUpdate


def change_facts(facts: Facts, update: ConversationUpdate) -> Facts:
    """The facts after an update.

    Raises:
        InvalidError: A value of it can't be one.
    """
    given = update.model_fields_set
    changes: dict[str, Any] = {}
    if "title" in given:
        changes["title"] = _check_title(update.title)
    if update.tags is not None:
        changes["tags"] = _check_tags(update.tags)
    if update.metadata is not None:
        check_facts_of(update.metadata, "metadata", MAX_FACTS_CHANGES_BYTES)
        changes["metadata"] = merge_facts(facts.metadata, update.metadata)
        check_facts_of(changes["metadata"], "metadata")
    if "expires_at" in given:
        changes["expires_at"] = _check_expiry(update.expires_at)
    return facts.model_copy(update=changes)


def _check_json(value: Mapping[str, Any], field: str) -> None:
    try:
        encode_json(value)
    except ValueError as error:
        raise InvalidError(f"{field} {error}", field=field) from None


def check_facts_of(facts: Mapping[str, Any], field: str, max_bytes: int = MAX_FACTS_BYTES) -> None:
    """Raise `InvalidError` if metadata or annotations, or changes to them, can't be ones."""
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


def merge_facts(facts: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Facts after changes by key; None removes one."""
    kept = {key: value for key, value in facts.items() if key not in changes}
    return kept | {key: value for key, value in changes.items() if value is not None}
