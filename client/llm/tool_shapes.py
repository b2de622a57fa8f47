"""Tools on the wire: schemas that both vendors take, and arguments as models write them."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Never, cast
from uuid import uuid4

from client.llm.protocol import ToolCall
from servers.conversations.contract import encode_json

_REFUSED_AT_THE_TOP = frozenset({"oneOf", "anyOf", "allOf", "not", "enum", "$schema", "$id"})


def to_tool_schema(schema: Mapping[str, Any]) -> dict[str, Any]:
    """`schema` as a plain object schema.

    Vendors refuse a whole request for one tool with a choice at the top of its schema. What is left
    out here is still checked by the tool's server, whose error the model can read.
    """
    kept = {key: value for key, value in schema.items() if key not in _REFUSED_AT_THE_TOP}
    return {"properties": {}, **kept, "type": "object"}


@dataclass(slots=True)
class HeardCall:
    """A tool call as it comes: `raw` is the JSON text of its arguments so far."""

    id: str = ""
    name: str = ""
    raw: str = ""


def to_tool_calls(heard: Iterable[HeardCall]) -> tuple[ToolCall, ...]:
    """The calls of one answer. A missing or repeated id is replaced: results are matched by it."""
    calls: list[ToolCall] = []
    ids: set[str] = set()
    for call in heard:
        call_id = clean_text(call.id)
        if not call_id or call_id in ids:
            call_id = f"call_{uuid4().hex}"
        ids.add(call_id)
        raw = clean_text(call.raw)
        calls.append(ToolCall(call_id, clean_text(call.name), _parse_arguments(call.raw), raw))
    return tuple(calls)


def clean_text(text: str) -> str:
    """`text` without NUL and lone surrogates, which JSON can carry and no store of ours takes."""
    return text.replace("\0", "").encode("utf-8", "replace").decode("utf-8")


def _parse_arguments(raw: str) -> dict[str, Any] | None:
    """None unless it is an object that can be stored; no text at all means no arguments."""
    try:
        parsed: object = json.loads(raw, parse_constant=_refuse_constant) if raw.strip() else {}
        encode_json(parsed)
    except (ValueError, RecursionError):
        return None
    return cast("dict[str, Any]", parsed) if isinstance(parsed, dict) else None


def _refuse_constant(constant: str) -> Never:
    raise ValueError(f"{constant} is no JSON")
