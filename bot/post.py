"""Makes Telegram show things, and says what became of each."""

import logging
from dataclasses import dataclass

import anyio
from telegram import Bot, ReplyParameters
from telegram.constants import ChatAction
from telegram.error import BadRequest, ChatMigrated, Forbidden, InvalidToken, TelegramError

from bot.api_request import FloodedError, NotSentError
from bot.rendering import Part

_TYPING_SECONDS = 4.5
"""Telegram shows it for 5 seconds."""
_FIRST_DELAY_SECONDS = 0.5
_LONGEST_DELAY_SECONDS = 30.0
_LONGEST_PAUSE_SECONDS = 900.0
"""Telegram's pauses are kept; one that is longer than this is left to a later start."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Sent:
    """Telegram has it, under this id."""

    message_id: int


@dataclass(frozen=True, slots=True)
class Undeliverable:
    """Telegram will never take it."""

    reason: str


@dataclass(frozen=True, slots=True)
class NotNow:
    """Telegram does not have it, and will not take it for long."""

    reason: str


@dataclass(frozen=True, slots=True)
class Uncertain:
    """It went out and no answer came back: Telegram may have it or not."""

    reason: str


Outcome = Sent | Undeliverable | NotNow | Uncertain


class Post:
    """Sends messages."""

    def __init__(self, bot: Bot) -> None:
        self._bot = bot

    async def send(self, chat_id: int, part: Part, reply_to: int | None = None) -> Outcome:
        """Send one message. Waits for a connection and for the pauses that Telegram asks for.

        What Telegram refuses with its formatting is sent without.
        """
        delay, entities = _FIRST_DELAY_SECONDS, part.entities
        while True:
            try:
                message = await self._bot.send_message(
                    chat_id,
                    part.text,
                    entities=entities or None,
                    reply_parameters=_quoting(reply_to),
                )
                return Sent(message.message_id)
            except FloodedError as error:
                if error.seconds > _LONGEST_PAUSE_SECONDS:
                    return NotNow(str(error))
                logger.warning("Telegram wants a pause of %g s in a chat", error.seconds)
                pause = error.seconds
            except NotSentError:
                pause, delay = delay, min(delay * 2, _LONGEST_DELAY_SECONDS)
            except TelegramError as error:
                if not (isinstance(error, BadRequest) and entities):
                    return _to_outcome(error)
                logger.warning("Telegram refused formatting, the text goes plain: %s", error)
                entities, pause = (), 0.0
            await anyio.sleep(pause)

    async def say(self, chat_id: int, text: str) -> None:
        """Send a line of the bot's own, once; if that fails it is in the log only."""
        outcome = await self.send(chat_id, Part(text))
        if not isinstance(outcome, Sent):
            logger.warning("A notice may not have arrived in a chat: %s", outcome.reason)

    async def keep_typing(self, chat_id: int) -> None:
        """Show that something is being written, until cancelled."""
        while True:
            pause = _TYPING_SECONDS
            try:
                await self._bot.send_chat_action(chat_id, ChatAction.TYPING)
            except FloodedError as error:
                pause = max(pause, error.seconds)
            except TelegramError as error:
                logger.debug("No typing shown: %s", error)
            await anyio.sleep(pause)


def _quoting(message_id: int | None) -> ReplyParameters | None:
    if message_id is None:
        return None
    return ReplyParameters(message_id, allow_sending_without_reply=True)


def _to_outcome(error: TelegramError) -> Outcome:
    match error:
        case BadRequest() | Forbidden() | ChatMigrated():
            return Undeliverable(str(error))
        case InvalidToken():
            return NotNow(str(error))
        case _:
            return Uncertain(str(error))
