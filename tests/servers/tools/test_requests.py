"""What is sent for a declaration, and that arguments stay in their places in it."""

import json
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentic.config.tools import ToolConfig
from servers.tools.request import PreparedRequest, RequestBuilder
from servers.tools.results import ToolFailedError
from tests.fakes.tool_endpoint import Request, ToolEndpoint, answer, answer_json, render
from tests.servers.tools.conftest import OpenTools, error_of, text_of

PLAIN = answer_json({"ok": True})


async def _send(
    endpoint: ToolEndpoint, open_tools: OpenTools, arguments: dict[str, object], **tool: Any
) -> Request:
    tool["url"] = endpoint.url + tool.get("url", "/")
    for path in ("/", "/users/7", "/users/a%2Fb%20%3F", "/v1/search"):
        endpoint.on(path, PLAIN if tool.get("body") != "params" else answer_json({"result": 1}))
    async with open_tools(t=tool) as client:
        result = await client.call_tool("t", arguments)
    assert not result.is_error, text_of(result)
    [request] = endpoint.requests
    return request


async def test_what_has_no_place_goes_into_the_query_of_a_get(
    endpoint: ToolEndpoint, open_tools: OpenTools
) -> None:
    request = await _send(
        endpoint, open_tools,
        {"id": 7, "q": "a&b=c#?", "tags": ["x", "ü"], "deep": True},
        method="GET", url="/users/{id}?lang=de",
        parameters={
            "id": "integer",
            "q": "string",
            "tags": {"type": "array", "items": "string"},
            "deep": "boolean",
            "page": {"type": "integer", "default": 1},
            "after": {"type": "string", "required": False},
        },
    )  # fmt: skip
    assert request.method == "GET"
    parts = urlsplit(request.target)
    assert parts.path == "/users/7"
    assert parse_qsl(parts.query) == [
        ("lang", "de"), ("q", "a&b=c#?"), ("tags", "x"), ("tags", "ü"), ("deep", "true"),
        ("page", "1"),
    ]  # fmt: skip
    assert request.body == b""
    assert "content-type" not in request.headers
    assert len(request.headers["x-request-id"]) == 32


async def test_a_query_and_headers_of_the_declaration_take_parameters(
    endpoint: ToolEndpoint, open_tools: OpenTools
) -> None:
    request = await _send(
        endpoint, open_tools, {"words": "tea & cake", "lang": "de"},
        method="GET", url="/v1/search",
        query={"q": "{words}", "fields": "title,body", "page": "{page}", "sort": "by {lang}"},
        headers={"X-Language": "{lang}-CH", "X-Team": "otters"},
        parameters={
            "words": "string", "lang": "string", "page": {"type": "integer", "required": False},
        },
    )  # fmt: skip
    assert parse_qsl(urlsplit(request.target).query) == [
        ("q", "tea & cake"), ("fields", "title,body"), ("sort", "by de"),
    ]  # fmt: skip
    assert request.headers["x-language"] == "de-CH"
    assert request.headers["x-team"] == "otters"


async def test_a_list_with_a_separator_is_one_word_wherever_it_is_sent(
    endpoint: ToolEndpoint, open_tools: OpenTools
) -> None:
    endpoint.on("/users/7,8%2C9", PLAIN)
    lists: dict[str, Any] = {"type": "array", "items": "string"}
    request = await _send(
        endpoint, open_tools,
        {"ids": ["7", "8,9"], "tags": ["a b", "c"], "words": ["x", "y&z"], "langs": ["de", "rm"]},
        method="GET", url="/users/{ids}", query={"w": "{words}"}, headers={"X-Langs": "{langs}"},
        parameters={
            "ids": {**lists, "separator": ","}, "tags": {**lists, "separator": "|"},
            "words": {**lists, "separator": " "}, "langs": {**lists, "separator": ","},
        },
    )  # fmt: skip
    assert request.target == "/users/7,8%2C9?w=x%20y%26z&tags=a%20b%7Cc"
    assert request.headers["x-langs"] == "de,rm"


@pytest.mark.parametrize(("arguments", "sent"), [({}, None), ({"lang": None}, None),
                                                 ({"lang": "de"}, "de")])  # fmt: skip
async def test_a_header_that_is_one_parameter_goes_with_its_value(
    endpoint: ToolEndpoint, open_tools: OpenTools, arguments: dict[str, object], sent: str | None
) -> None:
    request = await _send(
        endpoint, open_tools, arguments, method="GET", headers={"X-Lang": "{lang}"},
        parameters={"lang": {"type": "string", "nullable": True, "required": False}},
    )  # fmt: skip
    assert request.headers.get("x-lang") == sent


async def test_one_parameter_can_be_all_of_a_json_body(
    endpoint: ToolEndpoint, open_tools: OpenTools
) -> None:
    endpoint.on("/users/7", PLAIN)
    tool: dict[str, Any] = {
        "url": f"{endpoint.url}/users/{{id}}", "method": "PATCH",
        "body": "json", "body_parameter": "changes",
        "headers": {"Content-Type": "application/json-patch+json"},
        "parameters": {
            "id": "integer",
            "changes": {
                "schema": {"type": "array", "items": {"anyOf": [{"type": "object"}, {"const": 0}]}},
                "required": False,
            },
        },
    }  # fmt: skip
    async with open_tools(t=tool) as client:
        await client.call_tool("t", {"id": 7, "changes": [{"op": "remove"}, 0]})
        await client.call_tool("t", {"id": 7})
        wrong = await client.call_tool("t", {"id": 7, "changes": ["x"]})
    changed, empty = endpoint.requests
    assert changed.json == [{"op": "remove"}, 0]
    assert changed.headers["content-type"] == "application/json-patch+json"
    assert empty.body == b""
    assert "content-type" not in empty.headers
    assert error_of(wrong)["field"] == "changes[0]"


async def test_a_json_body_is_the_remaining_arguments(
    endpoint: ToolEndpoint, open_tools: OpenTools
) -> None:
    request = await _send(
        endpoint, open_tools, {"id": 7, "name": "Ada", "tags": ["a"], "request_id": "mine"},
        method="PATCH", url="/users/{id}", body="json", idempotent=True,
        parameters={"id": "integer", "name": "string", "tags": "array"},
    )  # fmt: skip
    assert (request.method, request.target) == ("PATCH", "/users/7")
    assert request.json == {"name": "Ada", "tags": ["a"]}
    assert request.headers["content-type"] == "application/json"
    assert request.headers["x-request-id"] == request.headers["idempotency-key"] == "mine"


async def test_an_idempotent_envelope_has_its_key_in_a_header_too(
    endpoint: ToolEndpoint, open_tools: OpenTools
) -> None:
    plain = await _send(endpoint, open_tools, {"request_id": "mine"}, body="params")
    endpoint.requests.clear()
    keyed = await _send(
        endpoint, open_tools, {"request_id": "meins: größer"}, body="params", idempotent=True
    )
    assert "idempotency-key" not in plain.headers
    assert keyed.json["request_id"] == "meins: größer"
    assert keyed.headers["idempotency-key"] == "meins:%20gr%C3%B6%C3%9Fer"


async def test_a_form_is_sent_as_browsers_do(endpoint: ToolEndpoint, open_tools: OpenTools) -> None:
    request = await _send(
        endpoint, open_tools, {"a": "ä&=", "b": [1, 2]}, body="form",
        parameters={"a": "string", "b": {"type": "array", "items": "integer"}},
    )  # fmt: skip
    assert request.headers["content-type"] == "application/x-www-form-urlencoded"
    assert parse_qsl(request.body.decode()) == [("a", "ä&="), ("b", "1"), ("b", "2")]


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH"])
async def test_the_envelope_is_what_a_body_is_by_default(
    endpoint: ToolEndpoint, open_tools: OpenTools, method: str
) -> None:
    endpoint.on("/users/7", answer_json({"result": "done"}))
    tool = {
        "url": endpoint.url + "/users/{id}",
        "method": method,
        "parameters": {"id": "integer", "name": "string"},
    }
    async with open_tools(t=tool) as client:
        assert text_of(await client.call_tool("t", {"id": 7, "name": "Ada"})) == "done"
    [request] = endpoint.requests
    assert request.method == method
    assert request.params == {"name": "Ada"}


async def test_a_delete_has_no_body(endpoint: ToolEndpoint, open_tools: OpenTools) -> None:
    request = await _send(
        endpoint, open_tools, {"id": 7}, method="DELETE", url="/users/{id}",
        parameters={"id": "integer"},
    )  # fmt: skip
    assert (request.method, request.target, request.body) == ("DELETE", "/users/7", b"")


@pytest.mark.parametrize(
    ("auth", "header", "value"),
    [
        ({"bearer": "s3cret"}, "authorization", "Bearer s3cret"),
        ({"basic": {"user": "ada", "password": "p:ä"}}, "authorization", "Basic YWRhOnA6w6Q="),
        ({"header": {"name": "X-Key", "value": "k3y"}}, "x-key", "k3y"),
    ],
)
async def test_each_way_to_prove_who_calls(
    endpoint: ToolEndpoint, open_tools: OpenTools, auth: dict[str, Any], header: str, value: str
) -> None:
    request = await _send(endpoint, open_tools, {}, body="json", auth=auth, requires_auth=True)
    assert request.headers[header] == value


async def test_a_key_in_the_query_is_sent_and_never_shown(
    endpoint: ToolEndpoint, open_tools: OpenTools
) -> None:
    endpoint.on("/", answer_json({"error": "bad key k&y-12345 k%26y-12345"}, status=403))
    auth = {"query": {"name": "api key", "value": "k&y-12345"}}
    tool = {"url": endpoint.url + "/?a=b", "method": "GET", "auth": auth}
    async with open_tools(t=tool) as client:
        error = error_of(await client.call_tool("t", {}))
        listed = (await client.list_tools()).model_dump_json()
    assert endpoint.requests[0].target == "/?a=b&api%20key=k%26y-12345"
    assert "12345" not in error["message"] + listed


async def test_an_empty_secret_makes_the_tool_unavailable(open_tools: OpenTools) -> None:
    async with open_tools(t={"url": "http://127.0.0.1:9/", "auth": {"bearer": ""}}) as client:
        error = error_of(await client.call_tool("t", {}))
    assert error["code"] == "unavailable"
    assert "Set tools.t.auth in mcp.yml, whose secret is empty" in error["message"]


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ("", "a text without controls"),
        (".", "can't be . or .."),
        ("..", "can't be . or .."),
        ("a\nb", "a text without controls"),
        ("\x00", "a text without controls"),
        ("\ud800", "without controls"),
    ],
)
async def test_a_value_that_would_leave_its_part_of_the_path_is_refused(
    endpoint: ToolEndpoint, open_tools: OpenTools, value: str, why: str
) -> None:
    tool = {"url": endpoint.url + "/users/{id}/x", "method": "GET", "parameters": {"id": "string"}}
    config = ToolConfig.model_validate(tool)
    with pytest.raises(ToolFailedError, match=why) as caught:
        RequestBuilder(config).build({"id": value}, "r")
    assert (caught.value.detail.code, caught.value.detail.field) == ("invalid", "id")


async def test_a_value_stays_one_part_of_the_path_over_the_wire(
    endpoint: ToolEndpoint, open_tools: OpenTools
) -> None:
    request = await _send(
        endpoint, open_tools, {"id": "a/b ?"}, method="GET", url="/users/{id}",
        parameters={"id": "string"},
    )  # fmt: skip
    assert request.target == "/users/a%2Fb%20%3F"


@pytest.mark.parametrize("value", ["a\r\nHost: evil", "a\nb", "\x00", "日本", "a\x7f"])
async def test_a_header_takes_no_second_line(
    endpoint: ToolEndpoint, open_tools: OpenTools, value: str
) -> None:
    tool = {
        "url": endpoint.url,
        "method": "GET",
        "headers": {"X-Word": "{word}"},
        "parameters": {"word": "string"},
    }
    async with open_tools(t=tool) as client:
        error = error_of(await client.call_tool("t", {"word": value}))
    assert (error["code"], error["field"]) == ("invalid", "word")
    assert "one line of Latin letters" in error["message"]
    assert endpoint.requests == []


_EVERYWHERE = ToolConfig.model_validate(
    {
        "url": "https://h.example/a/{one}-{two}/b?fixed=1&u={two}",
        "method": "GET",
        "query": {"q": "{one}", "mixed": "<{two}>"},
        "headers": {"X-One": "{one}", "X-Two": "({two})"},
        "parameters": {"one": "string", "two": "string", "rest": "string"},
    }
)
_JSON = ToolConfig.model_validate(
    {"url": "http://h", "body": "json", "parameters": {"a": "object"}}
)
_BUILDER = RequestBuilder(_EVERYWHERE)
_NASTY = st.text(
    alphabet=st.one_of(st.characters(), st.sampled_from("/\\.%?#&=;:@\r\n\0 {}\"'<>+")), max_size=12
)


@settings(max_examples=300, deadline=None)
@given(one=_NASTY, two=_NASTY, rest=_NASTY)
def test_whatever_the_arguments_the_request_has_the_declared_form(
    one: str, two: str, rest: str
) -> None:
    try:
        request = _BUILDER.build({"one": one, "two": two, "rest": rest}, "id-1")
    except ToolFailedError as refusal:
        field = refusal.detail.field
    else:
        _check_form(request, one, two, rest)
        return
    assert field in ("one", "two", "rest")


def _check_form(request: PreparedRequest, one: str, two: str, rest: str) -> None:
    assert (request.url.scheme, request.url.host, request.url.port) == ("https", "h.example", None)
    target = request.url.raw_path.decode("ascii")
    path, _, query = target.partition("?")
    assert path.count("/") == 3
    assert unquote(path.split("/")[2]) == f"{one}-{two}"
    assert parse_qsl(query, keep_blank_values=True) == [
        ("fixed", "1"), ("u", two), ("q", one), ("mixed", f"<{two}>"), ("rest", rest),
    ]  # fmt: skip
    assert set(request.headers) == {
        "x-request-id", "accept", "user-agent", "accept-encoding", "x-one", "x-two",
    }  # fmt: skip
    assert request.headers["x-two"] == f"({two})"
    assert not any(control in "".join(request.headers.values()) for control in "\r\n\0")


_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)


@settings(max_examples=100, deadline=None)
@given(
    value=st.recursive(
        st.none() | st.booleans() | st.integers() | _TEXT,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXT, inner, max_size=3),
        max_leaves=8,
    )
)
def test_a_json_body_holds_exactly_what_was_given(value: object) -> None:
    request = RequestBuilder(_JSON).build({"a": value}, "r")
    assert request.content is not None
    assert json.loads(request.content) == {"a": value}


@pytest.mark.parametrize(
    ("body", "content_type", "result", "expected"),
    [
        (b'{"items": [{"n": 1}, {"n": 2}]}', "application/json", "items[].n", [1, 2]),
        (b'{"items": []}', "application/json", "items[0]", None),
        (b'{"result": 5}', "application/json", None, {"result": 5}),
        (b"[1]", "application/json", None, [1]),
        (b"plain words", "text/plain", None, "plain words"),
        (b"", "text/plain", None, ""),
    ],
)
async def test_without_the_envelope_any_answer_is_taken_and_a_part_may_be_selected(
    endpoint: ToolEndpoint,
    open_tools: OpenTools,
    body: bytes,
    content_type: str,
    result: str | None,
    expected: object,
) -> None:
    endpoint.on("/", answer(render(body, content_type=content_type)))
    async with open_tools(
        t={"url": endpoint.url + "/", "method": "GET", "result": result}
    ) as client:
        got = await client.call_tool("t", {})
    assert got.structured_content == {"result": expected}


async def test_a_selection_works_on_the_result_of_the_envelope(
    endpoint: ToolEndpoint, open_tools: OpenTools
) -> None:
    endpoint.on("/", answer_json({"result": {"a": {"b": "deep"}}}))
    async with open_tools(t={"url": endpoint.url + "/", "result": "a.b"}) as client:
        assert text_of(await client.call_tool("t", {})) == "deep"


async def test_a_selection_that_an_answer_does_not_fit_says_so(
    endpoint: ToolEndpoint, open_tools: OpenTools
) -> None:
    endpoint.on("/", answer_json({"n": "many"}))
    tool = {"url": endpoint.url + "/", "method": "GET", "result": "abs(n)"}
    async with open_tools(t=tool) as client:
        error = error_of(await client.call_tool("t", {}))
    assert error["code"] == "failed"
    assert "not what the tool's result in mcp.yml selects from" in error["message"]


async def test_an_answer_that_is_not_as_declared_is_an_error_that_names_the_place(
    endpoint: ToolEndpoint, open_tools: OpenTools
) -> None:
    output = {
        "type": "array",
        "items": {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]},
    }
    tool = {"url": endpoint.url + "/", "method": "GET", "output": output}
    async with open_tools(t=tool) as client:
        [_, listed] = (await client.list_tools()).tools
        assert listed.output_schema is not None
        assert listed.output_schema["properties"] == {"result": output}
        endpoint.on("/", answer_json([{"n": 1}]))
        assert (await client.call_tool("t", {})).structured_content == {"result": [{"n": 1}]}
        endpoint.on("/", answer_json([{"n": 1}, {"n": "two"}]))
        error = error_of(await client.call_tool("t", {}))
    assert error["message"].endswith('result[1].n must be an integer, not the string "two"')


async def test_examples_are_shown_to_models(open_tools: OpenTools) -> None:
    tool = {
        "url": "http://127.0.0.1:9/",
        "description": "Finds.",
        "parameters": {"q": "string"},
        "examples": [{"q": "größe"}, {"q": "b"}],
    }
    async with open_tools(t=tool) as client:
        [_, listed] = (await client.list_tools()).tools
    assert listed.description == 'Finds.\n\nExamples of arguments:\n{"q": "größe"}\n{"q": "b"}'
