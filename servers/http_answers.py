"""Large answers: sent piece by piece as they are read, and what they hold is held until then."""

import logging
from contextlib import ExitStack

import anyio
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_log = logging.getLogger(__name__)

_HELD = "agentic.held"
_PIECE_BYTES = 256 * 1024


class Answers:
    """The application, whose call lasts for as long as the client reads its answer."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on; a body goes out in pieces, because only the next one waits for the reader."""

        async def send_in_pieces(message: Message) -> None:
            body: bytes = message.get("body", b"")
            last = max(0, len(body) - 1) // _PIECE_BYTES * _PIECE_BYTES
            for start in range(0, last, _PIECE_BYTES):
                piece = body[start : start + _PIECE_BYTES]
                await send({"type": "http.response.body", "body": piece, "more_body": True})
            await send({**message, "body": body[last:]} if last else message)

        with ExitStack() as held, anyio.CancelScope() as answering:
            scope[_HELD] = held, answering
            await self._app(scope, receive, send_in_pieces)
        if answering.cancelled_caught:
            _log.warning("an answer was broken off: its client reads it too slowly")


def held_until_answered(request: object, seconds: float) -> ExitStack | None:
    """What is released when this request is answered to its end; None where nobody tells.

    An answer that isn't read in so many seconds from now on is broken off.
    """
    found = request.scope.get(_HELD) if isinstance(request, HTTPConnection) else None
    if found is None:
        return None
    held, answering = found
    answering.deadline = anyio.current_time() + seconds
    return held
