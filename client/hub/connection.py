"""One server's connection: kept up by the task that owns it, used by all others."""

import logging
import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from importlib import metadata
from typing import Any

import anyio
from mcp import Client, MCPError
from mcp_types import Implementation, ToolListChangedNotification
from mcp_types.version import MODERN_PROTOCOL_VERSIONS

from client.hub.errors import ServerUnavailableError
from client.hub.http import open_http
from client.hub.plain_text import clean, create_scrubber, find_secrets
from client.hub.servers import (
    ConnectionState,
    HttpTarget,
    HubServer,
    HubTool,
    InProcessTarget,
    ServerStatus,
    StdioTarget,
)
from client.hub.stdio import Complaints, open_stdio
from client.hub.tool_list import load_tools

logger = logging.getLogger(__name__)

_CONNECT_SECONDS = 15.0
_MAX_CONNECT_SECONDS = 60.0
_REFRESH_SECONDS = 10.0
_FIRST_DELAY_SECONDS = 0.2
_MAX_DELAY_SECONDS = 30.0
_STABLE_SECONDS = 10.0
_EARLIEST_SECONDS = 1.0
"""Between the starts of two attempts, however many callers are impatient."""
_MAX_LISTEN_DELAY_SECONDS = 60.0
_REASON_CHARACTERS = 600


@dataclass(slots=True)
class Link:
    """What is known of one attempt: whether it is over and why, and whether to look at the tools again."""

    complaints: Complaints
    reason: str = ""
    ended: anyio.Event = field(default_factory=anyio.Event)
    stale: anyio.Event = field(default_factory=anyio.Event)

    def end(self, reason: str) -> None:
        """The connection is of no use any more; the first reason counts."""
        if not self.ended.is_set():
            self.reason = reason
            self.ended.set()

    def doubt(self) -> None:
        """The tools may have changed, or the server may not answer any more: its owner looks."""
        self.stale.set()


@dataclass(frozen=True, slots=True)
class Live:
    """A connection that can be called."""

    client: Client
    link: Link
    tools: Mapping[str, HubTool]


class Connection:
    """Connects, notices the end, connects again; `run` is its owner task."""

    def __init__(self, server: HubServer) -> None:
        self.server = server
        self.scrub = create_scrubber(_find_secrets(server))
        self.settled = anyio.Event()
        """Set when the first attempt has succeeded or failed."""
        self._state: ConnectionState = "connecting"
        self._reason: str | None = None
        self._since = anyio.current_time()
        self._retry_at = 0.0
        self._live: Live | None = None
        self._link: Link | None = None
        self._attempt_scope = anyio.CancelScope()
        self._changed = anyio.Event()
        self._early = anyio.Event()
        self._closing = False

    @property
    def tools(self) -> Sequence[HubTool]:
        """The tools, while it is ready."""
        live = self._usable()
        return tuple(live.tools.values()) if live else ()

    def status(self) -> ServerStatus:
        """How it is now."""
        live = self._usable()
        return ServerStatus(
            name=self.server.name,
            state="connecting" if self._state == "ready" and live is None else self._state,
            reason=self._reason,
            protocol_version=live.client.protocol_version if live else None,
            tools=len(live.tools) if live else 0,
        )

    async def wait_live(self, deadline: float, *, patience_seconds: float) -> Live:
        """The connection, as soon as it can be called.

        An attempt under way is waited for until `deadline`; one that is only planned is made sooner, and
        waited for no longer than `patience_seconds`.

        Raises:
            ServerUnavailableError: Not in time; says since when, why, and when it is tried again.
        """
        patience = min(deadline, anyio.current_time() + patience_seconds)
        while True:
            if live := self._usable():
                return live
            if self._state == "closed":
                raise ServerUnavailableError(self.server.name, "the connections are closed")
            if self._state == "waiting":
                self._early.set()
            changed = self._changed
            with anyio.CancelScope(
                deadline=patience if self._state == "waiting" else deadline
            ) as scope:
                await changed.wait()
            if scope.cancelled_caught:
                raise self._unavailable()

    def close(self) -> None:
        """End `run`: a ready connection takes its leave, an attempt is broken off."""
        self._closing = True
        self._early.set()
        if self._state == "connecting":
            self._attempt_scope.cancel()
        if self._link:
            self._link.end("closed")

    async def run(self) -> None:
        """Keep the connection up until `close`."""
        failures = 0
        connect_seconds = _CONNECT_SECONDS
        try:
            while not self._closing:
                began = anyio.current_time()
                timed_out = await self._attempt(connect_seconds)
                if timed_out:
                    # It may be a command that downloads itself the first time.
                    connect_seconds = min(2 * connect_seconds, _MAX_CONNECT_SECONDS)
                if not self._was_ready:
                    failures = max(failures, 1)
                elif anyio.current_time() - self._ready_at >= _STABLE_SECONDS:
                    failures = 0
                await self._pause(_delay_seconds(failures), began)
                failures += 1
        finally:
            self._move("closed", None)
