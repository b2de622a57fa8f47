"""An MCP server that wants a token, and the authorization server that gives them, in one."""

import json
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlencode

from mcp_types.version import LATEST_MODERN_VERSION

from tests.fakes.streaming_http import HttpReply, HttpRequest, open_http_server

_TOOL = {"name": "whoami", "description": "whoami", "inputSchema": {"type": "object"}}
_COMPLETE = {"resultType": "complete", "ttlMs": 0, "cacheScope": "private"}
_RESULTS: Mapping[str, dict[str, Any]] = {
    "server/discover": {
        "supportedVersions": [LATEST_MODERN_VERSION],
        "capabilities": {"tools": {}},
        "serverInfo": {"name": "guarded", "version": "1"},
    },
    "tools/list": {"tools": [_TOOL]},
    "tools/call": {"content": [{"type": "text", "text": "you"}]},
}


@dataclass(slots=True)
class OAuthServer:
    """What a test sets, and what happened."""

    base: str = ""
    lifetime_seconds: int = 3_600
    consents: bool = True
    valid: set[str] = field(default_factory=set[str])
    renewable: set[str] = field(default_factory=set[str])
    asked: list[str] = field(default_factory=list[str])
    """What clients wanted: `register`, `authorize`, `authorization_code`, `refresh_token`."""

    @property
    def url(self) -> str:
        return f"{self.base}/mcp"

    async def handle(self, request: HttpRequest, http: HttpReply) -> None:
        status, answer, headers = self._answer(request)
        headers = {"content-type": "application/json", **headers}
        await http.send_whole(status, json.dumps(answer).encode(), headers)

    def _answer(self, request: HttpRequest) -> tuple[int, object, dict[str, str]]:
        path, _, query = request.path.partition("?")
        match path:
            case "/mcp":
                return self._serve(request)
            case "/.well-known/oauth-protected-resource/mcp":
                servers = [f"{self.base}/as"]
                return 200, {"resource": self.url, "authorization_servers": servers}, {}
            case "/.well-known/oauth-authorization-server/as":
                return 200, self._describe(), {}
            case "/as/register":
                self.asked.append("register")
                return 201, {**request.json(), "client_id": "registered"}, {}
            case "/as/authorize":
                self.asked.append("authorize")
                return 302, {}, {"location": self._send_back(query)}
            case "/as/token":
                return self._give_token(request)
            case _:
                return 404, {}, {}

    def _serve(self, request: HttpRequest) -> tuple[int, object, dict[str, str]]:
        if request.headers.get("authorization", "").removeprefix("Bearer ") not in self.valid:
            where = f"{self.base}/.well-known/oauth-protected-resource/mcp"
            return 401, {}, {"www-authenticate": f'Bearer resource_metadata="{where}"'}
        asked = request.json()
        result = {**_COMPLETE, **_RESULTS[asked["method"]]}
        return 200, {"jsonrpc": "2.0", "id": asked["id"], "result": result}, {}

    def _describe(self) -> dict[str, object]:
        issuer = f"{self.base}/as"
        return {
            "issuer": issuer,
            "authorization_endpoint": f"{issuer}/authorize",
            "token_endpoint": f"{issuer}/token",
            "registration_endpoint": f"{issuer}/register",
            "code_challenge_methods_supported": ["S256"],
        }

    def _send_back(self, query: str) -> str:
        given = parse_qs(query)
        answer = {"state": given["state"][0]}
        answer |= {"code": "code"} if self.consents else {"error": "access_denied"}
        return f"{given['redirect_uri'][0]}?{urlencode(answer)}"

    def _give_token(self, request: HttpRequest) -> tuple[int, object, dict[str, str]]:
        given = parse_qs(request.content.decode())
        kind = given["grant_type"][0]
        self.asked.append(kind)
        if kind == "refresh_token" and given["refresh_token"][0] not in self.renewable:
            return 400, {"error": "invalid_grant"}, {}
        number = len(self.asked)
        self.valid = {f"token-{number}"}
        self.renewable = {f"renewal-{number}"}
        answer = {
            "access_token": f"token-{number}",
            "refresh_token": f"renewal-{number}",
            "token_type": "Bearer",
            "expires_in": self.lifetime_seconds,
        }
        return 200, answer, {}


@asynccontextmanager
async def open_oauth_server() -> AsyncGenerator[OAuthServer]:
    server = OAuthServer()
    async with open_http_server(server.handle) as base:
        server.base = base
        yield server
