"""One server's connection: kept up by the task that owns it, used by all others."""

import logging
import math
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import anyio
import anyio.to_thread
from mcp import Client
from mcp_types.version import MODERN_PROTOCOL_VERSIONS

from agentic.config.findings import ConfigError
from agentic.config.private_files import read_private_text
from client.hub.backoff import Backoff
from client.hub.complaints import Complaints
from client.hub.elicitation import Flights
from client.hub.errors import ServerUnavailableError
from client.hub.link import Link, Live, describe, explain, open_client
from client.hub.listening import listen
from client.hub.plain_text import Scrub, create_scrubber
from client.hub.servers import (
    ConnectionState,
    HttpTarget,
    HubServer,
    HubTool,
    InProcessTarget,
    OAuth,
    ServerStatus,
    StdioTarget,
)
from client.hub.tool_list import load_tools

logger = logging.getLogger(__name__)

_CONNECT_SECONDS = 15.0
_MAX_CONNECT_SECONDS = 60.0
_CONSENT_SECONDS = 300.0
"""Time for a person to log in and read what they agree to."""
_LOOK_SECONDS = 10.0
_MIN_ATTEMPT_SECONDS = 1.0
"""Between the starts of two attempts, however many callers are impatient."""


@dataclass(frozen=True, slots=True)
class _Outcome:
    """How an attempt ended. `ready_seconds` is None if it never became ready."""

    reason: str
    ready_seconds: float | None
    timed_out: bool
    hopeless: bool


class Connection:
    """Connects, notices the end, connects again; `run` is its owner task."""

    def __init__(self, server: HubServer, *, can_ask: bool = False) -> None:
        self.server = server
        self._can_ask = can_ask
        self.scrub = create_scrubber({})
        self.settled = anyio.Event()
        """The first attempt has succeeded or failed."""
        self._state: ConnectionState = "connecting"
        self._reason: str | None = None
        self._down_since = anyio.current_time()
        self._retry_at = 0.0
        self._live: Live | None = None
        self._link: Link | None = None
        self._scope = anyio.CancelScope()
        self._changed = anyio.Event()
        self._early = anyio.Event()
        self._closing = False

    @property
    def flights(self) -> Flights:
        """The requests under way; none, while there is no connection."""
        return self._link.flights if self._link else Flights()

    @property
    def tools(self) -> Sequence[HubTool]:
        """The tools, while it is ready."""
        live = self._usable()
        return tuple(live.tools.values()) if live else ()

    def status(self) -> ServerStatus:
        """How it is now."""
        live = self._usable()
        state = "connecting" if self._state == "ready" and not live else self._state
        if live is None:
            return ServerStatus(self.server.name, state, self._reason)
        return ServerStatus(
            self.server.name,
            state,
            self._reason,
            live.client.protocol_version,
            len(live.tools),
            live.problem,
        )

    async def wait_live(self, deadline: float, *, patience_seconds: float) -> Live:
        """The connection, as soon as it can be called.

        An attempt that is under way, or due within a second, is waited for until `deadline`. One
        that is planned for later is brought forward, and waited for `patience_seconds` at most.

        Raises:
            ServerUnavailableError: Not in time; says since when, why, and when it is tried again.
        """
        impatient_at = min(deadline, anyio.current_time() + patience_seconds)
        while True:
            if live := self._usable():
                return live
            if self._state == "closed":
                raise self._unavailable()
            if self._state == "waiting":
                self._early.set()
            changed = self._changed
            is_far_off = (
                self._state == "waiting"
                and self._retry_at - anyio.current_time() > _MIN_ATTEMPT_SECONDS
            )
            with anyio.CancelScope(deadline=impatient_at if is_far_off else deadline) as scope:
                await changed.wait()
            if scope.cancelled_caught:
                raise self._unavailable()

    def close(self) -> None:
        """End `run`: a ready connection takes its leave, an attempt is broken off."""
        self._closing = True
        self._early.set()
        if self._link:
            self._link.end("closed")
        if self._live is None:
            self._scope.cancel()

    async def run(self) -> None:
        """Keep the connection up until `close`."""
        backoff = Backoff()
        limit_seconds = _attempt_seconds(self.server)
        try:
            while not self._closing:
                began = anyio.current_time()
                outcome = await self._attempt(limit_seconds)
                if outcome.timed_out:
                    # A command may have to download itself first.
                    limit_seconds = max(limit_seconds, min(2 * limit_seconds, _MAX_CONNECT_SECONDS))
                delay = backoff.next_delay(outcome.ready_seconds, hopeless=outcome.hopeless)
                await self._pause(delay, began, outcome.reason)
        finally:
            self._move("closed", None)

    async def _attempt(self, limit_seconds: float) -> _Outcome:
        """Connect, and stay as long as it goes well."""
        self.scrub = await anyio.to_thread.run_sync(_create_scrubber, self.server)
        link = self._link = Link(Complaints(self.server.name, self.scrub))
        scope = self._scope = anyio.CancelScope(deadline=anyio.current_time() + limit_seconds)
        ready_at: float | None = None
        failure: Exception | None = None
        try:
            with scope:
                async with open_client(self.server, link, can_ask=self._can_ask) as client:
                    listing = await load_tools(client, self.server)
                    scope.deadline = math.inf
                    ready_at = anyio.current_time()
                    self._live = Live(client, link, listing.tools, listing.problem)
                    self._move("ready", None)
                    await self._stay(client, link)
        except Exception as error:  # noqa: BLE001 - boundary: a server can make anything be raised
            failure = error
        finally:
            self._live = None
        timed_out = ready_at is None and scope.cancel_called
        if timed_out:
            link.time_out(limit_seconds, self.server.target)
        ready_seconds = None if ready_at is None else anyio.current_time() - ready_at
        reason = explain(failure, self.server, link, self.scrub)
        return _Outcome(reason, ready_seconds, timed_out, link.hopeless)

    async def _stay(self, client: Client, link: Link) -> None:
        """Look after a ready connection until it ends."""
        capabilities = client.server_capabilities.tools
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._look_again, client, link)
            if (
                capabilities
                and capabilities.list_changed
                and client.protocol_version in MODERN_PROTOCOL_VERSIONS
            ):
                tasks.start_soon(listen, client, link)
            await link.ended.wait()
            tasks.cancel_scope.cancel()

    async def _look_again(self, client: Client, link: Link) -> None:
        """List the tools whenever there is doubt; a server that can't do that is gone."""
        while True:
            await link.doubted.wait()
            link.doubted = anyio.Event()
            began = anyio.current_time()
            try:
                with anyio.fail_after(_LOOK_SECONDS):
                    listing = await load_tools(client, self.server)
            except TimeoutError:
                link.end(f"no answer within {_LOOK_SECONDS:g} s")
                return
            except Exception as error:  # noqa: BLE001 - boundary: see `_attempt`
                link.end(describe(error, self.server))
                return
            self._live = Live(client, link, listing.tools, listing.problem)
            # A server whose tools change all the time, or that has thousands, is not all we do.
            await anyio.sleep(max(1.0, 10 * (anyio.current_time() - began)))

    async def _pause(self, delay: float, began: float, reason: str) -> None:
        """Wait for the time of the next attempt, or for somebody who needs it sooner."""
        self.settled.set()
        if self._closing:
            return
        if delay == 0:
            self._move("connecting", reason)
            return
        self._retry_at = anyio.current_time() + delay
        self._early = anyio.Event()
        self._move("waiting", reason)
        with anyio.CancelScope(deadline=self._retry_at):
            await self._early.wait()
            if not self._closing:
                await anyio.sleep_until(began + _MIN_ATTEMPT_SECONDS)
        self._move("connecting", reason)

    def _move(self, state: ConnectionState, reason: str | None) -> None:
        if state == "ready":
            self.settled.set()
            logger.info("server %s is ready", self.server.name)
        elif reason and reason != self._reason:
            logger.warning("server %s is not available: %s", self.server.name, reason)
        if self._state == "ready":
            self._down_since = anyio.current_time()
        self._state, self._reason = state, reason
        self._changed.set()
        self._changed = anyio.Event()

    def _usable(self) -> Live | None:
        live = self._live
        return live if live and not live.link.ended.is_set() else None

    def _unavailable(self) -> ServerUnavailableError:
        name = self.server.name
        if self._state == "closed":
            return ServerUnavailableError(name, f"{name}: the connections are closed")
        now = anyio.current_time()
        text = f"server {name} has not been available for {now - self._down_since:.0f} s"
        if self._reason:
            text += f": {self._reason}"
        if self._state == "waiting":
            text += f"; the next attempt is in {max(self._retry_at - now, 0):.0f} s"
        else:
            text += "; an attempt is under way"
        return ServerUnavailableError(name, text)


def _attempt_seconds(server: HubServer) -> float:
    match server.target:
        case HttpTarget(oauth=OAuth(show=show)) if show is not None:
            return _CONSENT_SECONDS
        case _:
            return _CONNECT_SECONDS


def _create_scrubber(server: HubServer) -> Scrub:
    """Hides what the server was given, should it say that again."""
    match server.target:
        case StdioTarget(env=env):
            return create_scrubber(env)
        case HttpTarget(headers=headers, token_file=Path() as token_file):
            with suppress(ConfigError):  # told by the attempt itself
                headers = {**headers, "token": read_private_text(token_file)}
            return create_scrubber(headers)
        case HttpTarget(headers=headers):
            return create_scrubber(headers)
        case InProcessTarget():
            return create_scrubber({})
