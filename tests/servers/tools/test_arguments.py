"""Arguments are checked before anything is sent, and errors say which and what was expected."""

import json
from typing import Any

import anyio
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from mcp import Client
from pydantic import JsonValue

from agentic.config.json_schema import create_validator, iterate_problems
from agentic.config.tool_parameters import ParameterConfig, fill_defaults, to_object_schema
from servers.access.principal import create_operator
from servers.tools.server import create_server
from tests.fakes.tool_endpoint import ToolEndpoint, compute, serve_tool_endpoint
from tests.servers.tools.conftest import OpenTools, declare, error_of

PARAMETERS: dict[str, Any] = {
    "query": "string",
    "limit": {"type": "integer", "default": 5, "minimum": 1, "maximum": 50},
    "share": {"type": "number", "required": False},
    "exact": {"type": "boolean", "default": False},
    "level": {"type": "string", "enum": ["low", "high"], "default": "low"},
    "code": {"type": "string", "minLength": 2, "maxLength": 4, "required": False},
    "word": {"type": "string", "pattern": "^[a-z]+$", "required": False},
    "day": {"type": "string", "format": "date", "required": False},
    "moment": {"type": "string", "format": "date-time", "required": False},
    "link": {"type": "string", "format": "uri", "required": False},
    "tags": {"type": "array", "items": "string", "maxItems": 2, "required": False},
    "note": {"type": "string", "nullable": True, "required": False},
    "place": {
        "type": "object",
        "required": False,
        "properties": {"city": "string", "country": {"type": "string", "default": "DE"}},
    },
    "places": {
        "type": "array",
        "required": False,
        "items": {"type": "object", "properties": {"zoom": {"type": "integer", "default": 3}}},
    },
    "free": {"type": "object", "required": False},
}
DEFAULTS = {"limit": 5, "exact": False, "level": "low"}


@pytest.mark.parametrize(
    ("wrong", "field", "expected"),
    [
        ({}, "query", "query (a string) must be given"),
        ({"query": 5}, "query", "query must be a string, not 5"),
        ({"query": None}, "query", "query must be a string, not null"),
        ({"query": ["a"]}, "query", "query must be a string, not an array"),
        ({"limit": "5"}, "limit", 'limit must be an integer, not the string "5"'),
        ({"limit": True}, "limit", "limit must be an integer, not true"),
        ({"limit": 5.5}, "limit", "limit must be an integer, not 5.5"),
        ({"limit": 0}, "limit", "limit must be at least 1, not 0"),
        ({"limit": 2**63}, "limit", "limit must be at most 50, not 9223372036854775808"),
        ({"share": "all"}, "share", "share must be a number"),
        ({"share": False}, "share", "share must be a number, not false"),
        ({"exact": "yes"}, "exact", "exact must be true or false"),
        ({"exact": 1}, "exact", "exact must be true or false, not 1"),
        ({"level": "mid"}, "level", 'level must be one of "low", "high", not the string "mid"'),
        ({"code": "a"}, "code", "code must have at least 2 characters"),
        ({"code": "abcde"}, "code", "code must have at most 4 characters"),
        ({"word": "A1"}, "word", "word must match the pattern ^[a-z]+$"),
        ({"day": "2026-02-30"}, "day", "day must be in the format date"),
        ({"moment": "2026-02-03T10:00"}, "moment", "moment must be in the format date-time"),
        ({"link": "not a link"}, "link", "link must be in the format uri"),
        ({"tags": "a"}, "tags", "tags must be an array"),
        ({"tags": ["a", 2]}, "tags[1]", "tags[1] must be a string, not 2"),
        ({"tags": ["a", "b", "c"]}, "tags", "tags must have at most 2 items"),
        ({"place": {}}, "place.city", "place.city (a string) must be given"),
        ({"place": {"city": 1}}, "place.city", "place.city must be a string, not 1"),
        ({"place": {"city": "B", "zip": 1}}, "place.zip", "place.zip is unknown; known: city"),
        ({"places": [{}, {"zoom": "x"}]}, "places[1].zoom", "places[1].zoom must be an integer"),
        ({"free": "x"}, "free", "free must be an object"),
        ({"limt": 3}, "limt", "limt is unknown; did you mean limit? known: query, limit"),
        ({"": 3}, "", "is unknown; known: query"),
        ({"a\x1b[2J" + "b" * 9_000: 3}, "ab", "…"),
    ],
)
async def test_a_wrong_argument_is_named_with_what_was_expected(
    endpoint: ToolEndpoint,
    open_tools: OpenTools,
    wrong: dict[str, Any],
    field: str,
    expected: str,
) -> None:
    arguments = {"query": "q", **wrong} if wrong else {}
    async with open_tools(t={"url": endpoint.url, "parameters": PARAMETERS}) as client:
        error = error_of(await client.call_tool("t", arguments))
    assert error["code"] == "invalid"
    assert error["field"].startswith(field)
    assert expected in error["message"]
    assert "\x1b" not in json.dumps(error, ensure_ascii=False)
    assert len(error["message"]) < 1_000
    assert endpoint.requests == []


@pytest.mark.parametrize(
    ("given", "filled"),
    [
        ({}, {}),
        ({"limit": 7}, {"limit": 7}),
        ({"limit": 5.0}, {"limit": 5.0}),
        ({"share": 1}, {"share": 1}),
        ({"level": "high", "exact": True}, {"level": "high", "exact": True}),
        ({"note": None}, {"note": None}),
        ({"moment": "2026-02-03T10:00:00Z"}, {"moment": "2026-02-03T10:00:00Z"}),
        ({"place": {"city": "B"}}, {"place": {"city": "B", "country": "DE"}}),
        ({"places": [{}, {"zoom": 1}]}, {"places": [{"zoom": 3}, {"zoom": 1}]}),
        ({"free": {"any": [1, None]}}, {"free": {"any": [1, None]}}),
    ],
)
async def test_right_arguments_arrive_unchanged_with_defaults_filled_in(
    endpoint: ToolEndpoint,
    open_tools: OpenTools,
    given: dict[str, Any],
    filled: dict[str, Any],
) -> None:
    url = endpoint.on("/", compute(lambda request: request.params))
    async with open_tools(t={"url": url, "parameters": PARAMETERS}) as client:
        result = await client.call_tool("t", {"query": "q", **given})
    assert result.structured_content == {"result": {**DEFAULTS, "query": "q", **filled}}


async def test_several_wrong_arguments_are_told_at_once(open_tools: OpenTools) -> None:
    url = "http://127.0.0.1:9/"
    async with open_tools(t={"url": url, "parameters": PARAMETERS}) as client:
        error = error_of(await client.call_tool("t", {"limit": "5", "exact": 0}))
    assert "limit must be an integer" in error["message"]
    assert "exact must be true or false" in error["message"]


async def test_a_tool_without_parameters_takes_none(open_tools: OpenTools) -> None:
    async with open_tools(t={"url": "http://127.0.0.1:9/"}) as client:
        error = error_of(await client.call_tool("t", {"a": 1}))
    assert error["message"] == "a is unknown; known: no arguments"


async def test_broken_unicode_is_refused_before_it_is_sent(endpoint: ToolEndpoint) -> None:
    declared = declare(t={"url": endpoint.url, "parameters": {"text": "string"}})
    with anyio.fail_after(10):
        # in memory, where nothing encodes it on its way
        async with Client(create_server(declared, create_operator("ada"))) as client:
            error = error_of(await client.call_tool("t", {"text": "\ud800"}))
    assert error["code"] == "invalid"
    assert endpoint.requests == []


_SCALARS: dict[str, st.SearchStrategy[JsonValue]] = {
    "string": st.text(alphabet=st.characters(exclude_categories=["Cs"])),
    "integer": st.integers(),
    "number": st.floats(allow_nan=False, allow_infinity=False) | st.integers(),
    "boolean": st.booleans(),
}


@st.composite
def _parameters_and_values(draw: st.DrawFn, depth: int = 2) -> tuple[dict[str, Any], JsonValue]:
    """A parameter as `mcp.yml` may write it, and a value that fits it."""
    kinds = [*_SCALARS, *(("array", "object") if depth else ())]
    kind = draw(st.sampled_from(kinds))
    if kind == "array":
        items, value = draw(_parameters_and_values(depth=depth - 1))
        return {"type": "array", "items": items}, [value] * draw(st.integers(0, 3))
    if kind == "object":
        names = draw(
            st.lists(st.from_regex(r"[a-z]{1,8}", fullmatch=True), max_size=3, unique=True)
        )
        drawn = {name: draw(_parameters_and_values(depth=depth - 1)) for name in names}
        properties = {name: parameter for name, (parameter, _) in drawn.items()}
        return {"type": "object", "properties": properties}, {
            name: value for name, (_, value) in drawn.items()
        }
    value = draw(_SCALARS[kind])
    parameter: dict[str, Any] = {"type": kind}
    if draw(st.booleans()):
        parameter["default"] = draw(_SCALARS[kind])
    if draw(st.booleans()):
        parameter |= {"nullable": True, "required": draw(st.booleans())}
    return parameter, value


@given(_parameters_and_values())
def test_any_parameter_becomes_a_sound_schema_that_takes_its_values(
    drawn: tuple[dict[str, Any], JsonValue],
) -> None:
    written, value = drawn
    parameters = {"it": ParameterConfig.model_validate(written)}
    schema = to_object_schema(parameters, None)
    Draft202012Validator.check_schema(schema)
    filled = fill_defaults(parameters, {"it": value})
    assert not [*iterate_problems(create_validator(schema), filled)]
    assert fill_defaults(parameters, filled) == filled


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.dictionaries(
        st.sampled_from([*PARAMETERS, "other", "request_id"]),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
            lambda inner: (
                st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3)
            ),
            max_leaves=5,
        ),
    )
)
def test_whatever_is_given_ends_in_an_answer_or_in_an_error_with_a_code(
    arguments: dict[str, Any],
) -> None:
    async def call() -> None:
        async with serve_tool_endpoint() as endpoint:
            url = endpoint.on("/", compute(lambda request: request.params))
            declared = declare(t={"url": url, "parameters": PARAMETERS})
            server = create_server(declared, create_operator("ada"))
            with anyio.fail_after(10):
                async with Client(server) as client:
                    result = await client.call_tool("t", arguments)
            if result.is_error:
                assert error_of(result)["code"] == "invalid"
                assert endpoint.requests == []
            else:
                assert "query" in endpoint.requests[0].params

    anyio.run(call)
