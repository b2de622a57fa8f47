"""Schemas of values that travel as words, in a path, a query, a header or a form."""

from collections.abc import Mapping
from typing import Any

from agentic.config.openapi.schema import Schema

_SCALARS: Mapping[str, type | tuple[type, ...]] = {
    "string": str,
    "integer": int,
    "number": (int, float),
    "boolean": bool,
}
_KEPT = {
    "string": ("minLength", "maxLength", "format"),
    "integer": ("minimum", "maximum"),
    "number": ("minimum", "maximum"),
    "boolean": (),
}
_LIST_KEPT = ("minItems", "maxItems")


def to_word(schema: Schema) -> dict[str, Any] | None:
    """The schema as a parameter's declaration; None: such a value is no word and no list of them.

    Of several types text is the one that can say all.
    """
    kinds = _list_types(schema)
    if "object" in kinds or "properties" in schema:
        return None
    if kinds == ["array"]:
        return _to_list(schema)
    choices = schema.get("anyOf", [])
    if any("array" in _list_types(each) for each in choices):
        schema = next(each for each in choices if "array" in _list_types(each)) | {
            key: schema[key] for key in ("description",) if key in schema
        }
        return _to_list(schema)
    if choices and not kinds and any(to_word(each) is None for each in choices):
        return None
    kind = kinds[0] if len(kinds) == 1 else "string"
    kept = _KEPT[kind] if len(kinds) == 1 else ()
    word = {key: schema[key] for key in ("description", *kept) if key in schema}
    if enum := _fit_enum(schema, kind):
        word["enum"] = enum
    return {"type": kind, **word}


def _to_list(schema: Schema) -> dict[str, Any] | None:
    items = to_word(schema.get("items", {}))
    if items is None or items["type"] == "array":
        return None
    kept = {key: schema[key] for key in ("description", *_LIST_KEPT) if key in schema}
    return {"type": "array", "items": items, **kept}


def _list_types(schema: Schema) -> list[str]:
    kinds = schema.get("type", [])
    return [each for each in ([kinds] if isinstance(kinds, str) else kinds) if each != "null"]


def _fit_enum(schema: Schema, kind: str) -> list[Any]:
    """The values, if all are of the type (true is no integer)."""
    enum = [each for each in schema.get("enum", []) if each is not None]
    fits = all(
        isinstance(each, _SCALARS[kind]) and isinstance(each, bool) == (kind == "boolean")
        for each in enum
    )
    return enum if fits else []
