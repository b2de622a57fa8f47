"""A tool's input schema as one whose every answer is short: a grammar a small model can't leave.

A string without an end, a list without a last item or a schema within itself would let the model
write until its room is used up, and what is cut off is no JSON. What is left out here is still
checked by the tool's server, whose error the model can read.
"""

from collections.abc import Mapping, Sequence
from typing import Any, cast

_MAX_STRING = 600
_MAX_ITEMS = 6
_MAX_DEPTH = 6
_MAX_PARTS = 200
"""Of the whole: schemas that name themselves several times grow by leaps."""
_MAX_CHOICES = 6
_MAX_PROPERTIES = 24
_MAX_ENUM = 60
_INTEGERS = (-1_000_000_000, 1_000_000_000)
_FORMATS = frozenset({"date", "time", "date-time"})
_ANY: Mapping[str, Any] = {"type": "string", "maxLength": _MAX_STRING}

Schema = dict[str, Any]


def to_bounded_schema(schema: Mapping[str, Any]) -> Schema:
    """`schema`, an object's, with references resolved, everything bounded, the rest dropped."""
    bounded = _Bounder(schema).bound({**schema, "type": "object"}, _MAX_DEPTH)
    return bounded or _to_object({}, ())


class _Bounder:
    def __init__(self, root: Mapping[str, Any]) -> None:
        self._root = root
        self._parts_left = _MAX_PARTS

    def bound(self, schema: object, depth: int) -> Schema | None:
        """None where it goes too deep, or nothing is allowed."""
        self._parts_left -= 1
        if depth == 0 or self._parts_left < 0 or schema is False:
            return None
        if not isinstance(schema, Mapping):
            return dict(_ANY)
        fields = self._resolve(cast("Mapping[str, Any]", schema))
        if "const" in fields:
            return {"const": fields["const"]}
        if isinstance(values := fields.get("enum"), list) and values:
            return {"enum": values[:_MAX_ENUM]}
        for name in ("anyOf", "oneOf"):
            if isinstance(choices := fields.get(name), list) and "properties" not in fields:
                return self._choose(cast("list[object]", choices), depth)
        return self._bound_type(fields, depth)

    def _bound_type(self, fields: Mapping[str, Any], depth: int) -> Schema | None:
        kind = fields.get("type") or ("object" if "properties" in fields else "string")
        if isinstance(kind, list):
            kinds = cast("list[object]", kind)
            return self._choose([{**fields, "type": each} for each in kinds], depth)
        match kind:
            case "object":
                return self._bound_object(fields, depth)
            case "array":
                return self._bound_array(fields, depth)
            case "integer":
                return _bound_integer(fields)
            case "number" | "boolean" | "null":
                return {"type": kind}
            case _:
                return _bound_string(fields)

    def _resolve(self, schema: Mapping[str, Any]) -> Mapping[str, Any]:
        """Follow `$ref` within the schema; one that leads nowhere or in circles is anything."""
        seen: set[str] = set()
        while isinstance(reference := schema.get("$ref"), str):
            target = self._look_up(reference)
            if reference in seen or target is None:
                return {}
            seen.add(reference)
            rest = {name: value for name, value in schema.items() if name != "$ref"}
            schema = {**target, **rest}
        merged: dict[str, Any] = {}
        for part in _sequence(schema.get("allOf")):
            if isinstance(part, Mapping):
                merged.update(self._resolve_part(cast("Mapping[str, Any]", part), seen))
        return {**merged, **schema}

    def _resolve_part(self, part: Mapping[str, Any], seen: set[str]) -> Mapping[str, Any]:
        reference = part.get("$ref")
        if isinstance(reference, str) and reference not in seen:
            return self._look_up(reference) or {}
        return part

    def _look_up(self, reference: str) -> Mapping[str, Any] | None:
        found: object = self._root
        if not reference.startswith("#"):
            return None
        for step in reference.removeprefix("#").strip("/").split("/"):
            name = step.replace("~1", "/").replace("~0", "~")
            if name and isinstance(found, Mapping):
                found = cast("Mapping[str, object]", found).get(name)
        return cast("Mapping[str, Any]", found) if isinstance(found, Mapping) else None

    def _choose(self, choices: Sequence[object], depth: int) -> Schema | None:
        bounded = [self.bound(choice, depth - 1) for choice in choices[:_MAX_CHOICES]]
        kept = [choice for choice in bounded if choice is not None]
        if len(kept) > 1:
            return {"anyOf": kept}
        return kept[0] if kept else None

    def _bound_object(self, fields: Mapping[str, Any], depth: int) -> Schema | None:
        given = _mapping(fields.get("properties"))
        required = [name for name in _sequence(fields.get("required")) if name in given]
        # Those that are needed first: of the others only so many are offered.
        names = [*required, *(name for name in given if name not in required)][:_MAX_PROPERTIES]
        bounded: dict[str, Schema] = {}
        for name in (name for name in given if name in names):
            value = self.bound(given[name], depth - 1)
            if value is not None:
                bounded[name] = value
            elif name in required:
                return None
        return _to_object(bounded, [name for name in required if name in bounded])

    def _bound_array(self, fields: Mapping[str, Any], depth: int) -> Schema | None:
        item = self.bound(fields.get("items", {}), depth - 1)
        if item is None:
            return None
        most = _within(fields.get("maxItems"), _MAX_ITEMS, least=1)
        least = min(most, _within(fields.get("minItems", 0), most))
        return {"type": "array", "items": item, "minItems": least, "maxItems": most}


def _to_object(properties: Mapping[str, Schema], required: Sequence[str]) -> Schema:
    return {
        "type": "object",
        "properties": dict(properties),
        "required": list(required),
        "additionalProperties": False,
    }


def _bound_string(fields: Mapping[str, Any]) -> Schema:
    if fields.get("format") in _FORMATS:
        return {"type": "string", "format": fields["format"]}
    longest = _within(fields.get("maxLength"), _MAX_STRING, least=1)
    shortest = min(longest, _within(fields.get("minLength", 0), longest))
    return {"type": "string", "minLength": shortest, "maxLength": longest}


def _bound_integer(fields: Mapping[str, Any]) -> Schema:
    least, most = _INTEGERS
    for name, step in (("minimum", 0), ("exclusiveMinimum", 1)):
        if _is_number(fields.get(name)):
            least = max(least, int(fields[name]) + step)
    for name, step in (("maximum", 0), ("exclusiveMaximum", -1)):
        if _is_number(fields.get(name)):
            most = min(most, int(fields[name]) + step)
    return {"type": "integer", "minimum": least, "maximum": max(least, most)}


def _within(value: object, most: int, *, least: int = 0) -> int:
    return max(least, min(most, value)) if isinstance(value, int) else most


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e15


def _sequence(value: object) -> Sequence[Any]:
    return cast("list[Any]", value) if isinstance(value, list) else ()


def _mapping(value: object) -> Mapping[str, Any]:
    return cast("Mapping[str, Any]", value) if isinstance(value, Mapping) else {}
