"""Access tokens by OAuth client credentials, each kept until shortly before its end."""

import json
from contextlib import aclosing
from typing import NoReturn, cast
from urllib.parse import urlencode

import anyio
import httpx2

from agentic.config.reach import find_reach
from agentic.config.tool_auth import OAuthClient
from servers.tools.credentials import to_client_basic
from servers.tools.guarded_network import REACH
from servers.tools.response_body import ACCEPTED_ENCODING, read_body
from servers.tools.results import ToolFailedError

_MAX_BYTES = 65_536
_DEFAULT_LIFE_SECONDS = 300.0
_EARLY_SECONDS = 30.0
"""So long before its end a token is renewed, or after nine tenths of a short life."""
_MAX_LIFE_SECONDS = 86_400.0
_ERRORS = (
    "access_denied",
    "invalid_client",
    "invalid_grant",
    "invalid_request",
    "invalid_scope",
    "invalid_target",
    "server_error",
    "temporarily_unavailable",
    "unauthorized_client",
    "unsupported_grant_type",
)
_PASSING = (408, 429, 500, 502, 503, 504)


class TokenSource:
    """The access token of one declaration. All calls share it; one at a time asks for another."""

    def __init__(self, client: OAuthClient, *, private_network: bool) -> None:
        reach = find_reach(client.token_url, private_network=private_network)
        url = httpx2.URL(client.token_url)
        fields = {"grant_type": "client_credentials"}
        headers = {
            "accept": "application/json",
            "user-agent": "agentic-ai",
            "accept-encoding": ACCEPTED_ENCODING,
            "content-type": "application/x-www-form-urlencoded",
        }
        if client.scopes:
            fields["scope"] = " ".join(client.scopes)
        if client.audience is not None:
            fields["audience"] = client.audience
        if client.client_auth == "basic":
            headers["authorization"] = f"Basic {to_client_basic(client)}"
        else:
            secret = client.client_secret.get_secret_value()
            fields |= {"client_id": client.client_id, "client_secret": secret}
        self._url = url.copy_with(userinfo=b"", fragment=None)
        self._headers = headers
        self._body = urlencode(fields).encode("ascii")
        self._extensions = {REACH: reach}
        self._lock = anyio.Lock()
        self._token = ""
        self._ends_at = 0.0

    async def get(self, transport: httpx2.AsyncBaseTransport) -> str:
        """A token that is still good for some seconds.

        Raises:
            ToolFailedError: None was given.
            httpx2.TransportError: The connection failed.
        """
        async with self._lock:
            if not self._token or anyio.current_time() >= self._ends_at:
                self._token, life = await self._ask(transport)
                self._ends_at = anyio.current_time() + max(life - _EARLY_SECONDS, life * 0.9)
            return self._token

    def drop(self, token: str) -> None:
        """The endpoint does not take this token: ask for another one next time."""
        if token == self._token:
            self._token = ""

    async def _ask(self, transport: httpx2.AsyncBaseTransport) -> tuple[str, float]:
        request = httpx2.Request(
            "POST",
            self._url,
            headers=self._headers,
            content=self._body,
            extensions=self._extensions,
        )
        response = await transport.handle_async_request(request)
        async with aclosing(response):
            body = await read_body(response, _MAX_BYTES)
        try:
            answer: object = json.loads(body)
        except (ValueError, RecursionError):
            answer = None
        fields = cast("dict[str, object]", answer) if isinstance(answer, dict) else {}
        token, life = fields.get("access_token"), fields.get("expires_in")
        if not httpx2.codes.is_success(response.status_code):
            _refuse(response.status_code, fields.get("error"))
        kind = fields.get("token_type", "bearer")
        if not isinstance(kind, str) or kind.lower() != "bearer":
            raise ToolFailedError(
                "unavailable", "the token endpoint gives tokens other than Bearer"
            )
        if (
            not isinstance(token, str)
            or not token.isascii()
            or not token.isprintable()
            or not token
        ):
            raise ToolFailedError("unavailable", "the token endpoint answered without access_token")
        return token, _to_life(life)


def _refuse(status: int, error: object) -> NoReturn:
    said = f": {error}" if error in _ERRORS else ""  # anything else may be a secret
    raise ToolFailedError(
        "unavailable",
        f"the token endpoint answered HTTP {status}{said} (check auth.oauth in mcp.yml)",
        may_pass=status in _PASSING,
        was_sent=False,
    )


def _to_life(value: object) -> float:
    """Seconds that a token is good for; some servers write them as text."""
    try:
        life = float(value) if isinstance(value, int | float | str) else _DEFAULT_LIFE_SECONDS
    except (ValueError, OverflowError):
        return _DEFAULT_LIFE_SECONDS
    return min(life, _MAX_LIFE_SECONDS) if life > 0 else 0.0
