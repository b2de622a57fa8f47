"""Sums over the messages of a conversation, counted as they are stored."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

_LARGEST_COUNT = 2**40
"""Bounded, so that no sum leaves what an SQLite integer can hold."""


@dataclass(slots=True)
class Figures:
    """Sums over records."""

    user: int = 0
    assistant: int = 0
    tool: int = 0
    system: int = 0
    bytes: int = 0
    first_at: str | None = None
    last_at: str | None = None
    input_tokens: int = 0
    output_tokens: int = 0

    def as_row(self) -> tuple[int | str | None, ...]:
        """In the order of the fields."""
        return (
            *(self.user, self.assistant, self.tool, self.system, self.bytes),
            *(self.first_at, self.last_at, self.input_tokens, self.output_tokens),
        )

    def add_message(self, body: Mapping[str, Any], size: int) -> None:
        """Count a stored message of `size` bytes as JSON."""
        setattr(self, body["role"], getattr(self, body["role"]) + 1)
        self.bytes += size
        self.first_at = self.first_at or body["created_at"]
        self.last_at = body["created_at"]
        input_tokens, output_tokens = _tokens(body)
        self.input_tokens += input_tokens
        self.output_tokens += output_tokens

    def by_role(self) -> dict[str, int]:
        """How many messages there are of each role that occurs."""
        counts = {
            "user": self.user,
            "assistant": self.assistant,
            "tool": self.tool,
            "system": self.system,
        }
        return {role: count for role, count in counts.items() if count}


def _tokens(body: Mapping[str, Any]) -> tuple[int, int]:
    metadata: dict[str, object] = body.get("metadata") or {}
    usage = metadata.get("usage")
    if not isinstance(usage, dict):
        return 0, 0
    counts = cast("dict[str, object]", usage)
    return _count(counts.get("input_tokens")), _count(counts.get("output_tokens"))


def _count(value: object) -> int:
    return value if type(value) is int and 0 <= value < _LARGEST_COUNT else 0
