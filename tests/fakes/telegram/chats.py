"""Chats, who is in them, and the messages that stand there."""

import itertools
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.fakes.telegram.refusals import RefusedError, bad_request, forbidden

Message = dict[str, Any]

BOT: Mapping[str, Any] = {
    "id": 7_000_000_001,
    "is_bot": True,
    "first_name": "Agentic",
    "username": "agentic_bot",
}
_EDITABLE_SECONDS = 48 * 3_600
_MAX_MESSAGES = 100_000


@dataclass(slots=True)
class Chat:
    """One chat. Made by its first message: before, the bot can't write to it."""

    id: int
    title: str
    closed: RefusedError | None = None
    """What the bot gets when it writes here: blocked, kicked, deleted."""
    messages: dict[int, Message] = field(default_factory=dict[int, Message])
    actions: list[str] = field(default_factory=list[str])
    """What the bot was shown to be doing, such as `typing`."""
    drafts: dict[int, Message] = field(default_factory=dict[int, Message])
    reactions: dict[int, list[str]] = field(default_factory=dict[int, list[str]])
    """The bot's, by message."""

    @property
    def is_private(self) -> bool:
        """Whether it is with one person."""
        return self.id > 0

    def to_json(self) -> dict[str, Any]:
        """As it stands in messages."""
        if self.is_private:
            return {"id": self.id, "type": "private", "first_name": self.title}
        return {"id": self.id, "type": "supergroup", "title": self.title}


class Chats:
    """All chats that the bot can know of."""

    def __init__(self) -> None:
        self._chats: dict[int, Chat] = {}
        self._message_ids = itertools.count(1)

    def get_or_make(self, chat_id: int, title: str | None = None) -> Chat:
        """A chat, as a person or a test sees it."""
        if chat_id not in self._chats:
            named = title or ("Ada" if chat_id > 0 else "Friends")
            self._chats[chat_id] = Chat(chat_id, named)
        return self._chats[chat_id]

    def find(self, chat_id: object) -> Chat:
        """A chat that the bot wants to write to.

        Raises:
            RefusedError: It can't.
        """
        chat = self._chats.get(chat_id) if isinstance(chat_id, int) else None
        if chat is None:
            raise bad_request("chat not found")
        if chat.closed is not None:
            raise chat.closed
        return chat

    def post(self, chat: Chat, sender: Mapping[str, Any], content: Mapping[str, Any]) -> Message:
        """A new message in a chat."""
        if len(chat.messages) >= _MAX_MESSAGES:
            raise RefusedError(500, "Internal Server Error: the fake keeps no more messages")
        message: Message = {
            "message_id": next(self._message_ids),
            "date": int(time.time()),
            "chat": chat.to_json(),
            "from": dict(sender),
            **content,
        }
        chat.messages[message["message_id"]] = message
        return message

    def find_message(self, chat_id: object, message_id: int, purpose: str) -> tuple[Chat, Message]:
        """A message that the bot names. `purpose`: "message to edit".

        Raises:
            RefusedError: There is none, or no way to the chat.
        """
        chat = self.find(chat_id)
        if message_id not in chat.messages:
            raise bad_request(f"{purpose} not found")
        return chat, chat.messages[message_id]

    def describe(self, chat_id: object) -> dict[str, Any]:
        """`getChat`."""
        facts = {"accent_color_id": 0, "max_reaction_count": 11}
        gifts = ("unlimited_gifts", "limited_gifts", "unique_gifts", "premium_subscription")
        accepted = dict.fromkeys((*gifts, "gifts_from_channels"), False)
        return {**self.find(chat_id).to_json(), **facts, "accepted_gift_types": accepted}

    def delete(self, parameters: Mapping[str, Any]) -> bool:
        """`deleteMessage`."""
        chat, message = self.find_message(
            parameters["chat_id"], parameters["message_id"], "message to delete"
        )
        own = message["from"]["id"] == BOT["id"]
        if is_old(message) or not (own or chat.is_private):
            raise bad_request("message can't be deleted for everyone")
        del chat.messages[message["message_id"]]
        return True

    def delete_many(self, parameters: Mapping[str, Any]) -> bool:
        """`deleteMessages`: those that are not there are passed over."""
        if not 1 <= len(parameters["message_ids"]) <= 100:
            raise bad_request("too many message identifiers specified")
        for message_id in parameters["message_ids"]:
            if message_id in self.find(parameters["chat_id"]).messages:
                self.delete({"chat_id": parameters["chat_id"], "message_id": message_id})
        return True


def is_old(message: Message) -> bool:
    """Whether it is older than the 48 hours in which most things can be done with it."""
    return message["date"] < time.time() - _EDITABLE_SECONDS


BLOCKED = forbidden("bot was blocked by the user")
DEACTIVATED = forbidden("user is deactivated")
KICKED = forbidden("bot was kicked from the supergroup chat")
