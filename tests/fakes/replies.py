"""What a fake model server is told to answer, whichever vendor's format it speaks."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class FakeCall:
    """A tool call; `raw` instead of `arguments` for text that is no JSON object."""

    name: str
    arguments: Mapping[str, Any] = field(default_factory=dict[str, Any])
    id: str = "call_one"
    raw: str | None = None

    def text(self) -> str:
        return json.dumps(self.arguments) if self.raw is None else self.raw


@dataclass(frozen=True, slots=True)
class Say:
    """A proper answer. `stop`: the vendor's own word, absent: what fits."""

    text: str = ""
    thoughts: str = ""
    calls: Sequence[FakeCall] = ()
    stop: str | None = None
    input_tokens: int = 10
    cached_tokens: int = 0
    output_tokens: int = 5


@dataclass(frozen=True, slots=True)
class Fail:
    """An error instead of an answer. `code`: the vendor's own word for it."""

    status: int
    code: str = "error"
    message: str = "something is wrong"
    headers: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True, slots=True)
class FailMidStream:
    """`text`, then the vendor's error event."""

    text: str
    code: str
    message: str = "something is wrong"


@dataclass(frozen=True, slots=True)
class Cut:
    """`text`, then the connection is gone."""

    text: str = ""


@dataclass(frozen=True, slots=True)
class Hang:
    """`text`, then nothing, or the bytes of `pulse` again and again."""

    text: str = ""
    pulse: bytes = b""


@dataclass(frozen=True, slots=True)
class Raw:
    """Any bytes."""

    body: bytes
    status: int = 200
    content_type: str = "text/event-stream"
    headers: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True, slots=True)
class Chunks:
    """The data of events as given (`[DONE]` is not added), then the end, unless it stays open."""

    events: Sequence[object]
    stays_open: bool = False


FakeReply = Say | Fail | FailMidStream | Cut | Hang | Raw | Chunks


def split(text: str, size: int = 7) -> list[str]:
    """`text` in pieces, as models stream it."""
    return [text[start : start + size] for start in range(0, len(text), size)]
