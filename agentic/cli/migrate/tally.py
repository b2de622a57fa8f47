"""What came of a migration, counted: for the summary, the bar and programs."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Literal

from agentic.cli.conversation_ids import render_id
from agentic.cli.migrate.journal import Known
from agentic.cli.terminal_text import one_line

Outcome = Literal["copied", "extended", "equal", "unchanged", "differing"]
"""New there; something was added or changed there; compared, and nothing to do; the same as when
it was compared before; not the same."""

Key = tuple[str, str]
"""Owner and conversation."""


@dataclass(frozen=True, slots=True)
class Result:
    """How a conversation is at the end."""

    outcome: Outcome
    known: Known | None = None
    problem: str | None = None
    versions: tuple[int, int] = (0, 0)
    """At both ends, when the problem was found."""


@dataclass(slots=True)
class Tally:
    """The counts so far."""

    results: dict[Key, Result] = field(default_factory=dict[Key, Result])
    messages_copied: int = 0
    annotations_copied: int = 0
    attachments_copied: int = 0
    only_on_target: int = 0
    rounds: int = 0
    total: int | None = None
    """Of conversations at the source, where somebody watches."""

    def put(self, key: Key, result: Result) -> None:
        """Note how it went; what was copied in an earlier round stays copied."""
        earlier = self.results.get(key)
        if earlier and earlier.outcome in ("copied", "extended"):
            if result.outcome == "unchanged":
                return
            if result.outcome in ("equal", "extended"):
                result = Result(earlier.outcome, result.known)
        self.results[key] = result

    def count(self) -> Counter[str]:
        """Of conversations by outcome."""
        return Counter(result.outcome for result in self.results.values())

    def count_messages(self) -> int:
        """In conversations that are the same at both ends."""
        return sum(result.known.messages for result in self.results.values() if result.known)

    def problems(self) -> list[str]:
        """What is not the same, for a person."""
        return [
            f"{render_id(conversation_id)} of {one_line(owner)}: {result.problem}"
            for (owner, conversation_id), result in sorted(self.results.items(), key=_key)
            if result.problem is not None
        ]

    def to_json(self) -> dict[str, Any]:
        """For programs."""
        counts = self.count()
        return {
            "owners": len({owner for owner, _ in self.results}),
            "counts": {
                "conversations": len(self.results),
                **{name: counts[name] for name in Outcome.__args__},
                "messages": self.count_messages(),
                "messages_copied": self.messages_copied,
                "annotations_copied": self.annotations_copied,
                "attachments_copied": self.attachments_copied,
                "only_on_target": self.only_on_target,
            },
            "rounds": self.rounds,
            "conversations": [
                _to_row(owner, conversation_id, result)
                for (owner, conversation_id), result in sorted(self.results.items(), key=_key)
            ],
        }


def _key(item: tuple[Key, Result]) -> Key:
    return item[0]


def _to_row(owner: str, conversation_id: str, result: Result) -> dict[str, Any]:
    row = {"owner": owner, "conversation_id": conversation_id, "outcome": result.outcome}
    known = result.known
    if known is None:
        return {**row, "problem": result.problem}
    return {
        **row,
        "messages": known.messages,
        "sha256": known.sha256,
        "attachments": known.attachments,
        "attachments_sha256": known.attachments_sha256 or None,
    }
