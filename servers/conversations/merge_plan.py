"""Which messages a merge keeps, in which order and under which ids.

By `created_at`, then by source, then by place. Of those with one id and one content the first is
kept. The target's message keeps the id, else the first that has it; one with other content becomes
`<id>~2`, or `~3` and so on, and in its source what belongs to its turn goes with it. What was kept
as `a~2` once is found to be that when it is merged again.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Literal, NamedTuple

from servers.conversations.contract import MAX_MESSAGE_ID_CHARACTERS


class Item(NamedTuple):
    """A message of a source."""

    created_at: str
    source: int
    offset: int
    message_id: str
    turn_id: str | None
    digest: bytes
    """Of its content without `turn_id`."""

    @property
    def is_head(self) -> bool:
        """Whether it belongs to no other message's turn."""
        return self.turn_id in (None, self.message_id)


@dataclass(slots=True)
class Kept:
    """A message of the merged conversation."""

    item: Item
    """Of those that are the same the first."""
    place: int
    """Among all items, sorted."""
    message_id: str
    annotated_by: Item
    """Whose annotations it has: the target's, if that has the same message."""
    turn_id: str | None = None


def plan_merge(items: Sequence[Item], target: int | None) -> list[Kept]:
    """`items` by source, then by place; `target`: which source is merged into, if one is."""
    return _Plan(sorted(items, key=lambda item: item.created_at), target).make()


_Content = tuple[bytes, str | Literal[True] | None]
"""Digest, and the turn: True if it is its own."""


class _Plan:
    def __init__(self, items: Sequence[Item], target: int | None) -> None:
        self._items = items
        self._target = target
        self._kept: dict[str, Kept] = {}
        self._renamed: dict[tuple[int, str], str] = {}

    def make(self) -> list[Kept]:
        # What the target has already stays what it is called.
        for place, item in sorted(
            enumerate(self._items), key=lambda pair: not self._is_own(pair[1])
        ):
            if item.message_id not in self._kept:
                self._kept[item.message_id] = Kept(item, place, item.message_id, item)
        # Heads first: the turns of all others depend on what they are called.
        for is_head in (True, False):
            for place, item in enumerate(self._items):
                if item.is_head is is_head:
                    self._settle(place, item)
        for kept in self._kept.values():
            kept.turn_id = self._turn_of(kept.item, kept.message_id)
        return sorted(self._kept.values(), key=lambda kept: kept.place)

    def _settle(self, place: int, item: Item) -> None:
        """Find out what it is called, or what it repeats."""
        for name in _names(item.message_id):
            kept = self._kept.get(name)
            if kept is not None and self._content(kept.item) != self._content(item):
                continue
            if name != item.message_id:
                self._renamed[item.source, item.message_id] = name
            if kept is None:
                self._kept[name] = Kept(item, place, name, item)
            else:
                self._repeat(kept, place, item)
            return

    def _repeat(self, kept: Kept, place: int, item: Item) -> None:
        if place < kept.place:
            kept.item, kept.place = item, place
            if not self._is_own(kept.annotated_by):
                kept.annotated_by = item
        if self._is_own(item) and not self._is_own(kept.annotated_by):
            kept.annotated_by = item

    def _is_own(self, item: Item) -> bool:
        return item.source == self._target

    def _turn_of(self, item: Item, name: str) -> str | None:
        if item.turn_id is None:
            return None
        return (
            name if item.is_head else self._renamed.get((item.source, item.turn_id), item.turn_id)
        )

    def _content(self, item: Item) -> _Content:
        if item.is_head:
            return item.digest, item.turn_id and True
        return item.digest, self._turn_of(item, item.message_id)


def _names(message_id: str) -> Iterator[str]:
    yield message_id
    for number in count(2):
        end = f"~{number}"
        yield message_id[: MAX_MESSAGE_ID_CHARACTERS - len(end)] + end
