"""What a Telegram update is to us: a text, a command or an attachment of a person, or nothing."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from telegram import CallbackQuery, Message, Update
from telegram.constants import ChatType
from telegram.ext import filters

_COMMAND = re.compile(r"/([A-Za-z0-9_]{1,32})(?:@\w+)?(?:\s|$)")
_ATTACHMENTS: Mapping[str, str] = {
    "voice": "a voice message",
    "video_note": "a video message",
    "audio": "an audio file",
    "photo": "a photo",
    "animation": "an animation",
    "video": "a video",
    "sticker": "a sticker",
    "document": "a file",
    "contact": "a contact",
    "venue": "a place",
    "location": "a location",
    "poll": "a poll",
    "dice": "a dice",
    "story": "a story",
}
"""Attribute of a message → what a person calls it. In order: an animation is a document too."""
_OTHER_ATTACHMENT = "a message of a kind I don't know"


@dataclass(frozen=True, slots=True)
class Origin:
    """Where and when a message was written: in a private chat, by `person` (a first name)."""

    chat_id: int
    user_id: int
    message_id: int
    sent_at: int
    """Seconds since 1970; with `message_id` it orders a chat, also after a change of bots."""
    person: str


@dataclass(frozen=True, slots=True)
class TextArrived:
    """Something to answer."""

    origin: Origin
    text: str
    is_forwarded: bool = False
    """Somebody else may have written it: it is read, and gives no orders."""


@dataclass(frozen=True, slots=True)
class CommandArrived:
    """`/name`, in lower case, and what stands behind it."""

    origin: Origin
    name: str
    argument: str = ""


@dataclass(frozen=True, slots=True)
class AttachmentArrived:
    """Something that can't be understood yet. `kind` reads like "a photo"."""

    origin: Origin
    kind: str
    caption: str


@dataclass(frozen=True, slots=True)
class ButtonPressed:
    """A button below one of the bot's messages. `data` may be forged."""

    press_id: str
    chat_id: int
    user_id: int
    message_id: int
    data: str


@dataclass(frozen=True, slots=True)
class NothingForUs:
    """An update that has no effect; `reason` is for the log."""

    reason: str


Arrival = TextArrived | CommandArrived | AttachmentArrived | ButtonPressed | NothingForUs


def parse_update(update: object) -> Arrival:
    """What this update is to us: a new message of a person in a private chat, or a button there."""
    if isinstance(update, Update) and update.callback_query is not None:
        return _parse_press(update.callback_query)
    if not isinstance(update, Update) or update.message is None:
        return NothingForUs("no new message")
    message = update.message
    if message.chat.type != ChatType.PRIVATE:
        return NothingForUs(f"the chat {message.chat.id} is no private one")
    if message.from_user is None or message.from_user.is_bot:
        return NothingForUs("not written by a person")
    if filters.StatusUpdate.ALL.check_update(update):
        return NothingForUs("a service message")
    origin = Origin(
        chat_id=message.chat.id,
        user_id=message.from_user.id,
        message_id=message.message_id,
        sent_at=int(message.date.timestamp()),
        person=_storable(message.from_user.first_name),
    )
    if message.text is None:
        return AttachmentArrived(origin, _name_kind(message), _storable(message.caption or ""))
    text = _storable(message.text)
    is_forwarded = message.forward_origin is not None
    if not is_forwarded and (command := _COMMAND.match(text)):
        return CommandArrived(origin, command[1].lower(), text[command.end() :].strip())
    return TextArrived(origin, text, is_forwarded)


def _parse_press(press: CallbackQuery) -> ButtonPressed | NothingForUs:
    if press.message is None or press.data is None:
        return NothingForUs("a button of no message of ours")
    if press.message.chat.type != ChatType.PRIVATE:
        return NothingForUs(f"the chat {press.message.chat.id} is no private one")
    return ButtonPressed(
        press_id=press.id,
        chat_id=press.message.chat.id,
        user_id=press.from_user.id,
        message_id=press.message.message_id,
        data=press.data,
    )


def _name_kind(message: Message) -> str:
    for attribute, kind in _ATTACHMENTS.items():
        if getattr(message, attribute, None):
            return kind
    return _OTHER_ATTACHMENT


def _storable(text: str) -> str:
    """Without what no store takes: lone surrogates and NUL become the replacement character."""
    whole = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return whole.replace("\0", "\ufffd")
