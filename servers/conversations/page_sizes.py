"""How much of a listing fits into one answer."""

from collections.abc import Sequence
from typing import TypeVar

from pydantic_core import PydanticSerializationError

from servers.conversations.contract import MAX_PAGE_BYTES, Conversation, encode_json
from servers.conversations.contract_results import Delivery, StoredAttachment

_Item = TypeVar("_Item", Conversation, Delivery, StoredAttachment)


def fit(items: Sequence[_Item], limit: int) -> list[_Item]:
    """As many of the first `limit` items as a page holds, but one at least."""
    room = MAX_PAGE_BYTES
    fitting: list[_Item] = []
    for item in items[:limit]:
        room -= _size(item)
        if room < 0 and fitting:
            break
        fitting.append(item)
    return fitting


def _size(item: Conversation | Delivery | StoredAttachment) -> int:
    try:
        return len(item.model_dump_json().encode())  # a quarter of the time, but not 255 levels
    except PydanticSerializationError:
        return len(encode_json(item.model_dump()))
