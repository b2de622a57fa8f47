"""Fetches updates by polling, and begins anew when nothing is heard of a poll for long."""

import logging
from contextlib import suppress
from typing import TYPE_CHECKING, cast

import anyio
from telegram import Bot
from telegram.constants import UpdateType
from telegram.error import InvalidToken, TelegramError
from telegram.ext import Updater

from bot.connection import Complaints, Pulse
from bot.intake import Intake

if TYPE_CHECKING:
    import asyncio

ALLOWED_UPDATES = [
    UpdateType.MESSAGE,
    UpdateType.EDITED_MESSAGE,
    UpdateType.CALLBACK_QUERY,
    UpdateType.MESSAGE_REACTION,
]
_STOP_POLLING_SECONDS = 2.0
_SHORT_POLL_INTERVAL_SECONDS = 1.0
_CONTACTS = 4
"""In the time after which silence is taken for trouble."""

logger = logging.getLogger(__name__)


async def poll(
    bot: Bot, intake: Intake, pulse: Pulse, *, timeout_seconds: int, silence_seconds: float
) -> None:
    """Have updates fetched into `intake` until cancelled.

    Polling begins anew when no poll has been answered for `silence_seconds`, unless that is because
    the intake has not taken in what the last one brought.
    """
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_keep_in_touch, bot, intake, silence_seconds / _CONTACTS)
        await _keep_polling(bot, intake, pulse, timeout_seconds, silence_seconds)
        tasks.cancel_scope.cancel()


async def _keep_in_touch(bot: Bot, intake: Intake, seconds: float) -> None:
    """Ask Telegram something while no poll does, or `bot.health_file` would grow old."""
    while True:
        await anyio.sleep(seconds)
        if intake.is_taking:
            with suppress(TelegramError):  # the next poll tells
                await bot.get_me()


async def _keep_polling(
    bot: Bot, intake: Intake, pulse: Pulse, timeout_seconds: int, silence_seconds: float
) -> None:
    updater = Updater(bot, cast("asyncio.Queue[object]", intake))  # it only ever puts
    await updater.initialize()
    while True:
        try:
            # For ever, since the updater asks for the next poll only when this one is taken in.
            await updater.start_polling(
                poll_interval=0.0 if timeout_seconds else _SHORT_POLL_INTERVAL_SECONDS,
                timeout=timeout_seconds,
                bootstrap_retries=-1,
                allowed_updates=ALLOWED_UPDATES,
                error_callback=Complaints(),
            )
            await pulse.wait_for_silence(silence_seconds, excused=lambda: intake.is_taking)
        except InvalidToken:
            return  # the request has told it: this scope is being cancelled
        finally:
            with anyio.move_on_after(_STOP_POLLING_SECONDS, shield=True):
                await _stop(updater)
        logger.warning("Nothing was heard of polling for %g s: it begins anew", silence_seconds)


async def _stop(updater: Updater) -> None:
    if not updater.running:
        return
    try:
        await updater.stop()
    except TelegramError as error:
        logger.info("Polling had ended before: %s", error)
