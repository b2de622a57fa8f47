"""Makes Telegram show things, and says what became of each."""

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

import anyio
from telegram import (
    Bot,
    InlineKeyboardButton,
    InlineKeyboardMarkup,
    LinkPreviewOptions,
    ReplyParameters,
)
from telegram.constants import ChatAction
from telegram.error import BadRequest, ChatMigrated, Forbidden, InvalidToken, TelegramError

from bot import wording
from bot.api_request import FloodedError, NotSentError
from bot.connection import until_heard
from bot.figures import Figures
from bot.media import ToolFile, UnreadableError, send_media
from bot.pace import Pace
from bot.rendering import Part

_TYPING_SECONDS = 4.5
"""Telegram shows it for 5 seconds."""
_FIRST_DELAY_SECONDS = 0.5
_LONGEST_DELAY_SECONDS = 30.0
_LONGEST_PAUSE_SECONDS = 900.0
"""Telegram's pauses are kept; one that is longer than this is left to a later start."""
_FILES_AT_ONCE = 2
"""Each is in memory as a whole, while it is sent."""
_NO_PREVIEW = LinkPreviewOptions(is_disabled=True)
"""Telegram would fetch what a text links to, and so tell whoever made the model write that link."""
_NOT_MODIFIED = "message is not modified"

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
    """Sends messages, and changes them, at the pace that Telegram wants."""

    def __init__(self, bot: Bot, pace: Pace, figures: Figures) -> None:
        self._bot = bot
        self._figures = figures
        self._pace = pace
        self._files_at_once = anyio.Semaphore(_FILES_AT_ONCE)

    async def wait_for_turn(self, chat_id: int, *, change: bool = False) -> None:
        """Return when something may be sent to a chat, or, if `change`, something there changed."""
        await self._pace.wait(chat_id, change=change)

    async def wait_until_heard(self) -> None:
        """Return when Telegram answers, which it does at once if all is well."""
        await until_heard(self._bot.get_me)

    async def send(
        self,
        chat_id: int,
        part: Part,
        reply_to: int | None = None,
        *,
        patient: bool = True,
        silent: bool = False,
    ) -> Outcome:
        """Send one message; if it is `silent`, nobody's telephone rings.

        Waits for its turn, a connection and the pauses that Telegram asks for. If it shall not be
        `patient` it waits for nothing: call `wait_for_turn` before. What Telegram refuses with its
        formatting is sent without; in place of a file that can't be sent, a sentence says so.
        """
        if part.returned is not None:
            return await self._send_file(chat_id, part, part.returned, reply_to, patient=patient)

        async def attempt(part: Part) -> int:
            if part.file is not None:
                message = await self._bot.send_document(
                    chat_id,
                    part.file.text.encode("utf-8"),
                    part.text or None,
                    filename=part.file.name,
                    reply_parameters=_quoting(reply_to),
                )
                return message.message_id
            message = await self._bot.send_message(
                chat_id,
                part.text,
                entities=part.entities or None,
                reply_parameters=_quoting(reply_to),
                reply_markup=_keyboard(part),
                link_preview_options=_NO_PREVIEW,
                disable_notification=silent or None,
            )
            return message.message_id

        return await self._keep_trying(chat_id, part, attempt, patient=patient)

    async def _send_file(
        self, chat_id: int, part: Part, file: ToolFile, reply_to: int | None, *, patient: bool
    ) -> Outcome:
        async def attempt(part: Part) -> int:
            async with self._files_at_once:
                quoting = _quoting(reply_to)
                message = await send_media(self._bot, chat_id, file, part.text, quoting)
            return message.message_id

        is_readable = True
        try:
            outcome = await self._keep_trying(chat_id, part, attempt, patient=patient)
            if not isinstance(outcome, Undeliverable):
                return outcome
            logger.warning("Telegram refuses a file: %s", outcome.reason)
        except UnreadableError as error:
            logger.warning("A file can't be read: %s", error)
            is_readable = False
        told = Part(wording.render_not_sent(file.name, is_readable=is_readable))
        return await self.send(chat_id, told, reply_to, patient=patient)

    async def change(
        self, chat_id: int, message_id: int, part: Part, *, patient: bool = True
    ) -> Outcome:
        """Make a message that was sent before say this, waiting as `send` does. May be repeated."""

        async def attempt(part: Part) -> int:
            try:
                await self._bot.edit_message_text(
                    part.text,
                    chat_id,
                    message_id,
                    entities=part.entities or None,
                    reply_markup=_keyboard(part),
                    link_preview_options=_NO_PREVIEW,
                )
            except BadRequest as error:
                if _NOT_MODIFIED not in str(error).lower():
                    raise
            return message_id

        return await self._keep_trying(chat_id, part, attempt, patient=patient, change=True)

    async def remove(self, chat_id: int, message_id: int) -> None:
        """Take a message back. That this fails is in the log only."""
        try:
            await self._pace.wait(chat_id)
            await self._bot.delete_message(chat_id, message_id)
        except TelegramError as error:
            logger.warning("A message that is no longer needed stays: %s", error)

    async def acknowledge(self, press_id: str, text: str | None = None) -> None:
        """Tell Telegram that a press of a button was heard; `text` is shown to the person."""
        try:
            await self._bot.answer_callback_query(press_id, text)
        except TelegramError as error:
            logger.debug("A press was not acknowledged: %s", error)

    async def say(self, chat_id: int, text: str) -> None:
        """Send a line of the bot's own, once; if that fails it is in the log only."""
        outcome = await self.send(chat_id, Part(text))
        if not isinstance(outcome, Sent):
            logger.warning("A notice may not have arrived in a chat: %s", outcome.reason)

    async def send_file(self, chat_id: int, name: str, data: bytes) -> None:
        """Send a file, once; if that fails it is told in the chat."""
        await self._pace.wait(chat_id)
        try:
            await self._bot.send_document(chat_id, data, filename=name)
        except TelegramError as error:
            logger.warning("A file may not have arrived in a chat: %s", error)
            await self.say(chat_id, wording.FILE_NOT_SENT)

    async def keep_typing(self, chat_id: int) -> None:
        """Show that something is being written, until cancelled."""
        while True:
            pause = max(_TYPING_SECONDS, self._pace.pause_left(chat_id))
            if pause == _TYPING_SECONDS:
                try:
                    await self._bot.send_chat_action(chat_id, ChatAction.TYPING)
                except FloodedError as error:
                    self._pace.pause(chat_id, error.seconds)
                except TelegramError as error:
                    logger.debug("No typing shown: %s", error)
            await anyio.sleep(pause)

    async def _keep_trying(
        self,
        chat_id: int,
        part: Part,
        attempt: Callable[[Part], Awaitable[int]],
        *,
        patient: bool,
        change: bool = False,
    ) -> Outcome:
        delay = _FIRST_DELAY_SECONDS
        while True:
            left = self._pace.pause_left(chat_id)
            if left > (_LONGEST_PAUSE_SECONDS if patient else 0):
                return NotNow(f"Telegram wants a pause of {left:.0f} s in this chat")
            if patient:
                await self._pace.wait(chat_id, change=change)
            try:
                return Sent(await attempt(part))
            except FloodedError as error:
                logger.warning("Telegram wants a pause of %g s in a chat", error.seconds)
                self._pace.pause(chat_id, error.seconds)
                self._figures.retries.labels("flooded").inc()
            except NotSentError as error:
                if not patient:
                    return NotNow(str(error))
                self._figures.retries.labels("no connection").inc()
                await anyio.sleep(delay)
                delay = min(delay * 2, _LONGEST_DELAY_SECONDS)
                if part.returned is not None:
                    await self.wait_until_heard()  # else it would be read each time
            except TelegramError as error:
                if not (isinstance(error, BadRequest) and part.entities):
                    return _to_outcome(error)
                logger.warning("Telegram refused formatting, the text goes plain: %s", error)
                self._figures.retries.labels("formatting").inc()
                part = replace(part, entities=())


def _quoting(message_id: int | None) -> ReplyParameters | None:
    if message_id is None:
        return None
    return ReplyParameters(message_id, allow_sending_without_reply=True)


def _keyboard(part: Part) -> InlineKeyboardMarkup | None:
    """The buttons; None takes away those that a message has."""
    if not part.buttons:
        return None
    return InlineKeyboardMarkup(
        [
            [InlineKeyboardButton(button.label, callback_data=button.data) for button in row]
            for row in part.buttons
        ]
    )


def _to_outcome(error: TelegramError) -> Outcome:
    match error:
        case BadRequest() | Forbidden() | ChatMigrated():
            return Undeliverable(str(error))
        case InvalidToken():
            return NotNow(str(error))
        case _:
            return Uncertain(str(error))
