"""Results that are used again for a while, within limits of count and size."""

from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass

import anyio
from mcp import types

_MAX_ENTRIES = 256
_MAX_BYTES = 4_194_304


@dataclass(frozen=True, slots=True)
class _Entry:
    result: types.CallToolResult
    ends_at: float
    size: int


class AnswerCache:
    """Of one tool. What was used least recently goes first."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._entries: OrderedDict[Hashable, _Entry] = OrderedDict()
        self._size = 0

    def find(self, key: Hashable) -> types.CallToolResult | None:
        """What was kept under `key` and is not too old."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        if anyio.current_time() >= entry.ends_at:
            self._remove(key)
            return None
        self._entries.move_to_end(key)
        return entry.result

    def keep(self, key: Hashable, result: types.CallToolResult) -> None:
        """Keep a result, unless it is large."""
        size = len(result.model_dump_json())
        if size > _MAX_BYTES:
            return
        if key in self._entries:
            self._remove(key)
        self._entries[key] = _Entry(result, anyio.current_time() + self._seconds, size)
        self._size += size
        while len(self._entries) > _MAX_ENTRIES or self._size > _MAX_BYTES:
            self._remove(next(iter(self._entries)))

    def _remove(self, key: Hashable) -> None:
        self._size -= self._entries.pop(key).size
