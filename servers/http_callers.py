"""Who calls over HTTP: what the bearer token says, and how often it may."""

import ipaddress
import logging
import time
from collections import OrderedDict
from collections.abc import Mapping

import anyio
from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser
from mcp.server.auth.provider import AccessToken
from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from agentic.config.findings import ConfigError
from agentic.config.loopback import is_loopback
from servers.access.principal import ForbiddenError, Principal
from servers.access.verifier import TokenVerifier
from servers.http_refusals import refuse

PRINCIPAL_KEY = "agentic.principal"
"""Where the principal stands in a request's ASGI scope."""
FAILURES_PER_MINUTE = 30
"""Wrong tokens from one address that are answered in full; more are turned away at once."""
RECHECK_SECONDS = 1.0
"""How often the token of a stream that says nothing is looked at."""
_MAX_ADDRESSES = 4_096
_PASSED_ON = frozenset({"x-forwarded-for", "x-real-ip", "forwarded", "via"})
"""Headers by which a proxy says that a request is not its own."""
_CHALLENGE = 'Bearer realm="agentic", error="invalid_token"'

_logger = logging.getLogger(__name__)


class TokenCallers:
    """The callers of a server behind `Authenticate`."""

    def __init__(self, verifier: TokenVerifier) -> None:
        self._verifier = verifier

    def of(self, request: object) -> Principal:
        """Whom the request's token names, for as long as it does: it may be asked again later.

        By what was last read of the tokens: each request and each second of a stream sees to that.

        Raises:
            ForbiddenError: It names nobody any more, or came by another way than through
                `Authenticate`.
        """
        scope: Scope = getattr(request, "scope", {})
        principal = scope.get(PRINCIPAL_KEY)
        known = self._verifier.verify_known(_bearer_of(Headers(scope=scope))) if principal else None
        if not isinstance(principal, Principal) or known != principal:
            raise ForbiddenError("this needs a bearer token that is valid")
        return principal


class Authenticate:
    """Asks each request for a token, with one of the scopes that its path needs.

    `scopes`: path → the scopes of which one is needed; empty: any token will do.
    """

    def __init__(
        self,
        app: ASGIApp,
        verifier: TokenVerifier,
        scopes: Mapping[str, frozenset[str]],
        calls_per_minute: int,
    ) -> None:
        self._app = app
        self._verifier = verifier
        self._scopes = scopes
        self._calls = Rates(calls_per_minute)
        self._failures = Rates(FAILURES_PER_MINUTE)
        self._complaint = ""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse, or pass on with the principal in the scope."""
        found = await self._identify(scope)
        if isinstance(found, Principal):
            scope[PRINCIPAL_KEY] = found
            scope["user"] = _to_user(found)
            await self._app(scope, *self._while_valid(found, scope, receive, send))
        else:
            await found(scope, receive, send)

    def _while_valid(
        self, principal: Principal, scope: Scope, receive: Receive, send: Send
    ) -> tuple[Receive, Send]:
        """Both, until the token is taken back: then a stream that runs ends, a silent one too."""
        is_streaming = is_over = False

        async def end() -> None:
            nonlocal is_over
            is_over = True
            await send({"type": "http.response.body"})

        async def send_while_valid(message: Message) -> None:
            nonlocal is_streaming
            if is_over:
                return
            has_more = bool(message.get("more_body"))
            if has_more and not await _is_still(self._verifier, principal, scope):
                await end()
                return
            is_streaming = has_more or message["type"] == "http.response.start"
            await send(message)

        async def receive_while_valid() -> Message:
            while not is_over:
                with anyio.move_on_after(RECHECK_SECONDS):
                    return await receive()
                if is_streaming and not await _is_still(self._verifier, principal, scope):
                    await end()
            return {"type": "http.disconnect"}

        return receive_while_valid, send_while_valid

    async def _identify(self, scope: Scope) -> Principal | Response:
        try:
            principal = await self._verifier.verify(_bearer_of(Headers(scope=scope)))
        except ConfigError as error:
            self._complain(str(error))
            return refuse(503, "Tokens can't be checked now: the server's log says why")
        self._complaint = ""
        if principal is None:
            return self._refuse_stranger(address_of(scope))
        if wait := self._calls.wait_seconds(principal.name):
            return _too_many(wait, f"{principal.name} calls too often")
        needed = self._scopes.get(scope["path"])
        if needed and not needed & principal.scopes:
            any_of = " or ".join(sorted(needed))
            return refuse(
                403,
                f"The token {principal.name!r} lacks the scope for this: {any_of}",
                {"www-authenticate": f'Bearer error="insufficient_scope", scope="{any_of}"'},
            )
        return principal

    def _complain(self, why: str) -> None:
        # Once: anybody can make this happen again and again.
        if why != self._complaint:
            _logger.error("nobody gets in, tokens can't be checked: %s", why)
        self._complaint = why

    def _refuse_stranger(self, address: str) -> Response:
        if wait := self._failures.wait_seconds(address):
            return _too_many(wait, "Too many wrong tokens came from this address")
        return refuse(
            401,
            "This needs a valid token, sent as `Authorization: Bearer …`: make one on the server "
            "with `agentic token create`",
            {"www-authenticate": _CHALLENGE},
        )


class AskedAgain:
    """Asks for the token once more when the body is there: meanwhile it may have been revoked."""

    def __init__(self, app: ASGIApp, verifier: TokenVerifier) -> None:
        self._app = app
        self._verifier = verifier

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse, or pass on."""
        app = self._app
        if not await _is_still(self._verifier, scope[PRINCIPAL_KEY], scope):
            app = refuse(
                401,
                "The token ceased to be valid while this request was sent, and nothing was done: "
                "make another one on the server with `agentic token create`",
                {"www-authenticate": _CHALLENGE},
            )
        await app(scope, receive, send)


class Farewell:
    """Ends the connection with each answer to who showed no token: an open one takes a place."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on."""

        async def send_and_close(message: Message) -> None:
            if message["type"] == "http.response.start" and PRINCIPAL_KEY not in scope:
                message["headers"] = [*message["headers"], (b"connection", b"close")]
            await send(message)

        await self._app(scope, receive, send_and_close)


class Rates:
    """How often each key may do something: `per_minute` at once, and as many in each minute."""

    def __init__(self, per_minute: int) -> None:
        self._per_minute = per_minute
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def wait_seconds(self, key: str) -> float:
        """Count one; 0 if that is all right, else how long to wait, and it isn't counted."""
        now = time.monotonic()
        left, since = self._left.pop(key, (float(self._per_minute), now))
        left = min(self._per_minute, left + (now - since) * self._per_minute / 60)
        if len(self._left) >= _MAX_ADDRESSES:
            self._left.popitem(last=False)
        self._left[key] = (left - 1 if left >= 1 else left, now)
        return 0.0 if left >= 1 else (1 - left) * 60 / self._per_minute


def address_of(scope: Scope) -> str:
    """The client's address, without its port; a proxy on this machine may say another's."""
    client = scope.get("client")
    try:
        address = str(ipaddress.ip_address(client[0] if client else ""))
    except ValueError:
        return "unknown"
    return address.partition("%")[0]


def is_local(scope: Scope) -> bool:
    """Whether the request was made on this machine, and not passed on by a proxy on it."""
    is_passed_on = not _PASSED_ON.isdisjoint(Headers(scope=scope).keys())
    return not is_passed_on and is_loopback(address_of(scope))


async def _is_still(verifier: TokenVerifier, principal: Principal, scope: Scope) -> bool:
    try:
        return await verifier.verify(_bearer_of(Headers(scope=scope))) == principal
    except ConfigError:
        return False


def _bearer_of(headers: Headers) -> str:
    scheme, _, token = headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def _too_many(wait: float, why: str) -> Response:
    seconds = max(1, round(wait + 0.5))
    return refuse(429, f"{why}: try again in {seconds} s", {"retry-after": str(seconds)})


def _to_user(principal: Principal) -> AuthenticatedUser:
    """What binds a session of the older era to the token that began it."""
    scopes = sorted(principal.scopes)
    return AuthenticatedUser(
        AccessToken(token="", client_id=principal.name, scopes=scopes, subject=principal.owner)
    )
