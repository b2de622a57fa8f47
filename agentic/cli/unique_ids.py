"""Ids of messages on their way to a store, which takes each once in a conversation."""

from dataclasses import dataclass, field

from servers.conversations.contract import MAX_MESSAGE_ID_CHARACTERS


@dataclass(slots=True)
class UniqueIds:
    """The ids of one conversation's messages: such as can be stored, and none twice."""

    used: set[str] = field(default_factory=set[str])
    _numbers: dict[str, int] = field(default_factory=dict[str, int])
    """Given last, by the id that was wanted."""
    _renamed: dict[str, str] = field(default_factory=dict[str, str])

    def choose(self, wanted: str) -> str:
        """`wanted`, or with a number if it is taken; the same again for the same file."""
        chosen = wanted
        while chosen in self.used:
            self._numbers[wanted] = number = self._numbers.get(wanted, 1) + 1
            chosen = f"{wanted[: MAX_MESSAGE_ID_CHARACTERS - 12]}~{number}"
        self.used.add(chosen)
        return chosen

    def find_changes(self, message_id: str, turn_id: str | None) -> dict[str, str]:
        """What to change in a message whose id was taken by an earlier one, or whose turn's was.

        A store takes an id a second time, for another message, when the first is 4,096 messages
        away.
        """
        changes: dict[str, str] = {}
        chosen = self.choose(message_id)
        if chosen != message_id:
            changes["message_id"] = self._renamed[message_id] = chosen
        if turn_id in self._renamed:
            changes["turn_id"] = self._renamed[turn_id]
        return changes
