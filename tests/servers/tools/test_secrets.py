"""What a declaration keeps secret is shown nowhere: in no list, error, result, log or repr."""

import json
import logging
from typing import Any
from urllib.parse import unquote

import pytest
from pydantic import ValidationError

from agentic.config.tools import ToolConfig
from tests.fakes.tool_endpoint import (
    Connection,
    Handler,
    Request,
    ToolEndpoint,
    answer_json,
    compute,
    render,
)
from tests.servers.tools.conftest import OpenTools, error_of

SECRETS = ("tok-9f8e7d", "hdr-1a2b3c", "team-zebra", "pass%2Fword", "key-554433", "usr-hans")


def _declare(url: str) -> dict[str, Any]:
    return {
        "url": url.replace("://", "://usr-hans:pass%2Fword@") + "?api_key=key-554433&lang=de",
        "headers": {"X-API-Key": "hdr-1a2b3c", "X-Team": "team-zebra"},
        "requires_auth": True,
    }


def _repeat(request: Request) -> str:
    """All that an endpoint can tell about a request."""
    user = request.headers["authorization"]
    known = [*SECRETS, *map(unquote, SECRETS), user, user.partition(" ")[2]]
    return " ".join([request.target, json.dumps(dict(request.headers)), *known])


def _leak(*, status: int, error: bool = False, plain: bool = False) -> Handler:
    async def handle(request: Request, connection: Connection) -> None:
        said = _repeat(request)
        body = said if plain else json.dumps({"error": said} if error else {"result": said})
        location = {"Location": f"http://elsewhere.example/{request.target}"}
        await connection.write(render(body.encode(), status=status, headers=location))

    return handle


def _assert_silent(text: str) -> None:
    for secret in (*SECRETS, *map(unquote, SECRETS), "dXNyLWhhbnM6cGFzcy93b3Jk"):
        assert secret not in text


@pytest.mark.parametrize(
    "handler",
    [
        pytest.param(_leak(status=500, error=True), id="error"),
        pytest.param(_leak(status=404, plain=True), id="text"),
        pytest.param(_leak(status=200, error=True), id="reported"),
        pytest.param(_leak(status=200, plain=True), id="no JSON"),
        pytest.param(_leak(status=302), id="redirect"),
    ],
)
async def test_an_endpoint_that_repeats_its_request_betrays_nothing_in_errors_and_logs(
    endpoint: ToolEndpoint,
    open_tools: OpenTools,
    caplog: pytest.LogCaptureFixture,
    handler: Handler,
) -> None:
    caplog.set_level(logging.DEBUG)
    async with open_tools(t=_declare(endpoint.on("/", handler))) as client:
        error = error_of(await client.call_tool("t", {}))
    assert endpoint.requests[0].headers["x-api-key"] == "hdr-1a2b3c"
    _assert_silent(json.dumps(error))
    _assert_silent(caplog.text)
    assert "tool t: failed" in caplog.text


async def test_a_secret_across_the_cut_of_an_excerpt_is_not_half_shown(
    endpoint: ToolEndpoint, open_tools: OpenTools
) -> None:
    for pad in range(180, 201):
        endpoint.on("/", answer_json({"error": "x" * pad + "tok-9f8e7d"}, status=500))
        async with open_tools(t={"url": endpoint.url, "token": "tok-9f8e7d"}) as client:
            error = error_of(await client.call_tool("t", {}))
        assert "tok-" not in error["message"]


async def test_credentials_that_come_back_in_a_result_do_not_reach_the_model(
    endpoint: ToolEndpoint, open_tools: OpenTools
) -> None:
    url = endpoint.on("/", compute(lambda request: {_repeat(request): [_repeat(request), "lang"]}))
    async with open_tools(t={**_declare(url), "token": "tok-9f8e7d"}) as client:
        result = await client.call_tool("t", {})
    told = result.model_dump_json()
    for secret in ("tok-9f8e7d", "hdr-1a2b3c", "pass/word", "key-554433"):
        assert secret not in told
    assert "[redacted]" in told
    assert "team-zebra" in told  # a header that is no credential may be what was asked for
    assert "lang" in told


async def test_the_list_of_tools_shows_no_address(open_tools: OpenTools) -> None:
    hook = "http://127.0.0.1:9/hooks/T0/XXYYZZ0011223344556677"
    async with open_tools(t=_declare(hook), u={"url": hook, "requires_auth": True}) as client:
        listed = (await client.list_tools()).model_dump_json()
    _assert_silent(listed)
    assert "127.0.0.1" not in listed


async def test_a_key_in_a_path_is_not_quoted_back(
    endpoint: ToolEndpoint, open_tools: OpenTools
) -> None:
    url = endpoint.on("/bot123456:AAHsecretsecretsecret", _leak(status=404, plain=True))
    async with open_tools(t={"url": url}) as client:
        endpoint.handlers.clear()
        endpoint.on("/bot123456:AAHsecretsecretsecret", _cannot_post)
        error = error_of(await client.call_tool("t", {}))
    assert error["message"] == "the endpoint answered HTTP 404: Cannot POST /[redacted]"


async def _cannot_post(request: Request, connection: Connection) -> None:
    await connection.write(render(f"Cannot POST {request.target}".encode(), status=404))


def test_a_declaration_s_own_words_show_no_secret() -> None:
    config = ToolConfig.model_validate({**_declare("http://a.example/"), "token": "tok-9f8e7d"})
    _assert_silent(repr(config) + str(config))


def test_what_is_wrong_with_an_address_is_told_without_it() -> None:
    with pytest.raises(ValidationError) as caught:
        ToolConfig.model_validate({"url": "htp://u:pass%2Fword@a/?api_key=key-554433"})
    _assert_silent(caught.value.errors()[0]["msg"])
