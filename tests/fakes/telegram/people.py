"""People, as a test moves them: they write, edit, press buttons, react, block, and leave."""

import itertools
import re
import time
from collections.abc import Mapping
from typing import Any

from tests.fakes.telegram.chats import BLOCKED, BOT, DEACTIVATED, KICKED, Chat, Chats, Message
from tests.fakes.telegram.files import Files
from tests.fakes.telegram.formatting import utf16_units
from tests.fakes.telegram.keyboards import Callbacks, buttons_of
from tests.fakes.telegram.updates import Update, Updates

_COMMAND = re.compile(r"/[A-Za-z0-9_]{1,32}(?:@\w+)?(?=\s|$)")


class Person:
    """One person, in the private chat with the bot or, where `chat_id` says so, in a group.

    What they do gives the update that tells the bot of it.
    """

    def __init__(
        self,
        user_id: int,
        name: str,
        *,
        chats: Chats,
        updates: Updates,
        files: Files,
        callbacks: Callbacks,
    ) -> None:
        self.id = user_id
        self.name = name
        self._chats = chats
        self._updates = updates
        self._files = files
        self._callbacks = callbacks
        self._callback_ids = itertools.count(1)

    def to_json(self) -> dict[str, Any]:
        """As Telegram shows them."""
        return {"id": self.id, "is_bot": False, "first_name": self.name, "language_code": "en"}

    def writes(self, text: str, *, chat_id: int | None = None, **fields: Any) -> Update:
        """A text. `fields` are the message's own: `reply_to_message={…}`."""
        if command := _COMMAND.match(text):
            place = {"offset": 0, "length": utf16_units(command[0])}
            fields = {"entities": [{"type": "bot_command", **place}], **fields}
        return self.sends(chat_id=chat_id, text=text, **fields)

    def sends(self, *, chat_id: int | None = None, **fields: Any) -> Update:
        """A message of any kind: `location={…}`, `sticker={…}`."""
        message = self._chats.post(self._chat(chat_id), self.to_json(), fields)
        return self._updates.add({"message": dict(message)})

    def sends_file(
        self,
        kind: str,
        data: bytes,
        *,
        name: str = "file.bin",
        mime_type: str = "application/octet-stream",
        chat_id: int | None = None,
        **fields: Any,
    ) -> Update:
        """A `photo`, `voice`, `document` and so on, which the bot can download."""
        media = self._files.keep(kind, name, data, mime_type).to_media()
        return self.sends(chat_id=chat_id, **media, **fields)

    def edits(self, update: Mapping[str, Any], text: str) -> Update:
        """Changes the text of a message of theirs, given by the update that brought it."""
        given = update.get("message") or update["edited_message"]
        message = self._chats.get_or_make(given["chat"]["id"]).messages[given["message_id"]]
        message.pop("entities", None)
        message.update(text=text, edit_date=int(time.time()))
        return self._updates.add({"edited_message": dict(message)})

    def presses(self, message: Message, button: str) -> Update:
        """A button, by its words, of a message as the bot sent it.

        Raises:
            LookupError: The message shows no such button by now.
        """
        shown = self._chats.get_or_make(message["chat"]["id"]).messages.get(message["message_id"])
        keyboard = (shown or {}).get("reply_markup", {"inline_keyboard": []})
        for found in buttons_of(keyboard):
            if found["text"] == button and "callback_data" in found:
                return self.presses_data(shown or message, found["callback_data"])
        raise LookupError(f"message {message['message_id']} shows no button {button!r}")

    def presses_data(self, message: Message, data: str) -> Update:
        """A press with this data, be there such a button or not: an old or a forged one."""
        callback_id = f"{self.id}-{next(self._callback_ids)}"
        self._callbacks.begin(callback_id)
        chat = self._chats.get_or_make(message["chat"]["id"])
        gone = {"chat": message["chat"], "message_id": message["message_id"], "date": 0}
        query = {
            "id": callback_id,
            "from": self.to_json(),
            "message": dict(chat.messages.get(message["message_id"], gone)),
            "chat_instance": str(chat.id),
            "data": data,
        }
        return self._updates.add({"callback_query": query})

    def reacts(self, message: Message, *emoji: str) -> Update:
        """With these, in place of those before. The bot hears of it only if it asked to."""
        change = {
            "chat": message["chat"],
            "message_id": message["message_id"],
            "user": self.to_json(),
            "date": int(time.time()),
            "old_reaction": [],
            "new_reaction": [{"type": "emoji", "emoji": one} for one in emoji],
        }
        return self._updates.add({"message_reaction": change})

    def blocks(self) -> Update:
        """The bot."""
        return self._changes("member", "kicked", self._chat(None), BLOCKED)

    def unblocks(self) -> Update:
        """The bot, after having blocked it."""
        return self._changes("kicked", "member", self._chat(None), None)

    def kicks(self, chat_id: int) -> Update:
        """The bot, out of a group."""
        return self._changes("member", "kicked", self._chat(chat_id), KICKED)

    def deletes_account(self) -> None:
        """And the chat with it. Telegram tells the bot nothing."""
        self._chat(None).closed = DEACTIVATED

    def _chat(self, chat_id: int | None) -> Chat:
        return self._chats.get_or_make(self.id if chat_id is None else chat_id)

    def _changes(self, before: str, after: str, chat: Chat, closed: Any) -> Update:
        chat.closed = closed
        until = {"until_date": 0} if after == "kicked" else {}
        was = {"until_date": 0} if before == "kicked" else {}
        change = {
            "chat": chat.to_json(),
            "from": self.to_json(),
            "date": int(time.time()),
            "old_chat_member": {"user": dict(BOT), "status": before, **was},
            "new_chat_member": {"user": dict(BOT), "status": after, **until},
        }
        return self._updates.add({"my_chat_member": change})
