"""The callers behind tokens, asked about a request once more after it was let in."""

from pathlib import Path

import pytest
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from servers.access.principal import ForbiddenError
from servers.access.token_file import open_token_file
from servers.access.verifier import TokenVerifier
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
    async with open_token_file(tmp_path / "tokens.sqlite3") as tokens:
        _, token = await tokens.create("laptop", "ada", {"tools:call"})
        verifier = TokenVerifier(tokens)
        request = await let_in(verifier, token)
        callers = TokenCallers(verifier)
        assert callers.of(request).owner == "ada"
        await tokens.revoke("laptop")
        await verifier.verify("")  # as each request and each second of a stream does
        with pytest.raises(ForbiddenError, match="bearer token"):
            callers.of(request)


async def test_who_came_another_way_is_nobody(tmp_path: Path) -> None:
    async with open_token_file(tmp_path / "tokens.sqlite3") as tokens:
        callers = TokenCallers(TokenVerifier(tokens))
        for request in (None, Request({"type": "http", "headers": []})):
            with pytest.raises(ForbiddenError):
                callers.of(request)
