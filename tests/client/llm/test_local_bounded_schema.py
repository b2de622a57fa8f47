"""Tools' schemas as grammars that a small model can't leave, and always comes to the end of."""

import json
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from client.llm.local.bounded_schema import to_bounded_schema

NAMES = st.sampled_from(["a", "b", "$ref", "type"])


def check_bounds(schema: Any, depth: int = 0) -> None:
    """Everything that could go on for ever has an end."""
    assert depth < 12
    assert "$ref" not in schema
    assert "pattern" not in schema
    if "const" in schema or "enum" in schema:
        return
    if "anyOf" in schema:
        for choice in schema["anyOf"]:
            check_bounds(choice, depth + 1)
        return
    match schema["type"]:
        case "string":
            assert schema.get("maxLength", 0) <= 1_000
            assert "maxLength" in schema or "format" in schema
        case "array":
            assert schema["maxItems"] <= 10
            check_bounds(schema["items"], depth + 1)
        case "integer":
            assert schema["minimum"] <= schema["maximum"]
        case "object":
            assert schema["additionalProperties"] is False
            for value in schema["properties"].values():
                check_bounds(value, depth + 1)
        case kind:
            assert kind in ("number", "boolean", "null")


def bound(properties: dict[str, Any], **fields: Any) -> dict[str, Any]:
    schema = to_bounded_schema({"type": "object", "properties": properties, **fields})
    check_bounds(schema)
    return schema


@pytest.mark.parametrize(
    ("given_schema", "bounded"),
    [
        ({"type": "string"}, {"type": "string", "minLength": 0, "maxLength": 600}),
        (
            {"type": "string", "maxLength": 5, "minLength": 9, "pattern": ".*"},
            {"type": "string", "minLength": 5, "maxLength": 5},
        ),
        (
            {"type": "integer", "minimum": 1, "exclusiveMaximum": 9},
            {"type": "integer", "minimum": 1, "maximum": 8},
        ),
        ({"enum": ["x", 1, None]}, {"enum": ["x", 1, None]}),
        ({"const": 7}, {"const": 7}),
        ({"type": "string", "format": "date"}, {"type": "string", "format": "date"}),
        ({"type": ["boolean", "null"]}, {"anyOf": [{"type": "boolean"}, {"type": "null"}]}),
        ({"anyOf": [{"type": "number"}]}, {"type": "number"}),
        (True, {"type": "string", "maxLength": 600}),
        (
            {"type": "array", "items": {"type": "boolean"}, "minItems": 2, "maxItems": 900},
            {"type": "array", "items": {"type": "boolean"}, "minItems": 2, "maxItems": 6},
        ),
    ],
)
def test_each_kind_is_bounded(given_schema: Any, bounded: dict[str, Any]) -> None:
    assert bound({"a": given_schema})["properties"] == {"a": bounded}


def test_references_are_followed_and_circles_cut() -> None:
    definitions = {
        "Node": {
            "type": "object",
            "properties": {"name": {"type": "string"}, "next": {"$ref": "#/$defs/Node"}},
            "required": ["name"],
        },
        "Loop": {"$ref": "#/$defs/Loop"},
    }
    properties = {"node": {"$ref": "#/$defs/Node"}, "loop": {"$ref": "#/$defs/Loop"}}
    schema = bound(properties, **{"$defs": definitions})
    assert schema["properties"]["node"]["properties"]["next"]["required"] == ["name"]
    jsonschema.validate({"node": {"name": "x", "next": {"name": "y"}}}, schema)


def test_needed_fields_stay_needed_and_come_first_where_there_are_too_many() -> None:
    properties = {f"p{number}": {"type": "string"} for number in range(200)}
    schema = bound(properties, required=["p199", "missing"])
    assert schema["required"] == ["p199"]
    assert len(schema["properties"]) <= 30


@pytest.mark.parametrize(
    "schema",
    [{}, {"type": "object"}, {"properties": None}, {"type": "string"}, {"allOf": [{"$ref": "#"}]}],
)
def test_what_describes_nothing_takes_nothing(schema: dict[str, Any]) -> None:
    bounded = to_bounded_schema(schema)
    assert bounded["properties"] == {}
    check_bounds(bounded)


LEAVES: list[Any] = [
    True, False, {}, {"type": "string"}, {"type": "integer", "minimum": 3}, {"$ref": "#"},
    {"$ref": "#/nowhere"}, {"enum": [1, "a"]}, {"type": ["string", "null"]}, {"$ref": 5},
    {"type": "array"}, {"minItems": "x", "type": "array"}, {"type": "frog"}, {"anyOf": []},
]  # fmt: skip


def combine(children: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    def to_array(one: Any) -> Any:
        return {"type": "array", "items": one}

    def to_choice(name: str, some: list[Any]) -> Any:
        return {name: some}

    def to_object(some: dict[str, Any]) -> Any:
        return {"type": "object", "properties": some, "required": list(some)}

    names = st.sampled_from(["anyOf", "oneOf", "allOf"])
    return st.one_of(
        st.builds(to_array, children),
        st.builds(to_choice, names, st.lists(children, max_size=3)),
        st.builds(to_object, st.dictionaries(NAMES, children, max_size=3)),
    )


SCHEMAS: st.SearchStrategy[Any] = st.recursive(st.sampled_from(LEAVES), combine, max_leaves=12)


@given(SCHEMAS)
@settings(max_examples=300, deadline=None)
def test_any_schema_of_any_server_becomes_a_bounded_one(schema: Any) -> None:
    check_bounds(to_bounded_schema({"properties": {"a": schema}, "$defs": {"b": schema}}))
    bounded = to_bounded_schema({"allOf": [schema], "properties": {"a": {"$ref": "#"}}})
    check_bounds(bounded)
    assert len(json.dumps(bounded)) < 50_000


@pytest.mark.parametrize("name", ["anyOf", "properties"])
def test_a_schema_that_names_itself_many_times_stays_small(name: str) -> None:
    parts = [{"$ref": "#"}] * 24
    schema = (
        {"anyOf": parts}
        if name == "anyOf"
        else {"properties": {f"p{n}": p for n, p in enumerate(parts)}}
    )
    bounded = to_bounded_schema({**schema, "type": "object"})
    check_bounds(bounded)
    assert len(json.dumps(bounded)) < 50_000
