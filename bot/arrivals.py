"""What a Telegram update is to us: a text, a command or an attachment of a person, or nothing."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from telegram import (
    CallbackQuery,
    Message,
    MessageReactionUpdated,
    ReactionTypeEmoji,
    Update,
)
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
_THUMBS = {"👍": True, "👎": False}
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
class TextEdited:
    """A message of theirs says something else now. `origin` is the message, at its latest edit."""

    origin: Origin
    text: str


@dataclass(frozen=True, slots=True)
class ReactionChanged:
    """What a person thinks of one of the chat's messages: 👍, 👎 or none of these."""

    origin: Origin
    is_liked: bool | None


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
    album: str | None = None
    """What it was sent together with has the same."""


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


Written = TextArrived | TextEdited | CommandArrived | AttachmentArrived
Arrival = Written | ButtonPressed | ReactionChanged | NothingForUs


def parse_update(update: object) -> Arrival:
    """What this update is to us. Only what people do in private chats is anything."""
    match update:
        case Update(callback_query=CallbackQuery() as press):
            return _parse_press(press)
        case Update(message_reaction=MessageReactionUpdated() as change):
            return _parse_reaction(change)
        case Update(edited_message=Message() as message):
            return _parse_edit(update, message)
        case Update(message=Message() as message):
            return _parse_message(update, message)
        case _:
            return NothingForUs("no new message")


def _parse_message(update: Update, message: Message) -> Arrival:
    if (reason := _why_not_ours(update, message)) is not None:
        return NothingForUs(reason)
    origin = _origin(message, message.date)
    if message.text is None:
        caption = _storable(message.caption or "")
        return AttachmentArrived(origin, _name_kind(message), caption, message.media_group_id)
    text = _storable(message.text)
    is_forwarded = message.forward_origin is not None
    if not is_forwarded and (command := _COMMAND.match(text)):
        return CommandArrived(origin, command[1].lower(), text[command.end() :].strip())
    return TextArrived(origin, text, is_forwarded)


def _parse_edit(update: Update, message: Message) -> Arrival:
    if (reason := _why_not_ours(update, message)) is not None:
        return NothingForUs(reason)
    if message.text is None or message.edit_date is None or message.forward_origin is not None:
        return NothingForUs("a change to something that is no text of theirs")
    return TextEdited(_origin(message, message.edit_date), _storable(message.text))


def _parse_reaction(change: MessageReactionUpdated) -> Arrival:
    if change.chat.type != ChatType.PRIVATE or change.user is None:
        return NothingForUs("a reaction outside of private chats")
    thumbs = [
        _THUMBS[reaction.emoji]
        for reaction in change.new_reaction
        if isinstance(reaction, ReactionTypeEmoji) and reaction.emoji in _THUMBS
    ]
    origin = Origin(
        chat_id=change.chat.id,
        user_id=change.user.id,
        message_id=change.message_id,
        sent_at=int(change.date.timestamp()),
        person=_storable(change.user.first_name),
    )
    return ReactionChanged(origin, thumbs[-1] if thumbs else None)


def _why_not_ours(update: Update, message: Message) -> str | None:
    if message.chat.type != ChatType.PRIVATE:
        return f"the chat {message.chat.id} is no private one"
    if message.from_user is None or message.from_user.is_bot:
        return "not written by a person"
    if filters.StatusUpdate.ALL.check_update(update):
        return "a service message"
    return None


def _origin(message: Message, when: datetime) -> Origin:
    assert message.from_user is not None
    return Origin(
        chat_id=message.chat.id,
        user_id=message.from_user.id,
        message_id=message.message_id,
        sent_at=int(when.timestamp()),
        person=_storable(message.from_user.first_name),
    )


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
