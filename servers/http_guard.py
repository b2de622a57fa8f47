"""Refused whoever asks: foreign hosts and origins, tokens in URLs, ambiguous or large bodies."""

from collections.abc import Sequence
from urllib.parse import unquote_plus

import anyio
from pydantic_core import from_json
from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from servers.access.tokens import TEXT_PREFIX
from servers.http_refusals import refuse
from servers.request_ids import WRONG_ID, is_request_without_id

MAX_REQUEST_BYTES = 12 * 1024 * 1024
"""Room for a whole batch of messages as JSON that escapes all that isn't ASCII."""
BODY_SECONDS = 30.0
"""How long a client may take to send a body."""

_ACCEPTED = 202
_LOOPBACK_NAMES = ("127.0.0.1", "localhost", "[::1]")
_SECRET_PARAMETERS = frozenset(
    {"token", "access_token", "api_key", "apikey", "key", "auth", "authorization", "bearer"}
)


class Guard:
    """Lets through what names this server as its host and no foreign page as its origin.

    `hosts` are names, with or without a port; loopback names are always right, at any port, as
    behind a tunnel.
    """

    def __init__(self, app: ASGIApp, hosts: Sequence[str], origins: Sequence[str]) -> None:
        self._app = app
        self._hosts = {host.lower() for host in (*hosts, *_LOOPBACK_NAMES)}
        self._origins = {origin.lower().rstrip("/") for origin in origins}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse, or pass on."""
        refusal = self._find_refusal(scope)
        if refusal is not None:
            await refusal(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    def _find_refusal(self, scope: Scope) -> Response | None:
        headers = Headers(scope=scope)
        if "content-length" in headers and "transfer-encoding" in headers:
            # RFC 9112, section 6.1: who stands in between may see another end, and so another
            # request in what follows. A refusal ends the connection.
            return refuse(
                400,
                "Content-Length and Transfer-Encoding together leave open where the body ends: "
                "send one of them",
            )
        host = headers.get("host", "").lower()
        if host not in self._hosts and _without_port(host) not in self._hosts:
            return refuse(
                421,
                f"This server doesn't answer to the name {host[:100]!r}: if it should, add it to "
                "access.allowed_hosts in mcp.yml",
            )
        origin = headers.get("origin", "").lower()
        if origin and origin not in self._origins:
            return refuse(
                403,
                f"Pages from {origin[:100]!r} may not call this server: if they should, add the "
                "origin to access.allowed_origins in mcp.yml",
            )
        if _holds_secret(scope):
            return refuse(
                400,
                "A token in the URL ends in logs and histories, so it is not taken: send it as "
                "`Authorization: Bearer …`, and revoke this one",
            )
        return None


class Bodies:
    """Reads each body whole, within limits, before the application sees the request."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse, or pass on with the body at hand."""
        body: bytes | Response = b""
        if scope["method"] == "POST":
            body = await _read_body(scope, receive)
        if isinstance(body, Response):
            await body(scope, receive, send)
            return
        replay = _replay(body, receive)
        await self._app(scope, replay, _refusing_wrong_ids(body, scope, replay, send))


def _refusing_wrong_ids(body: bytes, scope: Scope, receive: Receive, send: Send) -> Send:
    """Refuses a request whose id is no id, which the SDK takes for a notification: with 202.

    Only what is accepted like that is parsed once more: few messages, and small ones.
    """
    is_refused = False

    async def send_or_refuse(message: Message) -> None:
        nonlocal is_refused
        is_accepted = message["type"] == "http.response.start" and message["status"] == _ACCEPTED
        if is_accepted and b'"id"' in body and b'"method"' in body:
            is_refused = is_request_without_id(from_json(body))
            if is_refused:
                refusal = refuse(400, WRONG_ID)
                await refusal(scope, receive, send)
        if not is_refused:
            await send(message)

    return send_or_refuse


async def _read_body(scope: Scope, receive: Receive) -> bytes | Response:
    announced = Headers(scope=scope).get("content-length", "0")
    if not announced.isdecimal() or int(announced) > MAX_REQUEST_BYTES:
        return _too_large()
    body = bytearray()
    with anyio.move_on_after(BODY_SECONDS):
        while True:
            message = await receive()
            body += message.get("body", b"")
            if len(body) > MAX_REQUEST_BYTES:
                return _too_large()
            if message["type"] == "http.disconnect" or not message.get("more_body"):
                return bytes(body)
    return refuse(408, f"The request's body did not arrive within {BODY_SECONDS:.0f} s")


def _replay(body: bytes, receive: Receive) -> Receive:
    was_given = False

    async def give() -> Message:
        nonlocal was_given
        if was_given:
            return await receive()
        was_given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return give


def _too_large() -> Response:
    return refuse(413, f"The request's body is over {MAX_REQUEST_BYTES:,} bytes: send less at once")


def _without_port(host: str) -> str:
    name, _, port = host.rpartition(":")
    return name if port.isdecimal() else host


def _holds_secret(scope: Scope) -> bool:
    query = unquote_plus(scope["query_string"].decode("latin-1")).lower()
    names = {part.partition("=")[0] for part in query.split("&")}
    return f"{TEXT_PREFIX}_" in query or not names.isdisjoint(_SECRET_PARAMETERS)
