"""uvicorn, with ends of our own: when to stop, and for clients that send or read nothing."""

import errno
import resource
import socket
from asyncio import TimerHandle, Transport
from collections.abc import Generator
from contextlib import contextmanager
from typing import cast

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

from servers.errors import StartError
from servers.http_listener import Listener

MAX_CONNECTIONS = 500
"""A process has 1,024 open files on most systems; of fewer, half are left to the servers' own."""
_CROWDED = 0.8
"""From so many of them on, a new one takes the place of one that waits for its client."""
_PROMPT_SECONDS = 1.0
"""Who has been asking for no longer is given the time."""
_ACCEPTED_AT_ONCE = 64
"""Before it is looked whether they are too many."""
HEADER_SECONDS = 15.0
"""How long a client may take from connecting, or from the first byte of a request, to its body."""
READ_SECONDS = 60.0
"""How long a client may read nothing of an answer that waits for it."""
_FLUSH_SECONDS = 1
_IDLE_SECONDS = 60


class WebServer(uvicorn.Server):
    """uvicorn, whose end is decided by its owner (`should_exit`)."""

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        """Leave signals alone: uvicorn would let them kill the process after its own end."""
        yield


def create_web_server(app: ASGIApp) -> WebServer:
    """A server for `app` that knows neither signals nor a lifespan."""
    return WebServer(
        uvicorn.Config(
            app,
            http=_Protocol,
            lifespan="off",  # sessions end before connections do, not after them
            ws="none",
            log_config=None,
            access_log=False,
            server_header=False,
            limit_concurrency=_max_connections(),
            backlog=_ACCEPTED_AT_ONCE,
            timeout_keep_alive=_IDLE_SECONDS,
            timeout_graceful_shutdown=_FLUSH_SECONDS,
        )
    )


def _max_connections() -> int:
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return MAX_CONNECTIONS if files == resource.RLIM_INFINITY else min(MAX_CONNECTIONS, files // 2)


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens there. Port 0 is any free one.

    Raises:
        StartError: The address can't be had.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM
        )[0]
        listener = Listener(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(1024)
    except (OSError, UnicodeError) as error:  # the latter: what can't be a host's name
        why = error.strerror if isinstance(error, OSError) else "this is no host's name"
        is_taken = isinstance(error, OSError) and error.errno == errno.EADDRINUSE
        advice = (
            "end the program that uses this port, or choose another port (0 is any free one)"
            if is_taken
            else "give an address of this machine and a port that you may use"
        )
        raise StartError(f"cannot listen at {to_authority(host, port)}: {why}: {advice}") from None
    return listener


def to_authority(host: str, port: int) -> str:
    """`host:port` as in a URL."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


class _Protocol(H11Protocol):
    """One connection, ended when its client takes too long for what uvicorn sets no time to."""

    asking: TimerHandle | None = None
    """When it ends, as long as its request has not come."""
    _reading: TimerHandle | None = None

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.asking = self.loop.call_later(HEADER_SECONDS, transport.close)
        if len(self.connections) > _CROWDED * (self.limit_concurrency or MAX_CONNECTIONS):
            self._make_room()

    def _make_room(self) -> None:
        """Who connects and says nothing, or no more, keeps nobody out who asks at once.

        First goes who has been asking the longest, if that is long, or else who has been idle the
        longest since its last answer.
        """
        # uvicorn's types hold other protocols, too.
        others = cast("set[_Protocol]", self.connections) - {self}
        open_ones = [other for other in others if not other.transport.is_closing()]
        asking = {each.asking.when(): each for each in open_ones if each.asking}
        idle = {
            each.timeout_keep_alive_task.when(): each
            for each in open_ones
            if each.timeout_keep_alive_task
        }
        is_prompt = bool(asking) and (
            min(asking) > self.loop.time() + HEADER_SECONDS - _PROMPT_SECONDS
        )
        going = idle if idle and (is_prompt or not asking) else asking
        if going:
            going[min(going)].transport.abort()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        cycle = cast("RequestResponseCycle | None", self.cycle)  # uvicorn's types say otherwise
        is_asking = cycle is None or cycle.response_complete
        if is_asking and self.asking is None:
            self.asking = self.loop.call_later(HEADER_SECONDS, self.transport.close)
        elif not is_asking:
            self.asking = _cancel(self.asking)

    def _should_upgrade(self) -> bool:
        # uvicorn's own would log, as often as anybody asks, which library to install for WebSocket.
        return False

    def pause_writing(self) -> None:
        super().pause_writing()
        # Not `close`, which would wait for the client to read what is left.
        self._reading = self.loop.call_later(READ_SECONDS, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        self._reading = _cancel(self._reading)

    def connection_lost(self, exc: Exception | None) -> None:
        self.asking, self._reading = _cancel(self.asking), _cancel(self._reading)
        super().connection_lost(exc)


def _cancel(timer: TimerHandle | None) -> None:
    if timer is not None:
        timer.cancel()
