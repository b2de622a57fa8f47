"""The bot's life: connect, finish what an earlier start left, poll, stop."""

import logging
import re
import signal
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, cast

import anyio
from pydantic import SecretStr
from telegram import Bot, BotCommand
from telegram.constants import UpdateType
from telegram.error import Conflict, InvalidToken, TelegramError
from telegram.ext import Updater

from agentic.config.models import BotConfig, Config
from bot import wording
from bot.absence import AbsenceNotices
from bot.answering import Answerer
from bot.api_request import BotApiRequest
from bot.chat_conversations import ChatConversations
from bot.commands import Commands
from bot.conversation_lists import ConversationLists
from bot.courier import Courier
from bot.errors import BadTokenError
from bot.intake import Intake
from bot.lanes import Lanes
from bot.pace import Pace
from bot.post import Post
from bot.prompts import Prompts
from bot.recovery import take_up_unfinished
from bot.redaction import tokens_kept_out_of_logs
from bot.second_thoughts import SecondThoughts
from bot.strangers import Strangers
from client.coordinator.coordinator import Coordinator
from client.coordinator.tool_calls import ToolBox
from client.spool.folder import SpoolError
from client.spool.spool import Spool

if TYPE_CHECKING:
    import asyncio

_ALLOWED_UPDATES = [
    UpdateType.MESSAGE,
    UpdateType.EDITED_MESSAGE,
    UpdateType.CALLBACK_QUERY,
    UpdateType.MESSAGE_REACTION,
]
_CHATS_AT_ONCE = 32
_CONNECTIONS = 2 * _CHATS_AT_ONCE
_READ_SECONDS = 10.0
_RUNNING_TURNS_SECONDS = 7.0
_STOP_POLLING_SECONDS = 2.0
_CLOSE_SECONDS = 2.0
_SHORT_POLL_INTERVAL_SECONDS = 1.0
_FIRST_DELAY_SECONDS = 0.5
_LONGEST_DELAY_SECONDS = 30.0
_SECONDS_BETWEEN_WARNINGS = 60.0

logger = logging.getLogger(__name__)


async def run_bot(
    config: Config,
    hub: ToolBox,
    coordinator: Coordinator,
    token: SecretStr,
    spool: Spool,
    *,
    pace: Pace | None = None,
) -> None:
    """Answer people on Telegram until SIGTERM or SIGINT; a second one stops at once.

    Returns within about 10 s of the signal. What is not answered by then is at the next start. A
    dead network or a store that is away is waited for.

    Raises:
        BadTokenError: Telegram does not accept the token, or no longer.
    """
    refused = anyio.Event()
    serving = anyio.CancelScope()

    async def refuse_token() -> None:
        refused.set()
        serving.cancel()

    with tokens_kept_out_of_logs(token):
        if not re.fullmatch(r"[0-9]+:[A-Za-z0-9_-]+", token.get_secret_value()):
            raise BadTokenError(
                "The bot token is none: it should look like 123456789:AAE…. "
                "Copy it again from @BotFather."
            )
        _tell_who_may_talk(config)
        stopping = _Stopping(serving)
        async with (
            stopping.listen(),
            _open_bot(config.bot, token, refuse_token, spool) as bot,
            anyio.create_task_group() as tasks,
        ):
            stopping.at_second = tasks.cancel_scope
            lanes = Lanes(tasks, at_once=_CHATS_AT_ONCE)
            post = Post(bot, pace or Pace())
            strangers = Strangers(post)
            notices = AbsenceNotices(post)
            courier = Courier(hub, post, spool)
            answerer = Answerer(hub, coordinator, courier=courier, post=post, notices=notices)
            conversations = ChatConversations(hub)
            lists = ConversationLists(hub, conversations, post)
            commands = Commands(
                hub,
                conversations,
                lists,
                lanes=lanes,
                post=post,
                tools=lambda: [tool.definition.name for tool in hub.tools() if tool.offered],
                model_name=coordinator.model_name,
            )
            prompts = Prompts(hub, coordinator, answerer=answerer, lanes=lanes, spool=spool)
            second_thoughts = SecondThoughts(
                hub, conversations, answerer=answerer, prompts=prompts, lanes=lanes, post=post
            )
            intake = Intake(
                config.bot.people,
                answerer=answerer,
                lanes=lanes,
                post=post,
                strangers=strangers,
                notices=notices,
                prompts=prompts,
                second_thoughts=second_thoughts,
                commands=commands,
                lists=lists,
                conversations=conversations,
                tasks=tasks,
            )
            tasks.start_soon(strangers.run)
            with serving:
                await _connect(bot)
                # Also while the store is away: who writes then is told.
                async with _polling(bot, intake, config.bot.poll_timeout_seconds):
                    await take_up_unfinished(
                        hub, config.bot.people, answerer=answerer, lanes=lanes, spool=spool
                    )
                    intake.open()
                    tasks.start_soon(_show_commands, bot)
                    await anyio.sleep_forever()
            with anyio.move_on_after(_RUNNING_TURNS_SECONDS):
                await lanes.finish()
            tasks.cancel_scope.cancel()
        if refused.is_set():
            raise BadTokenError(
                f"{config.bot.base_url} does not accept the bot token: "
                "copy it again from @BotFather."
            )


def _tell_who_may_talk(config: Config) -> None:
    """Each start says it: the list may come from a file that the operator has not written."""
    if not config.bot.people:
        logger.warning(
            "Nobody may talk to the bot yet: bot.people is empty. Write to it, and it tells you "
            "the id to put there."
        )
        return
    people = ", ".join(f"{user_id} as {owner}" for user_id, owner in config.bot.people.items())
    logger.warning("May talk to the bot (%s): %s", config.path or "environment", people)


@asynccontextmanager
async def _open_bot(
    config: BotConfig,
    token: SecretStr,
    on_token_refused: Callable[[], Awaitable[None]],
    spool: Spool,
) -> AsyncGenerator[Bot]:
    """The connection to the Bot API. Nothing is asked yet."""

    async def end_poll() -> None:
        await on_token_refused()
        await anyio.sleep_forever()  # PTB drops the error of a poll that fails as polling stops

    async def describe() -> str:
        try:
            survey = await spool.survey()
        except SpoolError as error:
            return str(error)
        return f"{survey.waiting} waiting for the store, {len(survey.aside)} set aside"

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
        get_updates_request=BotApiRequest(
            end_poll,
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


async def _connect(bot: Bot) -> None:
    """Find out who we are; a network that is down is waited for."""
    delay = _FIRST_DELAY_SECONDS
    complain = _Complaints()
    while True:
        try:
            await bot.initialize()
        except InvalidToken:
            return  # the request has told it: this scope is being cancelled
        except TelegramError as error:
            complain(error)
        else:
            logger.info("Connected to Telegram as @%s", bot.username)
            return
        await anyio.sleep(delay)
        delay = min(delay * 2, _LONGEST_DELAY_SECONDS)


@asynccontextmanager
async def _polling(bot: Bot, intake: Intake, timeout_seconds: int) -> AsyncGenerator[None]:
    """Have PTB fetch updates into `intake`."""
    updater = Updater(bot, cast("asyncio.Queue[object]", intake))  # it only ever puts
    await updater.initialize()
    try:
        # For ever, since the updater asks for the next poll only when this one is taken in.
        await updater.start_polling(
            poll_interval=0.0 if timeout_seconds else _SHORT_POLL_INTERVAL_SECONDS,
            timeout=timeout_seconds,
            bootstrap_retries=-1,
            allowed_updates=_ALLOWED_UPDATES,
            error_callback=_Complaints(),
        )
        yield
    except InvalidToken:
        pass  # the request has told it: this scope is being cancelled
    finally:
        with anyio.move_on_after(_STOP_POLLING_SECONDS, shield=True):
            try:
                await updater.stop()
            except TelegramError as error:
                logger.info("Polling had ended before: %s", error)


async def _show_commands(bot: Bot) -> None:
    commands = [BotCommand(name, description) for name, description in wording.COMMANDS.items()]
    try:
        await bot.set_my_commands(commands)
    except TelegramError as error:
        logger.warning("The menu of commands was not set: %s", error)


class _Stopping:
    """What the first signal ends, and what the second; later ones change nothing."""

    def __init__(self, at_first: anyio.CancelScope) -> None:
        self.at_first = at_first
        self.at_second: anyio.CancelScope | None = None

    @asynccontextmanager
    async def listen(self) -> AsyncGenerator[None]:
        """Take signals until what is opened within is closed."""
        async with anyio.create_task_group() as listening:
            listening.start_soon(self._listen)
            try:
                yield
            finally:
                listening.cancel_scope.cancel()

    async def _listen(self) -> None:
        with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
            async for _ in signals:
                if self.at_first.cancel_called and self.at_second:
                    self.at_second.cancel()
                self.at_first.cancel()


class _Complaints:
    """Tells of network trouble in the log, once a minute at most for each kind."""

    def __init__(self) -> None:
        self._told: dict[type[TelegramError], float] = {}

    def __call__(self, error: TelegramError) -> None:
        now = anyio.current_time()
        if now - self._told.get(type(error), float("-inf")) < _SECONDS_BETWEEN_WARNINGS:
            return
        self._told[type(error)] = now
        if isinstance(error, Conflict):
            logger.error(
                "Another program is polling with this bot token. Stop it, or give each its own "
                "bot: until then messages reach one or the other."
            )
        else:
            logger.warning("Telegram can't be reached, trying again: %s", error)
