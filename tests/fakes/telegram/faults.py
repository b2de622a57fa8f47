"""What can go wrong on demand, once for each time it is asked for."""

from dataclasses import dataclass, field
from typing import Any

import anyio


@dataclass(frozen=True, slots=True)
class DropBefore:
    """Closes the connection without doing anything."""


@dataclass(frozen=True, slots=True)
class DropAfter:
    """Does what was asked, then closes the connection without an answer."""


@dataclass(frozen=True, slots=True)
class Status:
    """Answers with this error and does nothing."""

    status: int
    description: str
    parameters: dict[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True, slots=True)
class Garbage:
    """Answers 200 with something that is no JSON, and does nothing."""


@dataclass(frozen=True, slots=True)
class Hang:
    """Holds the request until released, then treats it as usual. `reached`: it came."""

    reached: anyio.Event = field(default_factory=anyio.Event)
    release: anyio.Event = field(default_factory=anyio.Event)


@dataclass(frozen=True, slots=True)
class Twice:
    """Of `getUpdates`: each update of the answer stands in it twice."""


@dataclass(frozen=True, slots=True)
class Reversed:
    """Of `getUpdates`: the updates of the answer come newest first."""


Fault = DropBefore | DropAfter | Status | Garbage | Hang | Twice | Reversed

SERVER_ERROR = Status(500, "Internal Server Error")
CONFLICT = Status(
    409,
    "Conflict: terminated by other getUpdates request; "
    "make sure that only one bot instance is running",
)


def too_many_requests(retry_after: int) -> Status:
    """Flood control."""
    return Status(
        429, f"Too Many Requests: retry after {retry_after}", {"retry_after": retry_after}
    )
