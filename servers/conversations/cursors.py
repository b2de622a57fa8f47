"""Opaque cursors: a position, bound to what is being paged through."""

import base64
import hashlib
import json
from collections.abc import Sequence
from typing import cast

from servers.conversations.store_errors import InvalidError

_MAX_CURSOR_CHARACTERS = 16_384
_MAX_INTEGER = 2**63


def make_cursor(scope: Sequence[str], position: Sequence[str | int]) -> str:
    """A cursor for `position` in what `scope` names."""
    return _encode([_mark(scope), *position])


def read_cursor(
    cursor: str, field: str, scope: Sequence[str], kinds: Sequence[type]
) -> list[str | int]:
    """The position in a cursor that `make_cursor` made for the same scope.

    Raises:
        InvalidError: It is no cursor, or one for something else.
    """
    values = _decode(cursor)
    if (
        values is None
        or len(values) != len(kinds) + 1
        or values[0] != _mark(scope)
        or any(type(value) is not kind for value, kind in zip(values[1:], kinds, strict=True))
        or any(isinstance(value, int) and not 0 <= value < _MAX_INTEGER for value in values[1:])
    ):
        raise InvalidError(
            f"{field} must be a next_cursor that the same request answered before", field=field
        )
    return cast("list[str | int]", values[1:])


def _encode(values: Sequence[object]) -> str:
    data = json.dumps(values, separators=(",", ":"), ensure_ascii=False)
    return base64.urlsafe_b64encode(data.encode()).decode().rstrip("=")


def _decode(cursor: str) -> list[object] | None:
    if len(cursor) > _MAX_CURSOR_CHARACTERS:
        return None
    try:
        padded = cursor.encode("ascii") + b"=" * (-len(cursor) % 4)
        values = json.loads(base64.urlsafe_b64decode(padded))
        # base64 and JSON have many spellings of one value; only ours is a cursor.
        if not isinstance(values, list) or _encode(cast("list[object]", values)) != cursor:
            return None
    except (ValueError, RecursionError):
        return None
    return cast("list[object]", values)


def _mark(scope: Sequence[str]) -> str:
    return hashlib.sha256("\0".join(scope).encode()).hexdigest()[:16]
