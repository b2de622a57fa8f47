"""Sessions of the older era: a share for each principal, and none for whose token is gone."""

from dataclasses import dataclass

from mcp.server.streamable_http import MCP_SESSION_ID_HEADER
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from servers.access.principal import Principal
from servers.access.verifier import TokenVerifier
from servers.http_callers import PRINCIPAL_KEY

MAX_SESSIONS = 1_000
"""Per server; one that is idle for half an hour ends."""
SESSIONS_EACH = 64
"""Of one principal and server; who opens more loses the one that it has left alone the longest."""

_FAILED = 400


@dataclass(slots=True)
class _Session:
    principal: Principal
    user: object
    """What the SDK binds it to."""
    running: int = 0
    """Requests."""


class Sessions:
    """One server's application, behind `Authenticate`, which holds the sessions themselves.

    They are ended as their client would: by a DELETE.
    """

    def __init__(self, app: ASGIApp, path: str, verifier: TokenVerifier) -> None:
        self._app = app
        self._path = path
        self._verifier = verifier
        self._sessions: dict[str, _Session] = {}
        """By id, the one that was used last at the end; some may have ended by themselves."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on, and keep to the shares."""
        session_id = Headers(scope=scope).get(MCP_SESSION_ID_HEADER)
        if session_id is None:
            await self._open(scope, receive, send)
            return
        session = self._sessions.get(session_id)
        if session is None or session.principal != scope[PRINCIPAL_KEY]:
            await self._app(scope, receive, send)
            return
        self._sessions[session_id] = self._sessions.pop(session_id)
        session.running += 1
        try:
            await self._app(scope, receive, send)
        finally:
            session.running -= 1
        if scope["method"] == "DELETE":
            self._sessions.pop(session_id, None)

    async def _open(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on what may open a session; in the newer era nothing does."""
        principal: Principal = scope[PRINCIPAL_KEY]
        opened = None

        async def note_and_send(message: Message) -> None:
            nonlocal opened
            if message["type"] == "http.response.start" and message["status"] < _FAILED:
                opened = Headers(raw=message["headers"]).get(MCP_SESSION_ID_HEADER)
                if opened is not None:
                    self._sessions[opened] = _Session(principal, scope["user"])
            await send(message)

        if len(self._sessions) >= MAX_SESSIONS:
            await self._end_revoked()
        await self._app(scope, receive, note_and_send)
        if opened is not None:
            await self._end_revoked()
            await self._keep_to_share(principal)

    async def _end_revoked(self) -> None:
        principals = {session.principal for session in self._sessions.values()}
        gone = {each for each in principals if not self._verifier.knows(each)}
        await self._end([id_ for id_, each in self._sessions.items() if each.principal in gone])

    async def _keep_to_share(self, principal: Principal) -> None:
        own = [id_ for id_, each in self._sessions.items() if each.principal == principal]
        idle = [session_id for session_id in own if not self._sessions[session_id].running]
        await self._end(idle[: max(0, len(own) - SESSIONS_EACH)])

    async def _end(self, session_ids: list[str]) -> None:
        ending = [(session_id, self._sessions.pop(session_id)) for session_id in session_ids]
        for session_id, session in ending:
            await self._app(self._to_delete(session_id, session), _receive, _send_nowhere)

    def _to_delete(self, session_id: str, session: _Session) -> Scope:
        return {
            "type": "http",
            "method": "DELETE",
            "path": self._path,
            "query_string": b"",
            "headers": [(MCP_SESSION_ID_HEADER.encode(), session_id.encode())],
            "user": session.user,
        }


async def _receive() -> Message:
    return {"type": "http.disconnect"}


async def _send_nowhere(message: Message) -> None:
    """Whether it was still there matters to nobody."""
