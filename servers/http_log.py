"""A line of log and a count for each HTTP request: who, which path, how it went."""

import logging
import time
from collections.abc import Collection
from http import HTTPMethod

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from servers.access.principal import Principal
from servers.http_callers import PRINCIPAL_KEY, address_of
from servers.metrics import Metrics

_METHODS = frozenset(HTTPMethod)

_access = logging.getLogger("agentic.access")


class Noted:
    """Tells of each request when it is over. No contents, and no path or method but known ones."""

    def __init__(self, app: ASGIApp, metrics: Metrics, paths: Collection[str]) -> None:
        self._app = app
        self._metrics = metrics
        self._paths = paths

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on, and tell."""
        statuses: list[int] = []
        began = time.perf_counter()

        async def note_and_send(message: Message) -> None:
            if message["type"] == "http.response.start":
                statuses.append(message["status"])
            await send(message)

        try:
            await self._app(scope, receive, note_and_send)
        finally:
            status = statuses[0] if statuses else 0
            path = scope["path"] if scope["path"] in self._paths else "other"
            method = scope["method"] if scope["method"] in _METHODS else "other"
            self._metrics.count_http(path, status)
            principal = scope.get(PRINCIPAL_KEY)
            # What comes again and again is no news: health that is good, and who is turned away.
            is_dull = status == 429 or (status == 200 and method == "GET")
            level = logging.DEBUG if is_dull else logging.INFO
            _access.log(
                level,
                "%s %s %s %s %d %.1f ms",
                address_of(scope),
                principal.name if isinstance(principal, Principal) else "-",
                method,
                path,
                status,
                (time.perf_counter() - began) * 1000,
            )
