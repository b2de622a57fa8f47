"""The bot's life: connect, finish what an earlier start left, poll, stop."""

import logging
import socket
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import anyio
from anyio.abc import TaskGroup
from pydantic import SecretStr
from telegram import Bot, BotCommand
from telegram.error import TelegramError

from agentic.config.bot import BotConfig
from agentic.config.models import Config
from bot import wording
from bot.absence import AbsenceNotices
from bot.ahead import Ahead
from bot.answering import Answerer
from bot.busy_notes import BUSY_SECONDS, BusyNotes
from bot.chat_conversations import ChatConversations
from bot.chat_models import ChatModels
from bot.chat_records import ChatRecords
from bot.commands import Commands
from bot.connection import Pulse, connect, open_bot
from bot.conversation_lists import ConversationLists
from bot.courier import Courier
from bot.figures import Figures
from bot.intake import Intake
from bot.lanes import Lanes
from bot.losses import tell_losses
from bot.model_menu import ModelMenu
from bot.open_questions import OpenQuestions
from bot.pace import Pace
from bot.people import People
from bot.polling import poll
from bot.post import Post
from bot.prompts import Prompts
from bot.rates import Rates
from bot.recovery import take_up_unfinished
from bot.redaction import tokens_kept_out_of_logs
from bot.runs import MORE_SECONDS, Runs
from bot.said_anew import SaidAnew
from bot.second_thoughts import SecondThoughts
from bot.stopping import Stopping
from bot.strangers import Strangers
from bot.token import check_token, token_refused
from bot.tool_files import ToolFiles
from bot.web import Health, ServerStates, Webhook, create_routes, listen, serve
from client.coordinator.coordinator import Coordinator
from client.llm.configured import ConfiguredModels
from client.spool.spool import Spool
from client.tool_manager import ToolBox, ToolManager

_CHATS_AT_ONCE = 32
_SILENCE_SECONDS = 120.0
"""Without an answer to a poll, which Telegram holds for 50 s at most, after which we begin anew."""
_RUNNING_TURNS_SECONDS = 7.0

logger = logging.getLogger(__name__)


class BotHub(ToolBox, ServerStates, Protocol):
    """The part of the hub that the bot needs."""


async def run_bot(
    config: Config,
    hub: BotHub,
    coordinator: Coordinator,
    token: SecretStr,
    spool: Spool,
    *,
    pace: Pace | None = None,
    silence_seconds: float = _SILENCE_SECONDS,
    busy_seconds: float = BUSY_SECONDS,
    more_seconds: float = MORE_SECONDS,
) -> None:
    """Answer people on Telegram until SIGTERM or SIGINT; a second one stops at once.

    Returns within about 10 s of the signal. What is not answered by then is at the next start. A
    dead network or a store that is away is waited for.

    Raises:
        BadTokenError: Telegram does not accept the token, or no longer.
        BadProxyError: The environment names a proxy that can't be used.
        ListenError: `bot.listen` can't be listened at.
    """
    refused = anyio.Event()
    serving = anyio.CancelScope()

    async def refuse_token() -> None:
        refused.set()
        serving.cancel()

    with tokens_kept_out_of_logs(token):
        check_token(token)
        _tell_who_may_talk(config)
        stopping, pulse, ahead = Stopping(serving), Pulse(), Ahead()
        async with (
            _listening(config.bot) as listener,
            stopping.listen(),
            open_bot(config.bot, token, refuse_token, spool, pulse, ahead) as bot,
            anyio.create_task_group() as tasks,
        ):
            stopping.at_second = tasks.cancel_scope
            parts = _assemble(
                config,
                hub,
                coordinator,
                bot,
                spool,
                pace=pace or Pace(),
                busy_seconds=busy_seconds,
                more_seconds=more_seconds,
                ahead=ahead,
                tasks=tasks,
            )
            tasks.start_soon(parts.strangers.run)
            tasks.start_soon(parts.models.run)
            with serving:
                async with anyio.create_task_group() as hearing:
                    webhook = config.bot.webhook and Webhook(config.bot.webhook, bot, parts.intake)
                    if listener is not None:
                        health = Health(pulse, parts.lanes, spool, silence_seconds, webhook, hub)
                        routes = create_routes(health, parts.figures, webhook)
                        hearing.start_soon(serve, listener, routes)
                    await connect(bot)
                    # Also while the store is away: who writes then is told.
                    hearing.start_soon(
                        webhook.announce
                        if webhook
                        else partial(
                            poll,
                            bot,
                            parts.intake,
                            pulse,
                            timeout_seconds=config.bot.poll_timeout_seconds,
                            silence_seconds=silence_seconds,
                        )
                    )
                    await parts.people.load()
                    hearing.start_soon(tell_losses, spool, parts.post, parts.people)
                    await take_up_unfinished(
                        hub,
                        parts.people.owners,
                        answerer=parts.answerer,
                        lanes=parts.lanes,
                        runs=parts.runs,
                        spool=spool,
                    )
                    parts.intake.open()
                    tasks.start_soon(_show_commands, bot)
                    await anyio.sleep_forever()
            with anyio.move_on_after(_RUNNING_TURNS_SECONDS):
                await parts.lanes.finish()
            tasks.cancel_scope.cancel()
        if refused.is_set():
            raise token_refused(config.bot)


@dataclass(frozen=True, slots=True)
class _Parts:
    """Those of the bot that its life deals with."""

    lanes: Lanes
    post: Post
    answerer: Answerer
    intake: Intake
    strangers: Strangers
    figures: Figures
    people: People
    runs: Runs
    models: ConfiguredModels


def _assemble(
    config: Config,
    hub: ToolBox,
    coordinator: Coordinator,
    bot: Bot,
    spool: Spool,
    *,
    pace: Pace,
    busy_seconds: float,
    more_seconds: float,
    ahead: Ahead,
    tasks: TaskGroup,
) -> _Parts:
    """Put the bot together. Nothing runs yet."""

    async def tell_failure(chat_id: int, reference: str) -> None:
        await post.say(chat_id, wording.render_failure(wording.NOT_DONE, reference))

    lanes = Lanes(tasks, at_once=_CHATS_AT_ONCE, on_failure=tell_failure)
    figures = Figures(lambda: lanes.waiting)
    post = Post(bot, pace, figures)
    strangers = Strangers(post)
    notices = AbsenceNotices(post)
    files = ToolFiles(hub, spool)
    courier = Courier(hub, post, files, spool, figures)
    questions = OpenQuestions()
    records, models = ChatRecords(hub), ConfiguredModels(config)
    chat_models = ChatModels(records, models, post, usual=coordinator.model_name)
    model_menu = ModelMenu(chat_models, post)
    answerer = Answerer(
        hub,
        coordinator,
        courier=courier,
        post=post,
        notices=notices,
        figures=figures,
        questions=questions,
        models=chat_models,
    )
    conversations = ChatConversations(records)
    lists = ConversationLists(hub, conversations, post)
    commands = Commands(
        hub,
        conversations,
        lists,
        lanes=lanes,
        post=post,
        files=files,
        deliver=answerer.deliver_stored,
        tools=lambda: [tool.name for tool in ToolManager(hub).definitions()],
        model_menu=model_menu,
    )
    notes = BusyNotes(post, lanes, tasks, busy_seconds)
    runs = Runs(
        answerer,
        courier=courier,
        lanes=lanes,
        notes=notes,
        ahead=ahead,
        more_seconds=more_seconds,
    )
    prompts = Prompts(hub, coordinator, answerer=answerer, lanes=lanes, runs=runs, spool=spool)
    second_thoughts = SecondThoughts(
        hub,
        conversations,
        answerer=answerer,
        prompts=prompts,
        anew=SaidAnew(hub, lanes, spool),
        runs=runs,
        lanes=lanes,
        post=post,
    )
    people = People(hub, config.bot.people)
    limit = config.bot.rate_limit
    intake = Intake(
        people,
        answerer=answerer,
        lanes=lanes,
        post=post,
        strangers=strangers,
        notices=notices,
        prompts=prompts,
        runs=runs,
        ahead=ahead,
        second_thoughts=second_thoughts,
        commands=commands,
        lists=lists,
        model_menu=model_menu,
        conversations=conversations,
        figures=figures,
        questions=questions,
        tasks=tasks,
        rates=limit and Rates(limit.calls, limit.seconds / limit.calls),
    )
    return _Parts(lanes, post, answerer, intake, strangers, figures, people, runs, models)


@asynccontextmanager
async def _listening(config: BotConfig) -> AsyncGenerator[socket.socket | None]:
    if config.address is None:
        yield None
        return
    with listen(*config.address) as listener:
        yield listener


def _tell_who_may_talk(config: Config) -> None:
    """Each start says it: the list may come from a file that the operator has not written."""
    people = ", ".join(f"{user_id} as {owner}" for user_id, owner in config.bot.people.items())
    if people:
        logger.warning("May talk to the bot (%s): %s", config.path or "environment", people)


async def _show_commands(bot: Bot) -> None:
    commands = [BotCommand(name, description) for name, description in wording.COMMANDS.items()]
    try:
        await bot.set_my_commands(commands)
    except TelegramError as error:
        logger.warning("The menu of commands was not set: %s", error)
