"""The smallest arguments that a JSON Schema takes, with values of one's own where names match."""

from collections.abc import Mapping
from typing import Any

import jsonschema


def make_arguments(schema: Mapping[str, Any], named: Mapping[str, object]) -> dict[str, Any]:
    """What the schema requires, lists with one element. `named`: property → value to use."""
    made = _Maker(schema, named).make(schema)
    jsonschema.validate(made, schema)
    return made


class _Maker:
    def __init__(self, root: Mapping[str, Any], named: Mapping[str, object]) -> None:
        self._root = root
        self._named = named

    def make(self, schema: Mapping[str, Any]) -> Any:
        if "$ref" in schema:
            return self.make(self._root["$defs"][schema["$ref"].rpartition("/")[2]])
        if "const" in schema:
            return schema["const"]
        if "enum" in schema:
            return schema["enum"][0]
        for union in ("anyOf", "oneOf"):
            if union in schema:
                return self.make(schema[union][0])
        return self._make_by_type(schema)

    def _make_by_type(self, schema: Mapping[str, Any]) -> Any:
        match schema.get("type"):
            case "object":
                properties = schema.get("properties", {})
                return {
                    name: self._named.get(name, None) or self.make(properties[name])
                    for name in schema.get("required", ())
                }
            case "array":
                return [self.make(schema["items"])] if "items" in schema else []
            case "string":
                return "x" * max(1, schema.get("minLength", 1))
            case "integer" | "number":
                return schema.get("minimum", 0)
            case "boolean":
                return False
            case unknown:
                raise AssertionError(f"no value can be made up for the type {unknown!r}")
