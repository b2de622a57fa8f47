"""The HTTP application: the servers under their paths, health, figures."""

import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import anyio
from mcp.server.transport_security import TransportSecuritySettings
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from agentic.config.findings import ConfigError
from servers.access.verifier import TokenVerifier
from servers.faults import report_fault
from servers.hosted import HostedServer
from servers.http_answers import Answers
from servers.http_callers import AskedAgain, Authenticate, Farewell, is_local
from servers.http_guard import MAX_REQUEST_BYTES, Bodies, Guard
from servers.http_refusals import refuse
from servers.http_sessions import MAX_SESSIONS, Sessions
from servers.http_shares import Shares
from servers.metrics import CONTENT_TYPE, Metrics

HEALTH, READINESS, METRICS = "/healthz", "/readyz", "/metrics"
CHECK_SECONDS = 5.0
"""How long a server's store, or that of tokens, may take before it counts as not ready."""
_CHECK_EVERY_SECONDS = 1.0
_LAST_EVENT = b"last-event-id"

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpSettings:
    """How HTTP is served. Without a `verifier` nobody is asked for a token."""

    host: str
    port: int
    verifier: TokenVerifier | None
    allowed_hosts: Sequence[str] = ()
    allowed_origins: Sequence[str] = ()
    calls_per_minute: int = 12_000
    token_units: Mapping[tuple[str, str], float] | None = None
    """What asking for tokens has cost so far, where that is counted; see `HostedServer`."""


def create_app(
    hosted: Sequence[HostedServer], settings: HttpSettings, authority: str, metrics: Metrics
) -> ASGIApp:
    """All of it, for a listener at `authority`. The servers' session managers run elsewhere."""
    servers = {each.path: _to_app(each, settings.verifier, metrics) for each in hosted}
    scopes = {each.path: each.scopes for each in hosted}
    mcp: ASGIApp = _Paths(servers)
    if settings.verifier is not None:
        mcp = AskedAgain(mcp, settings.verifier)
    mcp = Answers(Bodies(mcp))
    if settings.token_units is not None:
        metrics.watch_units(settings.token_units)
    figures = _serve_figures(metrics)
    if settings.verifier is not None:
        mcp = Authenticate(Shares(mcp), settings.verifier, scopes, settings.calls_per_minute)
        figures = _choose(figures, Authenticate(figures, settings.verifier, {}, 60))
    paths = _Paths(
        {
            **dict.fromkeys(servers, mcp),
            HEALTH: JSONResponse({"status": "alive"}),
            READINESS: _Readiness(hosted, settings.verifier),
            METRICS: figures,
        }
    )
    host, _, _ = authority.rpartition(":")
    origins = (f"http://{authority}", *settings.allowed_origins)
    guarded = Guard(paths, (host, *settings.allowed_hosts), origins)
    return guarded if settings.verifier is None else Farewell(guarded)


def _to_app(hosted: HostedServer, verifier: TokenVerifier | None, metrics: Metrics) -> ASGIApp:
    metrics.watch(hosted.name, hosted.server)
    if hosted.units is not None:
        metrics.watch_units(hosted.units)
    if hosted.collect is not None:
        metrics.watch_figures(hosted.collect)
    app: ASGIApp = hosted.server.streamable_http_app(
        streamable_http_path=hosted.path,
        max_request_body_size=MAX_REQUEST_BYTES,
        max_sessions=MAX_SESSIONS,
        # `Guard` has seen to hosts and origins, for all paths and before anything else.
        transport_security=TransportSecuritySettings(enable_dns_rebinding_protection=False),
    )
    app = _without_last_event(app)
    return app if verifier is None else Sessions(app, hosted.path, verifier)


class _Paths:
    """Sends each request to the application of its path."""

    def __init__(self, apps: Mapping[str, ASGIApp]) -> None:
        self._apps = apps

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        app = self._apps.get(scope["path"])
        if app is None:
            app = refuse(404, "There is nothing at this path; MCP is at /NAME/mcp")
        await app(scope, receive, send)


def _without_last_event(app: ASGIApp) -> ASGIApp:
    """Who asks for what came after some event gets a new stream: events are not kept.

    The SDK has no answer at all then.
    """

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        scope["headers"] = [each for each in scope["headers"] if each[0] != _LAST_EVENT]
        await app(scope, receive, send)

    return serve


def _choose(local: ASGIApp, other: ASGIApp) -> ASGIApp:
    """One application for requests made on this machine, another for the rest."""

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        await (local if is_local(scope) else other)(scope, receive, send)

    return serve


def _serve_figures(metrics: Metrics) -> ASGIApp:
    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        await Response(metrics.render(), media_type=CONTENT_TYPE)(scope, receive, send)

    return serve


class _Readiness:
    """Whether each server could do its work now; asked often, it looks once a second.

    With a verifier also whether tokens can be checked: else nobody gets in.
    """

    def __init__(self, hosted: Sequence[HostedServer], verifier: TokenVerifier | None) -> None:
        self._hosted = hosted
        self._verifier = verifier
        self._lock = anyio.Lock()
        self._looked_at = float("-inf")
        self._servers: dict[str, str] = {}
        self._tokens: dict[str, str] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with self._lock:
            if time.monotonic() - self._looked_at >= _CHECK_EVERY_SECONDS:
                await self._look()
                self._looked_at = time.monotonic()
        is_ready = {*self._servers.values(), *self._tokens.values()} == {"ready"}
        status = {"status": "ready" if is_ready else "not ready"}
        answer = {**status, **self._tokens, "servers": self._servers}
        await JSONResponse(answer, 200 if is_ready else 503)(scope, receive, send)

    async def _look(self) -> None:
        self._servers = {each.name: await _check(each.name, each.check) for each in self._hosted}
        if self._verifier is not None:
            state = await _check("tokens", partial(self._verifier.verify, ""))
            self._tokens = {"tokens": state}


async def _check(name: str, check: Callable[[], Awaitable[object]]) -> str:
    try:
        with anyio.fail_after(CHECK_SECONDS):
            await check()
    except TimeoutError:
        return f"gave no answer in {CHECK_SECONDS:.0f} s"
    except ConfigError as error:
        _logger.error("not ready: %s", error)
        return "can't be checked; the server's log says why"
    except Exception as error:  # noqa: BLE001 - boundary: any fault means not ready
        return f"failed; the log has the reason under {report_fault(_logger, name, error)}"
    return "ready"
