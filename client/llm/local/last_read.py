"""What the engine's memories hold, to know whether parts of one that have moved may stay in it."""

from collections.abc import Generator, Sequence
from contextlib import contextmanager

from client.llm.local.completions import Slot
from servers.conversations.contract import Message


class LastRead:
    """The messages behind the last prompt of each slot.

    What the engine keeps of a text also bears the marks of all that stood before it. So it may be
    used at another place only within one conversation, and not after a message was taken out.
    """

    def __init__(self) -> None:
        self._ids: dict[Slot, Sequence[str | None]] = {}

    def has(self, slot: Slot) -> bool:
        """Whether a prompt was read to its end in this slot, and nothing else since."""
        return slot in self._ids

    def forget(self, slot: Slot) -> None:
        """Take the slot for one that nothing was read in."""
        self._ids.pop(slot, None)

    @contextmanager
    def reading(self, slot: Slot, messages: Sequence[Message]) -> Generator[bool]:
        """Whether `messages` go on with those read last, of which only the oldest are gone.

        They count as read when the context ends well; of what was broken off nothing is known.
        """
        before = self._ids.pop(slot, ())
        ids = [message.message_id for message in messages]
        yield _goes_on(before, ids)
        self._ids[slot] = ids


def _goes_on(before: Sequence[str | None], ids: Sequence[str | None]) -> bool:
    if not ids or ids[0] is None or ids[0] not in before:
        return False
    kept = before[before.index(ids[0]) :]
    return list(ids[: len(kept)]) == list(kept)
