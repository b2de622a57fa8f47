"""What is sent to an endpoint, and what its caller gets back."""

import json
from typing import Any

import pytest

from servers.access.contract import OWNER_META_KEY
from servers.access.principal import Principal, create_operator
from tests.fakes.tool_endpoint import Request, ToolEndpoint, answer, answer_json, compute, render
from tests.servers.tools.conftest import OpenTools, error_of, text_of


def _params(request: Request) -> Any:
    return request.params


async def test_a_call_is_a_post_of_params_with_a_fresh_request_id(
    endpoint: ToolEndpoint, open_tools: OpenTools
) -> None:
    url = endpoint.on("/a", answer_json({"result": 1}))
    tool = {"url": url + "?lang=de", "parameters": {"q": "string"}, "headers": {"X-Team": "otters"}}
    async with open_tools(t=tool) as client:
        await client.call_tool("t", {"q": "grüße"})
        await client.call_tool("t", {"q": "grüße"})
    first, second = endpoint.requests
    assert (first.method, first.target) == ("POST", "/a?lang=de")
    assert first.headers["content-type"] == "application/json"
    assert first.headers["x-team"] == "otters"
    assert "authorization" not in first.headers
    assert first.json["params"] == {"q": "grüße"}
    assert set(first.json) == {"params", "request_id"}
    assert first.json["request_id"] != second.json["request_id"]


@pytest.mark.parametrize("parameters", [{}, {"request_id": {"type": "string", "required": False}}])
async def test_a_given_request_id_travels_beside_the_params(
    endpoint: ToolEndpoint, open_tools: OpenTools, parameters: dict[str, Any]
) -> None:
    url = endpoint.on("/a", answer_json({"result": 1}))
    async with open_tools(t={"url": url, "parameters": parameters}) as client:
        await client.call_tool("t", {"request_id": "mine-1"})
        await client.call_tool("t", {})
    assert endpoint.requests[0].json == {"params": {}, "request_id": "mine-1"}
    assert len(endpoint.requests[1].json["request_id"]) == 32


@pytest.mark.parametrize("request_id", ["", 5, "a\nb", "x" * 257, None])
async def test_a_request_id_that_is_none_is_refused(
    endpoint: ToolEndpoint, open_tools: OpenTools, request_id: object
) -> None:
    async with open_tools(t={"url": endpoint.url}) as client:
        error = error_of(await client.call_tool("t", {"request_id": request_id}))
    assert (error["code"], error["field"]) == ("invalid", "request_id")


@pytest.mark.parametrize(
    ("declared", "sent"),
    [
        ({"token": "s3cret-token\n"}, {"authorization": "Bearer s3cret-token"}),
        ({"headers": {"authorization": "Basic abc"}}, {"authorization": "Basic abc"}),
        ({"headers": {"X-API-Key": "k3y"}}, {"x-api-key": "k3y"}),
    ],
)
async def test_a_credential_opens_a_tool_that_requires_one(
    endpoint: ToolEndpoint,
    open_tools: OpenTools,
    declared: dict[str, Any],
    sent: dict[str, str],
) -> None:
    url = endpoint.on("/a", answer_json({"result": "in"}))
    async with open_tools(t={"url": url, "requires_auth": True, **declared}) as client:
        assert text_of(await client.call_tool("t", {})) == "in"
    assert sent.items() <= endpoint.requests[0].headers.items()


async def test_a_user_in_the_address_becomes_basic_authentication(
    endpoint: ToolEndpoint, open_tools: OpenTools
) -> None:
    url = endpoint.on("/a", answer_json({"result": "in"})).replace("://", "://ada:p%40ss@")
    async with open_tools(t={"url": url, "requires_auth": True}) as client:
        assert text_of(await client.call_tool("t", {})) == "in"
    request = endpoint.requests[0]
    assert request.headers["authorization"] == "Basic YWRhOnBAc3M="
    assert "ada" not in request.headers["host"] + request.target


@pytest.mark.parametrize(
    "declared",
    [
        {},
        {"token": ""},
        {"token": " "},
        {"headers": {"Authorization": "Bearer "}},
        {"headers": {"X-Team": "otters"}},
    ],
)
async def test_a_missing_credential_costs_that_tool_only(
    endpoint: ToolEndpoint, open_tools: OpenTools, declared: dict[str, Any]
) -> None:
    url = endpoint.on("/a", answer_json({"result": "in"}))
    async with open_tools(
        shut={"url": url, "requires_auth": True, **declared}, open={"url": url}
    ) as client:
        assert text_of(await client.call_tool("open", {})) == "in"
        error = error_of(await client.call_tool("shut", {}))
    assert error["code"] == "unavailable"
    assert "Set tools.shut.token in mcp.yml, for example token: ${SHUT_TOKEN}" in error["message"]
    assert len(endpoint.requests) == 1


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("plain\n\ttext", "plain\n\ttext"),
        ("", ""),
        (None, "null"),
        (False, "false"),
        (0, "0"),
        (1.5, "1.5"),
        ([], "[]"),
        (["ä", {"b": None}], '["ä",{"b":null}]'),
        ({"a": 1, "b": []}, '{"a":1,"b":[]}'),
    ],
)
async def test_any_json_value_comes_back_as_text_and_as_it_is(
    endpoint: ToolEndpoint, open_tools: OpenTools, value: object, text: str
) -> None:
    async with open_tools(t={"url": endpoint.on("/a", answer_json({"result": value}))}) as client:
        result = await client.call_tool("t", {})
    assert not result.is_error
    assert text_of(result) == text
    assert result.structured_content == {"result": value}


async def test_a_null_error_beside_a_result_is_no_error(
    endpoint: ToolEndpoint, open_tools: OpenTools
) -> None:
    url = endpoint.on("/a", answer_json({"result": 1, "error": None}))
    async with open_tools(t={"url": url}) as client:
        assert text_of(await client.call_tool("t", {})) == "1"


async def test_json_is_read_whatever_its_content_type_and_byte_order_mark(
    endpoint: ToolEndpoint, open_tools: OpenTools
) -> None:
    body = "\N{ZERO WIDTH NO-BREAK SPACE}" + json.dumps({"result": "ok"})
    url = endpoint.on("/a", answer(render(body.encode(), content_type="text/plain")))
    async with open_tools(t={"url": url}) as client:
        assert text_of(await client.call_tool("t", {})) == "ok"


async def test_escape_sequences_and_controls_are_taken_out_of_results(
    endpoint: ToolEndpoint, open_tools: OpenTools
) -> None:
    said = (
        "a\x1b[31mred\x1b[0m \x1b]0;title\x07b\x1b]8;;http://x\x1b\\link\x9b2J\x00\x08\x7f"
        "\r\nline\ttab\rnext \x1b"
    )
    clean = "ared blink\nline\ttab\nnext "
    url = endpoint.on("/a", answer_json({"result": {f"k\x1b[2J{'ey'}": [said, "\ud800!"]}}))
    async with open_tools(t={"url": url}) as client:
        result = await client.call_tool("t", {})
    expected = {"key": [clean, "\N{REPLACEMENT CHARACTER}!"]}
    assert result.structured_content == {"result": expected}
    assert json.loads(text_of(result)) == expected


async def test_a_principal_without_the_scope_may_list_but_not_call(
    endpoint: ToolEndpoint, open_tools: OpenTools
) -> None:
    reader = Principal(name="reader", owner="ada", scopes=frozenset({"conversations:read"}))
    async with open_tools(reader, t={"url": endpoint.url}) as client:
        assert len((await client.list_tools()).tools) == 2
        for tool in ("t", "current_time"):
            error = error_of(await client.call_tool(tool, {}))
            assert error["code"] == "forbidden"
            assert "tools:call" in error["message"]
    assert endpoint.requests == []


async def test_a_delegate_must_say_for_whom_it_calls(
    endpoint: ToolEndpoint, open_tools: OpenTools
) -> None:
    url = endpoint.on("/a", compute(_params))
    async with open_tools(create_operator("ada", delegate=True), t={"url": url}) as client:
        assert error_of(await client.call_tool("t", {}))["code"] == "forbidden"
        result = await client.call_tool("t", {}, meta={OWNER_META_KEY: "bob"})
        assert not result.is_error
    assert len(endpoint.requests) == 1


async def test_nobody_else_calls_for_another_owner(
    endpoint: ToolEndpoint, open_tools: OpenTools
) -> None:
    async with open_tools(t={"url": endpoint.url}) as client:
        error = error_of(await client.call_tool("t", {}, meta={OWNER_META_KEY: "bob"}))
    assert error["code"] == "forbidden"
    assert endpoint.requests == []


@pytest.mark.parametrize("name", ["web_serch", "x" * 5_000, "a\x1b[31m"])
async def test_a_tool_that_does_not_exist_is_not_found(open_tools: OpenTools, name: str) -> None:
    async with open_tools(web_search={"url": "http://127.0.0.1:9/"}) as client:
        error = error_of(await client.call_tool(name, {}))
    assert error["code"] == "not_found"
    assert ("did you mean web_search?" in error["message"]) == (name == "web_serch")
    assert "\x1b" not in error["message"]
    assert len(error["message"]) < 300
