"""Tools on the wire: schemas that both vendors take, and arguments as models write them."""

import json
from collections.abc import Mapping
from typing import Any, Never, cast

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


def to_tool_call(call_id: str, name: str, raw: str) -> ToolCall:
    """A call from the JSON text that a model wrote; none at all means no arguments."""
    try:
        parsed: object = json.loads(raw, parse_constant=_refuse_constant) if raw.strip() else {}
        encode_json(parsed)
    except (ValueError, RecursionError):
        parsed = None
    arguments = cast("dict[str, Any]", parsed) if isinstance(parsed, dict) else None
    return ToolCall(call_id, clean_text(name), arguments, clean_text(raw))


def clean_text(text: str) -> str:
    """`text` without NUL and lone surrogates, which JSON can carry and no store of ours takes."""
    return text.replace("\0", "").encode("utf-8", "replace").decode("utf-8")


def _refuse_constant(constant: str) -> Never:
    raise ValueError(f"{constant} is no JSON")
