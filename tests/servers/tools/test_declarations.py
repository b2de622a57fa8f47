"""From a declaration to what clients see of the tool."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from mcp.types import Tool
from pydantic import ValidationError

from agentic.config.load import load_config
from agentic.config.tool_parameters import ParameterConfig
from tests.fakes.tool_endpoint import ToolEndpoint, compute
from tests.servers.tools.conftest import OpenTools, declare, error_of

SEED = """
tools:
  web_search:
    url: "https://mcp-search-service.example.com/search"
    description: "Search the web for information"
    timeout: 10
    parameters:
      query:
        type: "string"
        description: "The search query"
      limit:
        type: "integer"
        description: "Maximum number of results"
        default: 5

  email_sender:
    url: "https://mcp-email-service.example.com/send"
    description: "Send an email to a recipient"
    requires_auth: true
    timeout: 15
    parameters:
      to:
        type: "string"
        description: "Recipient's email address"
      subject:
        type: "string"
        description: "Email subject"
      body:
        type: "string"
        description: "Email body content"
"""
URL = "http://127.0.0.1:9/"


async def test_the_first_example_runs_as_it_is_written(
    endpoint: ToolEndpoint, open_tools: OpenTools, tmp_path: Path
) -> None:
    endpoint.on("/search", compute(lambda request: [f"about {request.params['query']}"]))
    here = SEED.replace("https://mcp-search-service.example.com", endpoint.url)
    (tmp_path / "mcp.yml").write_text(here)
    config = load_config({"HOME": str(tmp_path)}, cwd=tmp_path)
    assert config.warnings == []
    async with open_tools(**config.tools) as client:
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}
        assert tools["web_search"].description == "Search the web for information"
        assert tools["web_search"].input_schema == {
            "type": "object",
            "properties": {
                "query": {"type": "string", "description": "The search query"},
                "limit": {
                    "type": "integer",
                    "description": "Maximum number of results",
                    "default": 5,
                },
            },
            "required": ["query"],
            "additionalProperties": False,
        }
        result = await client.call_tool("web_search", {"query": "otters"})
        assert result.structured_content == {"result": ["about otters"]}
        assert endpoint.requests[0].params == {"query": "otters", "limit": 5}

        unavailable = tools["email_sender"].description or ""
        assert "tools.email_sender.token" in unavailable
        assert "Send an email to a recipient" in unavailable
        letter = {"to": "a@example.com", "subject": "s", "body": "b"}
        error = error_of(await client.call_tool("email_sender", letter))
        assert error["code"] == "unavailable"
        assert "tools.email_sender.token" in error["message"]


async def test_a_credential_whose_variable_is_not_set_is_asked_for_by_its_name(
    open_tools: OpenTools, tmp_path: Path
) -> None:
    (tmp_path / "mcp.yml").write_text(
        "tools: {mail: {url: 'http://127.0.0.1:9/', headers: {X-API-Key: '${MAIL_KEY}'}}}"
    )
    config = load_config({"HOME": str(tmp_path)}, cwd=tmp_path)
    async with open_tools(**config.tools) as client:
        [_, tool] = (await client.list_tools()).tools
        error = error_of(await client.call_tool("mail", {}))
    assert error["code"] == "unavailable"
    assert error["message"].startswith("Unavailable: tools.mail in mcp.yml names MAIL_KEY, which")
    assert (tool.description or "").startswith(error["message"])


async def test_every_kind_of_parameter_becomes_json_schema(open_tools: OpenTools) -> None:
    parameters = yaml.safe_load("""
        zeta: string
        when: {type: string, format: date, nullable: true}
        level: {type: string, enum: [low, high], default: low}
        share: {type: number, minimum: 0, maximum: 1.5}
        code: {type: string, minLength: 2, maxLength: 4, pattern: "^[A-Z]+$", required: false}
        tags: {type: array, items: {type: string}, minItems: 1, maxItems: 3, default: [a]}
        place:
          type: object
          properties:
            city: {type: string, description: Its name}
            country: {type: string, default: DE}
        anything: {type: object, required: false}
        exact: {type: boolean, default: false, required: true}
    """)
    async with open_tools(find={"url": URL, "parameters": parameters}) as client:
        [_, tool] = (await client.list_tools()).tools
    assert list(tool.input_schema["properties"]) == list(parameters)
    assert tool.input_schema["properties"] == {
        "zeta": {"type": "string"},
        "when": {"type": ["string", "null"], "format": "date"},
        "level": {"type": "string", "enum": ["low", "high"], "default": "low"},
        "share": {"type": "number", "minimum": 0, "maximum": 1.5},
        "code": {"type": "string", "minLength": 2, "maxLength": 4, "pattern": "^[A-Z]+$"},
        "tags": {
            "type": "array",
            "items": {"type": "string"},
            "minItems": 1,
            "maxItems": 3,
            "default": ["a"],
        },
        "place": {
            "type": "object",
            "properties": {
                "city": {"type": "string", "description": "Its name"},
                "country": {"type": "string", "default": "DE"},
            },
            "required": ["city"],
            "additionalProperties": False,
        },
        "anything": {"type": "object"},
        "exact": {"type": "boolean", "default": False},
    }
    assert tool.input_schema["required"] == ["zeta", "when", "share", "place", "exact"]


async def test_a_list_at_the_tool_says_what_is_required(open_tools: OpenTools) -> None:
    parameters = {"a": "string", "b": "string", "c": {"type": "string", "required": True}}
    async with open_tools(
        t={"url": URL, "parameters": parameters, "required": ["b"]},
        none={"url": URL, "parameters": {"a": "string"}, "required": []},
    ) as client:
        [_, some, none] = (await client.list_tools()).tools
    assert some.input_schema["required"] == ["b", "c"]
    assert "required" not in none.input_schema


async def test_a_tool_without_words_of_its_own_is_described_by_its_name(
    open_tools: OpenTools,
) -> None:
    async with open_tools(lamp={"url": "http://lamp.example/?api_key=hush-hush"}) as client:
        [_, tool] = (await client.list_tools()).tools
    assert tool.description == "Calls the HTTP endpoint declared as lamp."
    assert tool.input_schema["additionalProperties"] is False


def _hints(tool: Tool) -> dict[str, Any]:
    assert tool.annotations is not None
    return tool.annotations.model_dump(exclude_none=True, exclude={"open_world_hint", "title"})


async def test_hints_say_what_was_declared_and_expect_the_worst_otherwise(
    open_tools: OpenTools,
) -> None:
    async with open_tools(
        read={"url": URL, "read_only": True},
        write={"url": URL},
        get={"url": URL, "method": "get"},
        put={"url": URL, "method": "PUT", "destructive": True, "confirm": True},
        delete={"url": URL, "method": "DELETE"},
    ) as client:
        [clock, read, write, get, put, delete] = (await client.list_tools()).tools
    assert clock.annotations
    assert (clock.annotations.read_only_hint, clock.annotations.open_world_hint) == (True, False)
    assert read.annotations
    assert (read.annotations.read_only_hint, read.annotations.destructive_hint) == (True, False)
    assert write.annotations
    # absent means destructive to MCP, and lets a client tell what was declared from what was not
    assert _hints(write) == {"read_only_hint": False, "idempotent_hint": False}
    assert _hints(get) == {
        "read_only_hint": True, "destructive_hint": False, "idempotent_hint": True
    }  # fmt: skip
    destroys = {"read_only_hint": False, "destructive_hint": True, "idempotent_hint": True}
    assert _hints(put) == _hints(delete) == destroys
    assert write.annotations.open_world_hint is True
    assert (put.meta, delete.meta) == ({"agentic/confirm": True}, None)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "example.com/x",
        "ftp://example.com",
        "http://",
        "http:///x",
        "http://[::1",
        "http://a:99999/",
        "http://a b/",
        "http://a/\nHost: b",
        "file:///etc/passwd",
    ],
)
def test_an_address_that_is_none_says_what_would_be_one(url: str) -> None:
    with pytest.raises(ValidationError, match="an http or https address, such as https://"):
        declare(t={"url": url})


async def test_an_address_whose_host_cannot_be_encoded_costs_its_tool_and_is_logged(
    open_tools: OpenTools, caplog: pytest.LogCaptureFixture
) -> None:
    async with open_tools(t={"url": f"http://{'ö' * 70}/"}, u={"url": URL}) as client:
        assert [each.name for each in (await client.list_tools()).tools] == ["current_time", "u"]
    assert "tools.t.url: can't be used; check its host" in caplog.text


@pytest.mark.parametrize(
    ("headers", "message"),
    [
        ({"X-Key": "a\r\nHost: evil"}, "X-Key should be printable ASCII on one line"),
        ({"X-Key": "schlüssel"}, "X-Key should be printable ASCII"),
        ({"X Key": "a"}, "has a name that can't be a header's"),
        ({"Content-Length": "3"}, "Content-Length is set for each request; leave it out"),
    ],
)
def test_a_header_that_cannot_be_sent_is_refused(headers: dict[str, str], message: str) -> None:
    with pytest.raises(ValidationError, match=message) as caught:
        declare(t={"url": URL, "headers": headers})
    assert "evil" not in caught.value.errors()[0]["msg"]


def test_a_token_that_cannot_be_sent_is_refused() -> None:
    with pytest.raises(ValidationError, match="should be printable ASCII on one line"):
        declare(t={"url": URL, "token": "a\nb"})


@pytest.mark.parametrize(
    ("parameter", "message"),
    [
        ("text", "'string', 'integer', 'number', 'boolean', 'array' or 'object'"),
        ({}, "should have a type, such as string, or a schema"),
        (None, "must be a type, such as string, or a mapping"),
        (["string"], "must be a type, such as string, or a mapping"),
        ({"type": "string", "minimum": 3}, "minimum is for type integer or number, not string"),
        ({"type": "object", "maxLength": 3}, "maxLength is for type string, not object"),
        ({"type": "string", "items": "string"}, "items is for type array, not string"),
        ({"type": "integer", "minimum": "3"}, "must be a number"),
        ({"type": "integer", "minimum": True}, "must be a number"),
        ({"type": "integer", "minimum": float("inf")}, "must be a number"),
        ({"type": "integer", "minimum": 4, "maximum": 3}, "minimum is greater than maximum"),
        ({"type": "string", "minLength": -1}, "greater than or equal to 0"),
        ({"type": "string", "pattern": "("}, "is not a regular expression"),
        ({"type": "string", "enum": []}, "at least 1 item"),
        ({"type": "string", "enum": [True]}, "enum: must be a string, not true .*in quotes"),
        ({"type": "integer", "default": "5"}, 'default: must be an integer, not the string "5"'),
        ({"type": "integer", "default": True}, "default: must be an integer, not true"),
        ({"type": "integer", "default": 9, "maximum": 5}, "default: must be at most 5, not 9"),
        ({"type": "string", "enum": ["a"], "default": "b"}, 'default: must be one of "a"'),
        ({"type": "string", "format": "date", "default": "soon"}, "default: .*format date"),
        ({"type": "string", "default": None}, "default: must be a string, not null"),
        ({"type": "number", "default": float("nan")}, "default: not a JSON value"),
        ({"type": "string", "required": ["a"]}, "a list is for type object"),
        (
            {"type": "object", "properties": {"a b": "string"}},
            "parameter 'a b': a name has 1 to 64",
        ),
        (
            {"type": "object", "properties": {"a": "string"}, "required": ["b"]},
            "required names 'b', the parameters are: a",
        ),
        (
            {
                "type": "object",
                "properties": {"a": {"type": "string", "required": False}},
                "required": ["a"],
            },
            "required names 'a', which says required: false",
        ),
    ],
)
def test_a_parameter_that_makes_no_sense_is_refused_in_words(parameter: Any, message: str) -> None:
    with pytest.raises(ValidationError, match=message) as caught:
        ParameterConfig.model_validate(parameter)
    assert caught.value.error_count() == 1


def test_a_required_parameter_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ValidationError, match="required names 'qury', the parameters are: query"):
        declare(t={"url": URL, "parameters": {"query": "string"}, "required": ["qury"]})


def test_a_null_default_is_fine_where_null_is() -> None:
    parameter = ParameterConfig.model_validate(
        {"type": "string", "nullable": True, "default": None, "enum": ["a"]}
    )
    assert parameter.to_json_schema() == {
        "type": ["string", "null"],
        "enum": ["a", None],
        "default": None,
    }
