"""Facts in the model: checked, merged, refused."""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

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
from servers.conversations.store_errors import InvalidError, TooLargeError
from tests.servers.conversations.model_conversation import Held

_T = TypeVar("_T")


def check(name: str, checked: Callable[[], _T]) -> _T:
    """What `checked` gives; its `ValueError` as the error of the contract, for this field."""
    try:
        return checked()
    except SizeError as error:
        raise TooLargeError(str(error), field=name) from None
    except ValueError as error:
        raise InvalidError(str(error), field=name) from None


def merge_facts(facts: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Facts after changes by key; None removes one."""
    merged = {key: value for key, value in facts.items() if key not in changes}
    return merged | {key: value for key, value in changes.items() if value is not None}


def checked_facts(held: Held, given: Mapping[str, Any]) -> dict[str, Any]:
    """What an update gives, as it will be held."""
    checked: dict[str, Any] = {}
    for name, value in given.items():
        if name == "metadata" and value is not None:
            changes: Mapping[str, Any] = value
            check(name, lambda changes=changes: check_facts(changes, MAX_FACTS_CHANGES_BYTES))
            checked[name] = merge_facts(held.facts[name], changes)
            check(name, lambda: check_facts(checked["metadata"], MAX_FACTS_BYTES))
        elif name == "tags" and value is not None:
            tags: list[str] = list(dict.fromkeys(value))
            check(name, lambda tags=tags: encode_json(tags))
            if len(tags) > MAX_TAGS or not all(1 <= len(t) <= MAX_TAG_CHARACTERS for t in tags):
                raise InvalidError("tags out of range", field=name)
            checked[name] = tags
        elif name == "title":
            check(name, lambda value=value: encode_json(value))
            if len(value or "") > MAX_TITLE_CHARACTERS:
                raise InvalidError("title out of range", field=name)
            checked[name] = value
        elif name == "expires_at":
            checked[name] = value and check(name, lambda value=value: parse_timestamp(value))
    return checked
