"""What a check found: how it is, in one line, and how to mend it, in another."""

from dataclasses import dataclass
from typing import Literal

State = Literal["ok", "warning", "problem"]


@dataclass(frozen=True, slots=True)
class Finding:
    """`check` is the room, such as `disk`, or the room and the thing: `servers/tools`."""

    check: str
    state: State
    summary: str
    fix: str | None = None
