"""The bot's HTTP face: the webhook, and pages that tell how the bot is."""

import errno
import hmac
import json
import logging
import socket
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any, Protocol
from urllib.parse import urlsplit

import anyio
import uvicorn
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from telegram import Bot, Update

from agentic.config.bot import WebhookConfig
from agentic.config.loopback import is_loopback
from bot.connection import Pulse, until_heard
from bot.errors import ListenError
from bot.figures import CONTENT_TYPE, Figures
from bot.intake import Intake
from bot.lanes import Lanes
from bot.polling import ALLOWED_UPDATES
from bot.readable_updates import make_readable
from client.hub.servers import ServerStatus
from client.spool.folder import SpoolError
from client.spool.spool import Spool

_SECRET_HEADER = "x-telegram-bot-api-secret-token"  # noqa: S105 - the name of a header
_MAX_UPDATE_BYTES = 1_000_000
_BODY_SECONDS = 10.0
_TAKE_SECONDS = 50.0
"""Telegram waits a minute for an answer, and tries again after any but 2xx."""
_CONNECTIONS = 100
_FLUSH_SECONDS = 1

_STORE = "conversations"

logger = logging.getLogger(__name__)


class ServerStates(Protocol):
    """The part of the hub that tells how its connections are."""

    def status(self) -> list[ServerStatus]:
        """How each is."""
        ...


class Health:
    """What `/readyz` says."""

    def __init__(
        self,
        pulse: Pulse,
        lanes: Lanes,
        spool: Spool,
        silence_seconds: float,
        webhook: "Webhook | None",
        hub: ServerStates,
    ) -> None:
        self._pulse = pulse
        self._lanes = lanes
        self._spool = spool
        self._silence_seconds = silence_seconds
        self._webhook = webhook
        self._hub = hub

    async def answer(self, request: Request) -> Response:
        """200 if the bot hears Telegram and has its store, else 503; as JSON what waits.

        Why a server is away is told on this machine only.
        """
        if self._webhook is not None:
            hears: dict[str, Any] = {"webhook_set": self._webhook.is_set}
            is_ready = self._webhook.is_set
        else:
            silent = self._pulse.silent_seconds()
            hears = {"seconds_since_last_poll": round(silent, 1)}
            is_ready = self._pulse.has_beaten and silent < self._silence_seconds
        try:
            survey = await self._spool.survey()
            spool: object = {
                "waiting": survey.waiting,
                "since": survey.since_minute,
                "set_aside": len(survey.aside),
            }
        except SpoolError as error:
            spool = str(error)
        is_here = _is_from_here(request)
        away = {
            status.name: (status.reason if is_here else None) or status.state
            for status in self._hub.status()
            if status.state != "ready"
        }
        is_ready = is_ready and _STORE not in away
        hears |= {"ready": is_ready, "servers_away": away}
        facts = {**hears, "queue_length": self._lanes.waiting, "spool": spool}
        return JSONResponse(facts, status_code=200 if is_ready else 503)


class Webhook:
    """Takes updates in from Telegram's own requests: an update that was answered for is stored."""

    def __init__(self, config: WebhookConfig, bot: Bot, intake: Intake) -> None:
        self._config = config
        self._bot = bot
        self._intake = intake
        self._order = anyio.Lock()
        self.path = urlsplit(config.url).path
        self.is_set = False
        """Whether Telegram knows of it."""

    async def announce(self) -> None:
        """Tell Telegram where to bring updates; for as long as it takes."""
        # One request at a time: so a chat's messages come in the order they were written.
        self.is_set = await until_heard(
            partial(
                self._bot.set_webhook,
                self._config.url,
                secret_token=self._config.secret.get_secret_value(),
                allowed_updates=ALLOWED_UPDATES,
                max_connections=1,
            )
        )

    async def receive(self, request: Request) -> Response:
        """Answer one request of Telegram's."""
        given = request.headers.get(_SECRET_HEADER, "").encode("latin-1")
        if not hmac.compare_digest(given, self._config.secret.get_secret_value().encode()):
            return PlainTextResponse("The secret token is missing or wrong.", 403)
        try:
            with anyio.fail_after(_BODY_SECONDS):
                body = await _read(request)
        except (TimeoutError, ClientDisconnect):
            return PlainTextResponse("The update did not arrive in time.", 408)
        if body is None:
            return PlainTextResponse(f"An update has at most {_MAX_UPDATE_BYTES:,} bytes.", 413)
        try:
            update = Update.de_json(make_readable(json.loads(body)), self._bot)
        except (ValueError, TypeError, KeyError, AttributeError):
            # Sent again for ever, it would keep all others from coming.
            logger.exception("An update could not be read, and is left out")
            return Response(status_code=200)
        with anyio.move_on_after(_TAKE_SECONDS):
            async with self._order:
                await self._intake.put(update)
            return Response(status_code=200)
        return PlainTextResponse("The update can't be stored now: send it again.", 503)


async def serve(listener: socket.socket, routes: list[Route]) -> None:
    """Serve until cancelled; what is being answered then has a second."""
    server = _WebServer(
        uvicorn.Config(
            Starlette(routes=routes),
            lifespan="off",
            ws="none",
            log_config=None,
            access_log=False,
            server_header=False,
            limit_concurrency=_CONNECTIONS,
            timeout_graceful_shutdown=_FLUSH_SECONDS,
        )
    )

    async def run() -> None:
        with anyio.CancelScope(shield=True):  # it ends by itself, soon after `should_exit`
            await server.serve([listener])

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(run)
        try:
            await anyio.sleep_forever()
        finally:
            server.should_exit = True


def create_routes(health: Health, figures: Figures, webhook: Webhook | None) -> list[Route]:
    """`/healthz`, `/readyz`, `/metrics` (for this machine alone), and the webhook's path."""

    async def live(_: Request) -> Response:
        return PlainTextResponse("ok\n")

    async def metrics(request: Request) -> Response:
        if not _is_from_here(request):
            return PlainTextResponse("Metrics are for this machine alone.", 403)
        return Response(figures.render(), media_type=CONTENT_TYPE)

    routes = [
        Route("/healthz", live),
        Route("/readyz", health.answer),
        Route("/metrics", metrics),
    ]
    if webhook is not None:
        routes.append(Route(webhook.path, webhook.receive, methods=["POST"]))
    return routes


def listen(host: str, port: int) -> socket.socket:
    """A socket that is to listen there; port 0 is any free one.

    Raises:
        ListenError: The address can't be had.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM
        )[0]
        with ExitStack() as undoing:
            listener = undoing.enter_context(socket.socket(family, kind, protocol))
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
            undoing.pop_all()
            return listener
    except (OSError, UnicodeError) as error:
        is_taken = isinstance(error, OSError) and error.errno == errno.EADDRINUSE
        why = "another program uses this port" if is_taken else str(error)
        raise ListenError(f"bot.listen: {host}:{port} can't be listened at: {why}") from None


def _is_from_here(request: Request) -> bool:
    return request.client is not None and is_loopback(request.client.host)


async def _read(request: Request) -> bytes | None:
    body = b""
    async for piece in request.stream():
        body += piece
        if len(body) > _MAX_UPDATE_BYTES:
            return None
    return body


class _WebServer(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Generator[None]:
        """Leave signals to the bot."""
        yield
