"""How much each principal may have under way at once, so that there is room for the others."""

from collections import Counter

from mcp.shared.inbound import MCP_METHOD_HEADER
from mcp_types import INTERNAL_ERROR
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from servers.access.principal import Principal
from servers.http_callers import PRINCIPAL_KEY
from servers.http_refusals import refuse

STREAMS_EACH = 64
"""Streams on which a principal only listens; each takes a connection for as long as it likes."""
REQUESTS_EACH = 300
"""Streams and calls of a principal; a bot asks for hundreds of chats with one token."""
_REQUESTS = 450
"""Of all principals: some of `MAX_CONNECTIONS` are left to whoever asks for health."""
_LISTEN = "subscriptions/listen"
_RETRY = {"retry-after": "1"}


class Shares:
    """The application behind `Authenticate`, for as many requests at once as there is room for."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._requests = Counter[str]()
        self._streams = Counter[str]()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse, or pass on; the connection of a stream ends with it."""
        principal: Principal = scope[PRINCIPAL_KEY]
        is_stream = only_listens(scope)
        refusal = self._find_refusal(principal.name, is_stream=is_stream)
        if refusal is not None:
            await refusal(scope, receive, send)
            return

        async def send_and_close(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)["connection"] = "close"
            await send(message)

        counts = (self._requests, self._streams) if is_stream else (self._requests,)
        for count in counts:
            count[principal.name] += 1
        try:
            await self._app(scope, receive, send_and_close if is_stream else send)
        finally:
            for count in counts:
                count[principal.name] -= 1
                if not count[principal.name]:
                    del count[principal.name]

    def _find_refusal(self, name: str, *, is_stream: bool) -> Response | None:
        if is_stream and self._streams[name] >= STREAMS_EACH:
            return refuse(
                429,
                f"{name} listens on {STREAMS_EACH} streams already: end one of them first, or give "
                "each client a token of its own",
                _RETRY,
            )
        if self._requests[name] >= REQUESTS_EACH:
            return refuse(
                429,
                f"{name} has {REQUESTS_EACH} requests under way already: wait until one of them is "
                "answered, or give each client a token of its own",
                _RETRY,
            )
        if self._requests.total() >= _REQUESTS:
            busy = f"The server has {_REQUESTS} requests under way already: try again soon"
            return refuse(503, busy, _RETRY, code=INTERNAL_ERROR)
        return None


def only_listens(scope: Scope) -> bool:
    """Whether this asks for a stream of what happens, and for no work.

    In the older era that is a GET, in the newer one a POST which its header tells from a call.
    """
    method = Headers(scope=scope).get(MCP_METHOD_HEADER)
    return scope["method"] == "GET" or (scope["method"] == "POST" and method == _LISTEN)
