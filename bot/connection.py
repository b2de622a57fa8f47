"""The connection to the Bot API, and what is said when there is none."""

import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import anyio
from pydantic import SecretStr
from telegram import Bot
from telegram.error import BadRequest, Conflict, InvalidToken, TelegramError

from agentic.config.bot import BotConfig
from bot.ahead import Ahead
from bot.api_request import BotApiRequest
from bot.errors import BadProxyError
from bot.readable_updates import mend_poll
from client.spool.folder import SpoolError
from client.spool.spool import Spool

_CONNECTIONS = 64
_READ_SECONDS = 10.0
_CLOSE_SECONDS = 2.0
_FIRST_DELAY_SECONDS = 0.5
_LONGEST_DELAY_SECONDS = 30.0
_SECONDS_BETWEEN_WARNINGS = 60.0
_LOOK_SECONDS = 1.0

logger = logging.getLogger(__name__)


class Pulse:
    """When Telegram last answered a poll."""

    def __init__(self) -> None:
        self._last = anyio.current_time()
        self.has_beaten = False
        """Whether one was at all."""

    def beat(self) -> None:
        """A poll was answered."""
        self.has_beaten = True
        self._last = anyio.current_time()

    def silent_seconds(self) -> float:
        """For how long none has been."""
        return anyio.current_time() - self._last

    async def wait_for_silence(self, seconds: float, excused: Callable[[], bool]) -> None:
        """Return when no poll has been answered for so long, while there was no excuse for it."""
        self._last = anyio.current_time()
        while (left := seconds - self.silent_seconds()) > 0:
            await anyio.sleep(min(left, _LOOK_SECONDS))
            if excused():
                self._last = anyio.current_time()


class _PollRequest(BotApiRequest):
    def __init__(self, *args: Any, ahead: Ahead, **settings: Any) -> None:  # noqa: ANN401 - as PTB's
        """`ahead` is told what a poll brings."""
        super().__init__(*args, **settings)
        self._ahead = ahead

    async def do_request(self, *args: Any, **kwargs: Any) -> tuple[int, bytes]:  # noqa: ANN401 - as PTB's
        """As the others', with updates that PTB can read, in their order."""
        status, body = await super().do_request(*args, **kwargs)
        return status, mend_poll(body, self._ahead.bring)


@asynccontextmanager
async def open_bot(
    config: BotConfig,
    token: SecretStr,
    on_token_refused: Callable[[], Awaitable[None]],
    spool: Spool,
    pulse: Pulse,
    ahead: Ahead,
) -> AsyncGenerator[Bot]:
    """The connection to the Bot API. Nothing is asked yet. `ahead` is told what polls bring.

    Raises:
        BadProxyError: The environment names a proxy that can't be used.
    """

    async def end_poll() -> None:
        await on_token_refused()
        await anyio.sleep_forever()  # PTB drops the error of a poll that fails as polling stops

    async def describe() -> str:
        try:
            survey = await spool.survey()
        except SpoolError as error:
            return str(error)
        since = f" since {survey.since_minute}" if survey.waiting else ""
        return f"{survey.waiting} waiting for the store{since}, {len(survey.aside)} set aside"

    with explaining_proxies():
        bot = Bot(
            token.get_secret_value(),
            base_url=f"{config.base_url.rstrip('/')}/bot",
            request=BotApiRequest(
                on_token_refused,
                # The first poll may be held for half a minute: that long nothing else would tell.
                health_file=config.health_file,
                describe=describe,
                connection_pool_size=_CONNECTIONS,
                read_timeout=_READ_SECONDS,
            ),
            get_updates_request=_PollRequest(
                end_poll,
                ahead=ahead,
                on_answer=pulse.beat,
                health_file=config.health_file,
                describe=describe,
                connection_pool_size=2,
                read_timeout=_READ_SECONDS,
            ),
        )
    try:
        yield bot
    finally:
        with anyio.move_on_after(_CLOSE_SECONDS, shield=True):
            await bot.shutdown()


@contextmanager
def explaining_proxies() -> Generator[None]:
    """PTB and httpx read them from the environment when their clients are made."""
    try:
        yield
    except (ValueError, RuntimeError):  # their texts may hold the proxy's password
        raise BadProxyError(
            "The environment names a proxy that the bot can't use (HTTPS_PROXY, HTTP_PROXY or "
            "ALL_PROXY): it should look like http://HOST:PORT. Correct it, or unset it for the bot."
        ) from None


async def connect(bot: Bot) -> None:
    """Find out who we are; a network that is down is waited for."""
    if await until_heard(bot.initialize):
        logger.info("Connected to Telegram as @%s", bot.username)


async def until_heard(ask: Callable[[], Awaitable[object]]) -> bool:
    """Ask Telegram something that may be repeated until it does it, for as long as that takes.

    False if it does not accept the token; whoever watches the requests has been told.
    """
    complain, delay = Complaints(), _FIRST_DELAY_SECONDS
    while True:
        try:
            await ask()
        except InvalidToken:
            return False
        except TelegramError as error:
            complain(error)
        else:
            return True
        await anyio.sleep(delay)
        delay = min(delay * 2, _LONGEST_DELAY_SECONDS)


class Complaints:
    """Tells of network trouble in the log, once a minute at most for each kind."""

    def __init__(self) -> None:
        self._told: dict[type[TelegramError], float] = {}

    def __call__(self, error: TelegramError) -> None:
        """Tell of this one, unless one of its kind was told of."""
        now = anyio.current_time()
        if now - self._told.get(type(error), float("-inf")) < _SECONDS_BETWEEN_WARNINGS:
            return
        self._told[type(error)] = now
        if isinstance(error, Conflict):
            logger.error(
                "Another program is polling with this bot token. Stop it, or give each its own "
                "bot: until then messages reach one or the other."
            )
        elif isinstance(error, BadRequest):
            logger.error("Telegram refuses what the bot asks for, trying again: %s", error)
        else:
            logger.warning("Telegram can't be reached, trying again: %s", error)
