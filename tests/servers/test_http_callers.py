"""The callers behind tokens, asked about a request once more after it was let in."""

from pathlib import Path

import pytest
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from servers.access.principal import ForbiddenError
from servers.access.tokens import TokenFile, TokenVerifier
from servers.http_callers import Authenticate, TokenCallers


async def receive() -> Message:
    return {"type": "http.request"}


async def send(message: Message) -> None:
    assert message.get("status", 200) == 200


async def let_in(verifier: TokenVerifier, token: str) -> Request:
    requests: list[Request] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        requests.append(Request(scope))
        await Response()(scope, receive, send)

    headers = [(b"authorization", f"Bearer {token}".encode())]
    scope: Scope = {"type": "http", "method": "POST", "path": "/", "headers": headers}
    await Authenticate(app, verifier, {}, 60)(scope, receive, send)
    return requests.pop()


async def test_who_was_let_in_is_nobody_once_the_token_is_revoked(tmp_path: Path) -> None:
    tokens = TokenFile(tmp_path / "tokens.json")
    _, token = tokens.create("laptop", "ada", {"tools:call"})
    verifier = TokenVerifier(tmp_path / "tokens.json")
    request = await let_in(verifier, token)
    callers = TokenCallers(verifier)
    assert callers.of(request).owner == "ada"
    tokens.revoke("laptop")
    with pytest.raises(ForbiddenError, match="bearer token"):
        callers.of(request)


def test_who_came_another_way_is_nobody(tmp_path: Path) -> None:
    callers = TokenCallers(TokenVerifier(tmp_path / "tokens.json"))
    for request in (None, Request({"type": "http", "headers": []})):
        with pytest.raises(ForbiddenError):
            callers.of(request)
