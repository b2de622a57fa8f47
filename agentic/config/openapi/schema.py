"""A schema of an OpenAPI document as plain JSON Schema for a tool's arguments.

What is not understood is left out, so that a schema here never asks for more than the document
does: the endpoint checks for itself. Patterns are told and not checked, since a hostile one could
stop the process.
"""

import json
import math
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from agentic.config.openapi.document import Node
from agentic.config.plain_text import one_line
from agentic.config.yaml_text import Tree

_MAX_PARTS = 1_000
"""Of one operation; a few references can stand for millions."""
_MAX_DEPTH = 12
_MAX_CHOICES = 50
_MAX_WORDS = 300
_NAME_CHARACTERS = 100
_DEFAULT_CHARACTERS = 60
_TOLD_CHARACTERS = 300
_TYPES = ("string", "integer", "number", "boolean", "array", "object", "null")
_NUMBERS = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")
_SIZES = ("minLength", "maxLength", "minItems", "maxItems")

Schema = dict[str, Any]


class SchemaReader:
    """Reads the schemas of one operation, but for the properties to leave out of its body."""

    def __init__(self, left_out: Collection[str] = ()) -> None:
        self._left_out = left_out
        self._parts = 0

    def read(self, node: Node, above: tuple[Node, ...] = (), *, is_body: bool = False) -> Schema:
        """The schema at `node`; empty, which takes any value, where it would go round in a circle.

        Raises:
            DocumentError: It is no schema, or the operation's schemas are too large.
        """
        self._parts += 1
        if self._parts > _MAX_PARTS:
            raise node.wrong(
                f"makes this operation's schemas larger than {_MAX_PARTS} parts: leave optional "
                "parameters out by leave_out"
            )
        if isinstance(node.value, bool) or len(above) >= _MAX_DEPTH:
            return {}
        if any(each.path == node.path for each in above):
            return {}
        here = (*above, node)
        schema = self._read_own(node, here, self._left_out if is_body else ())
        for part in node.each("allOf"):
            _add(schema, self.read(part, here, is_body=is_body))
        choices = self._read_choices(node, here)
        if choices is not None and not _take_only(schema, choices):
            schema["anyOf"] = choices
        return _drop_contradictions(schema)

    def _read_own(self, node: Node, here: tuple[Node, ...], left_out: Collection[str]) -> Schema:
        value = node.mapping
        schema: Schema = {}
        if kinds := _read_types(value):
            schema["type"] = kinds[0] if len(kinds) == 1 else kinds
        if told := describe(node):
            schema["description"] = told
        if enum := _read_enum(value):
            schema["enum"] = enum
        schema |= dict(_iterate_bounds(value))
        if node.text("format"):
            schema["format"] = one_line(node.text("format"), 40)
        if (items := node.get("items")) is not None:
            schema["items"] = self.read(items, here)
        if (properties := node.get("properties")) is not None:
            schema["properties"] = {
                name: self.read(each, here)
                for name, each in properties.items()
                if name not in left_out and _is_plain(name) and not each.flag("readOnly")
            }
            schema.setdefault("type", "object")
            known = schema["properties"]
            schema["required"] = [each for each in _texts(value.get("required")) if each in known]
        others = node.get("additionalProperties")
        if others is not None and isinstance(others.value, dict) and others.value:
            schema["additionalProperties"] = self.read(others, here)
        return schema

    def _read_choices(self, node: Node, here: tuple[Node, ...]) -> list[Schema] | None:
        """What one of has to fit; None: anything may. Of oneOf more than one may fit, too."""
        for keyword in ("anyOf", "oneOf"):
            found = [self.read(each, here) for each in node.each(keyword)]
            if found and len(found) <= _MAX_CHOICES and all(found):
                return found
        return None


def describe(node: Node, schema: Node | None = None) -> str:
    """What a schema says of itself, or a parameter with that schema, on one line."""
    schema = schema or node
    told = node.text("description") or schema.text("description") or schema.text("title")
    value = schema.value if isinstance(schema.value, dict) else {}
    parts = [one_line(told, _TOLD_CHARACTERS)]
    if isinstance(pattern := value.get("pattern"), str) and len(pattern) <= _TOLD_CHARACTERS:
        parts.append(f"Pattern: {one_line(pattern, _TOLD_CHARACTERS)}")
    if value.get("default") is not None:
        shown = one_line(json.dumps(value["default"], ensure_ascii=False), _DEFAULT_CHARACTERS)
        parts.append(f"Default: {shown}")
    return " ".join(part for part in parts if part)


def _read_types(value: Mapping[str, Tree]) -> list[str]:
    """The types it names, if all are known; with `null` where it is nullable."""
    named = value.get("type")
    kinds = [named] if isinstance(named, str) else _texts(named)
    if not kinds or any(each not in _TYPES for each in kinds):
        return []
    if value.get("nullable") is True:
        kinds = [*kinds, "null"]
    return list(dict.fromkeys(kinds))


def _read_enum(value: Mapping[str, Tree]) -> list[Tree]:
    if "const" in value:
        return [value["const"]]
    enum = value.get("enum")
    if not isinstance(enum, list) or len(enum) > _MAX_WORDS:
        return []
    if not all(_is_plain(each) for each in enum if isinstance(each, str)):
        return []
    is_nullable = value.get("nullable") is True and None not in enum
    return [*enum, None] if enum and is_nullable else list(enum)


def _iterate_bounds(value: Mapping[str, Tree]) -> Iterator[tuple[str, int | float]]:
    for keyword in _NUMBERS:
        if (found := _to_number(value.get(keyword))) is not None:
            yield keyword, found
    for keyword, bound in (("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")):
        found = _to_number(value.get(bound))
        if value.get(keyword) is True and found is not None:  # as 3.0 has it
            yield keyword, found
    for keyword in _SIZES:
        found = value.get(keyword)
        if isinstance(found, int) and not isinstance(found, bool) and found >= 0:
            yield keyword, found


def _to_number(value: Tree) -> int | float | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return value


def _is_plain(text: str) -> bool:
    """Whether a model may be shown it as it stands."""
    return 0 < len(text) <= _NAME_CHARACTERS and text == one_line(text, _NAME_CHARACTERS)


def _texts(value: Tree) -> list[str]:
    return [each for each in value if isinstance(each, str)] if isinstance(value, list) else []


def _add(schema: Schema, part: Schema) -> None:
    """Make one schema of two that both have to fit; where they say the same, the first counts."""
    schema["properties"] = {**part.get("properties", {}), **schema.get("properties", {})}
    schema["required"] = list(
        dict.fromkeys([*schema.get("required", []), *part.get("required", [])])
    )
    for keyword, value in part.items():
        schema.setdefault(keyword, value)
    for keyword in ("properties", "required"):
        if not schema[keyword]:
            del schema[keyword]


def _take_only(schema: Schema, choices: list[Schema]) -> bool:
    """Where null is the only other choice, or there is none, it becomes a part of the type."""
    real = [each for each in choices if each.get("type") != "null"]
    if len(real) != 1 or "type" in schema or not isinstance(real[0].get("type"), str):
        return False
    only = {**real[0], **schema}
    if len(choices) > 1:
        only["type"] = [only["type"], "null"]
        if "enum" in only:
            only["enum"] = [*only["enum"], None]
    schema.update(only)
    return True


def _drop_contradictions(schema: Schema) -> Schema:
    """Without what no value fits, which must be a mistake."""
    if not schema.get("required", True):
        del schema["required"]
    for low, high in (("minimum", "maximum"), ("minLength", "maxLength"), ("minItems", "maxItems")):
        if low in schema and high in schema and schema[low] > schema[high]:
            del schema[low], schema[high]
    return schema
