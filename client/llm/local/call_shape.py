"""How the embedded model writes the calls of a tool: as values alone, where that leaves no doubt.

Each token that is written takes time, and the names of arguments are half of a call. So a call is
`["Oak","2026-12-03",45]`, in the tool's order, or just the value where there is one: quotes and
brackets stay, since without them a small model runs the values together or repeats the tool's
name. What may be left out keeps its name: without, it takes any word of the question for it.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import JsonValue, TypeAdapter

from client.llm.local.bounded_schema import to_bounded_schema

MAX_CALLS = 4

_WRITTEN = TypeAdapter(list[JsonValue])


@dataclass(frozen=True, slots=True)
class CallShape:
    """What is filled in, by its name and bounded schema: all of it `needed`, or none."""

    properties: Mapping[str, Mapping[str, Any]]
    needed: bool

    @classmethod
    def of(cls, input_schema: Mapping[str, Any]) -> "CallShape":
        """What is needed, or all where nothing is.

        A small model fills in whatever it is offered, and makes up ids and limits.
        """
        bounded = to_bounded_schema(input_schema)
        required: list[str] = bounded["required"]
        properties: dict[str, Any] = bounded["properties"]
        return cls({name: properties[name] for name in required or properties}, bool(required))

    def write(self, calls: Sequence[Mapping[str, object]]) -> str:
        """A list of the calls, as the model writes it; nothing where nothing is filled in."""
        offered = [{name: c[name] for name in self.properties if name in c} for c in calls]
        if not self.needed:
            return write_json(offered) if self.properties else ""
        whole = [[*call.values()] for call in offered if len(call) == len(self.properties)]
        written = [call[0] if len(call) == 1 else call for call in whole]
        return write_json(written) if written else ""

    def read(self, written: str) -> list[dict[str, JsonValue]]:
        """The calls that the model wrote; one without arguments where there is nothing.

        Raises:
            ValueError: They are cut off, or of another shape.
        """
        if not written:
            return [{}]
        return [self._read_call(call) for call in _WRITTEN.validate_json(written)]

    def _read_call(self, call: JsonValue) -> dict[str, JsonValue]:
        if isinstance(call, dict) and not self.needed:
            return call
        values = [call] if len(self.properties) == 1 else call
        if not isinstance(values, list) or not self.needed:
            raise ValueError("a call is of another shape than its tool's")
        return dict(zip(self.properties, values, strict=True))


def write_json(value: object) -> str:
    """Compact: a comma between quotes is one token then."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
