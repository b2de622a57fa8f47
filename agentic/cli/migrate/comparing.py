"""What the target has of a conversation, set against the source's, and what makes it the same."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from agentic.cli.migrate.content import Wire, annotations_of, content_of, facts_of, hash_facts
from agentic.cli.migrate.findings import DiffersError
from agentic.cli.migrate.journal import Known
from agentic.cli.migrate.reading import UNFINISHED, Page


@dataclass(slots=True)
class Stored:
    """What the target has, message by message, beside the source's."""

    pages: AsyncIterator[Page]
    facts: dict[str, Any] | None = None
    """None: there is no such conversation."""
    compared: int = 0
    annotations: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])
    """By message id, what has to be noted there."""
    _rest: list[Wire] = field(default_factory=list[Wire])

    async def begin(self) -> None:
        """Read the first page."""
        await self._read_on()

    async def compare(self, messages: Sequence[Wire]) -> Sequence[Wire]:
        """Set these against what stands there; those behind its end.

        Raises:
            DiffersError: Something else stands there.
        """
        for number, message in enumerate(messages):
            stored = await self.take()
            if stored is None:
                return messages[number:]
            self.compared += 1
            if content_of(stored) != content_of(message):
                raise DiffersError(
                    f"message {self.compared} is another one there: nothing of it was touched"
                )
            if annotations_of(stored) != annotations_of(message):
                changes = find_changes(annotations_of(message), annotations_of(stored))
                self.annotations[str(message.get("message_id"))] = changes
        return []

    async def take(self) -> Wire | None:
        """The next message, None at the end."""
        while not self._rest:
            if not await self._read_on():
                return None
        return self._rest.pop()

    async def _read_on(self) -> bool:
        page = await anext(self.pages, None)
        if page is None:
            return False
        self.facts = self.facts or page.facts
        self._rest = page.messages[::-1]
        return True


def find_changes(wanted: dict[str, Any], stored: dict[str, Any]) -> dict[str, Any]:
    """What to note, so that a message's annotations are as wanted.

    Raises:
        DiffersError: The target knows more of it than the source.
    """
    more = sorted(stored.keys() - wanted.keys())
    if more:
        raise DiffersError(f"a message has annotations there that the source has not: {more}")
    if _state(stored) not in UNFINISHED and _state(wanted) in UNFINISHED:
        raise DiffersError(
            f"a delivery is {_state(stored)!r} there and {_state(wanted)!r} at the source: it was "
            "continued there"
        )
    return {key: value for key, value in wanted.items() if stored.get(key) != value}


def _state(annotations: dict[str, Any]) -> object:
    match annotations.get("delivery"):
        case {"state": state}:
            return state
        case delivery:
            return delivery


def find_changed_facts(wanted: Wire, stored: Wire, known: Known | None) -> dict[str, Any]:
    """Changes that make the facts there those of the source.

    Raises:
        DiffersError: Others than this migration made them what they are.
    """
    here, there = facts_of(wanted), facts_of(stored)
    names = [name for name in here if here[name] != there[name]]
    if not names:
        return {}
    if "created_at" in names or known is None or known.facts != hash_facts(stored):
        raise DiffersError(
            f"its {', '.join(names)} there {'is' if len(names) == 1 else 'are'} of others: nothing "
            "of it was touched"
        )
    changes = {name: here[name] for name in names}
    if "metadata" in changes:
        removed = dict.fromkeys(there["metadata"].keys() - here["metadata"].keys())
        changes["metadata"] = {**here["metadata"], **removed}
    return changes
