"""The latest of what was found out, so that it need not be asked for again."""

from collections import OrderedDict
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")

_MOST = 64


class Recent(Generic[K, V]):
    """A mapping of the 64 entries that were written last."""

    def __init__(self) -> None:
        self._entries: OrderedDict[K, V] = OrderedDict()

    def get(self, key: K) -> V | None:
        """What was written last for `key`, unless 64 others were since."""
        return self._entries.get(key)

    def put(self, key: K, value: V) -> None:
        """Write an entry; the oldest goes where there are too many."""
        self._entries[key] = value
        self._entries.move_to_end(key)
        if len(self._entries) > _MOST:
            self._entries.popitem(last=False)
