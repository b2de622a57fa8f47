"""How the embedded model writes the calls of a tool: as briefly as leaves no doubt.

Each token that is written takes time. But a small model needs the names: of values alone it swaps
two, and one it begins with a comma or a name of its own.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import JsonValue, TypeAdapter

from client.llm.local.bounded_schema import to_bounded_schema

MAX_CALLS = 4

_CALLS = TypeAdapter(list[dict[str, JsonValue]])


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
        if self.needed:
            offered = [call for call in offered if len(call) == len(self.properties)]
        return write_json(offered) if self.properties and (offered or not self.needed) else ""

    def read(self, written: str) -> list[dict[str, JsonValue]]:
        """The calls that the model wrote; one without arguments where there is nothing.

        Raises:
            ValueError: They are cut off, or of another shape.
        """
        return _CALLS.validate_json(written) if written else [{}]


def write_json(value: object) -> str:
    """Compact: a comma between quotes is one token then."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
