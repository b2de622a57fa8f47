"""OAuth client credentials: a token is asked for when needed, shared, renewed, and never shown."""

import base64
from typing import Any
from urllib.parse import parse_qs

import anyio
import pytest

from agentic.config.tool_auth import OAuthClient
from servers.tools.guarded_network import Network, open_transport
from servers.tools.oauth_tokens import TokenSource
from tests.fakes.tool_endpoint import (
    Connection,
    Handler,
    Request,
    ToolEndpoint,
    answer_json,
    render,
)
from tests.servers.tools.conftest import OpenTools, error_of, text_of

SECRET = "cl1ent&s3cret"


def give_tokens(**fields: object) -> Handler:
    """Tokens by their number: token-1, token-2, …"""
    given = 0

    async def handle(request: Request, connection: Connection) -> None:
        nonlocal given
        given += 1
        reply = {"access_token": f"token-{given:04}", "token_type": "Bearer", "expires_in": 3_600}
        await answer_json({**reply, **fields})(request, connection)

    return handle


async def show_token(request: Request, connection: Connection) -> None:
    """Answers with the length of the credential, which itself would be taken out."""
    sent = request.headers["authorization"]
    await answer_json({"result": f"{len(sent)} {sent[-1]}"})(request, connection)


def declare_tool(endpoint: ToolEndpoint, **oauth: Any) -> dict[str, Any]:
    client = {
        "token_url": f"{endpoint.url}/token",
        "client_id": "agentic id",
        "client_secret": SECRET,
        **oauth,
    }
    return {"url": f"{endpoint.url}/api", "auth": {"oauth": client}}


def asked(endpoint: ToolEndpoint) -> list[Request]:
    return [request for request in endpoint.requests if request.target == "/token"]


async def test_many_calls_at_once_share_one_token(
    endpoint: ToolEndpoint, open_tools: OpenTools
) -> None:
    endpoint.on("/token", give_tokens())
    endpoint.on("/api", show_token)
    told: list[str] = []
    tool = declare_tool(endpoint, scopes=["read", "write"], audience="https://api.example")
    async with open_tools(t=tool) as client:

        async def call() -> None:
            told.append(text_of(await client.call_tool("t", {})))

        async with anyio.create_task_group() as tasks:
            for _ in range(20):
                tasks.start_soon(call)
    assert told == ["17 1"] * 20
    [request] = asked(endpoint)
    basic = base64.b64encode(b"agentic+id:cl1ent%26s3cret").decode()
    assert request.headers["authorization"] == f"Basic {basic}"
    assert parse_qs(request.body.decode()) == {
        "grant_type": ["client_credentials"],
        "scope": ["read write"],
        "audience": ["https://api.example"],
    }


async def test_a_client_may_prove_itself_in_the_body(
    endpoint: ToolEndpoint, open_tools: OpenTools
) -> None:
    endpoint.on("/token", give_tokens())
    endpoint.on("/api", show_token)
    async with open_tools(t=declare_tool(endpoint, client_auth="body")) as client:
        await client.call_tool("t", {})
    [request] = asked(endpoint)
    assert "authorization" not in request.headers
    assert parse_qs(request.body.decode())["client_secret"] == [SECRET]


async def test_a_token_is_renewed_when_its_time_is_nearly_over(
    endpoint: ToolEndpoint, open_tools: OpenTools
) -> None:
    endpoint.on("/token", give_tokens(expires_in=0))
    endpoint.on("/api", show_token)
    async with open_tools(t=declare_tool(endpoint)) as client:
        assert text_of(await client.call_tool("t", {})) == "17 1"
        assert text_of(await client.call_tool("t", {})) == "17 2"


async def test_a_token_that_the_endpoint_refuses_is_replaced_once(
    endpoint: ToolEndpoint, open_tools: OpenTools
) -> None:
    async def take_the_second(request: Request, connection: Connection) -> None:
        good = request.headers["authorization"].endswith("2")
        handler = show_token if good else answer_json({"error": "expired"}, status=401)
        await handler(request, connection)

    endpoint.on("/token", give_tokens())
    endpoint.on("/api", take_the_second)
    async with open_tools(t=declare_tool(endpoint)) as client:
        assert text_of(await client.call_tool("t", {})) == "17 2"
        endpoint.on("/api", answer_json({"error": "no"}, status=401))
        error = error_of(await client.call_tool("t", {}))
    assert "HTTP 401: no (check the tool's credential" in error["message"]
    assert len(asked(endpoint)) == 3


@pytest.mark.parametrize(
    ("reply", "status", "told"),
    [
        (b'{"error": "invalid_client"}', 401, "HTTP 401: invalid_client (check auth.oauth"),
        (b"<h1>no</h1>", 500, "the token endpoint answered HTTP 500 (check"),
        (b"{}", 200, "answered without access_token"),
        (b'{"access_token": "a\\nb"}', 200, "answered without access_token"),
        (b'{"access_token": "abcd", "token_type": "mac"}', 200, "tokens other than Bearer"),
        (b"[" * 60_000, 200, "answered without access_token"),
        (b"", 302, "answered HTTP 302"),
    ],
)
async def test_no_token_is_told_as_what_it_is(
    endpoint: ToolEndpoint, open_tools: OpenTools, reply: bytes, status: int, told: str
) -> None:
    async def handle(_: Request, connection: Connection) -> None:
        await connection.write(render(reply, status=status))

    endpoint.on("/token", handle)
    async with open_tools(t=declare_tool(endpoint)) as client:
        error = error_of(await client.call_tool("t", {}))
    assert error["code"] == "unavailable"
    assert told in error["message"]
    assert len(endpoint.requests) == 1


@pytest.mark.parametrize(
    ("token_url", "told"),
    [
        ("https://no-such-host.invalid/token", "the token endpoint can't be reached"),
        ("https://0x7f.1/token", "auth.oauth.token_url: the address 0x7f.1 is in an unusual form"),
    ],
)
async def test_a_token_endpoint_that_cannot_be_reached_is_told(
    endpoint: ToolEndpoint, open_tools: OpenTools, token_url: str, told: str
) -> None:
    async with open_tools(t=declare_tool(endpoint, token_url=token_url)) as client:
        error = error_of(await client.call_tool("t", {}))
    assert error["code"] == "unavailable"
    assert told in error["message"]
    assert endpoint.requests == []


async def test_token_and_secret_are_shown_nowhere(
    endpoint: ToolEndpoint, open_tools: OpenTools, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    basic = base64.b64encode(b"agentic+id:cl1ent%26s3cret").decode()
    said = f"token-0001 {SECRET} cl1ent%26s3cret {basic}"
    endpoint.on("/token", give_tokens())
    endpoint.on("/api", answer_json({"result": said}))
    async with open_tools(t=declare_tool(endpoint)) as client:
        good = await client.call_tool("t", {})
        endpoint.on("/api", answer_json({"error": said}, status=500))
        bad = await client.call_tool("t", {})
        endpoint.on("/api", answer_json({}, status=401))
        endpoint.on("/token", answer_json({"error": said}, status=400))
        worse = await client.call_tool("t", {})
    shown = good.model_dump_json() + bad.model_dump_json() + worse.model_dump_json() + caplog.text
    for secret in ("token-0001", SECRET, "cl1ent%26s3cret", basic):
        assert secret not in shown


async def test_a_caller_that_gives_up_leaves_the_asking_to_the_next_one(
    endpoint: ToolEndpoint,
) -> None:
    arrived = anyio.Event()

    async def hang(_: Request, connection: Connection) -> None:
        arrived.set()
        await connection.until_left()

    oauth = {"token_url": endpoint.on("/token", hang), "client_id": "c", "client_secret": "s"}
    tokens = TokenSource(OAuthClient.model_validate(oauth), private_network=False)
    with anyio.fail_after(20):
        async with open_transport(Network()) as transport, anyio.create_task_group() as tasks:
            tasks.start_soon(tokens.get, transport)
            await arrived.wait()
            tasks.cancel_scope.cancel()
        endpoint.on("/token", give_tokens())
        async with open_transport(Network()) as transport:
            assert await tokens.get(transport) == "token-0001"
