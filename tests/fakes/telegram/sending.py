"""Methods by which the bot puts messages into chats, and changes them."""

import itertools
import time
from collections.abc import Mapping
from typing import Any

from telegram.constants import ReactionEmoji

from tests.fakes.telegram.chats import BOT, Chat, Chats, Message
from tests.fakes.telegram.files import Files
from tests.fakes.telegram.formatting import Formatted, format_caption, format_text
from tests.fakes.telegram.forms import Upload
from tests.fakes.telegram.keyboards import check_markup
from tests.fakes.telegram.refusals import bad_request, misused

Parameters = Mapping[str, Any]
Uploads = Mapping[str, Upload]

FILE_METHODS = {
    "sendPhoto": "photo",
    "sendDocument": "document",
    "sendAudio": "audio",
    "sendVoice": "voice",
    "sendVideo": "video",
    "sendVideoNote": "video_note",
    "sendAnimation": "animation",
}
_ACTIONS = frozenset(
    {"typing", "upload_photo", "record_video", "upload_video", "record_voice", "upload_voice"}
    | {"upload_document", "choose_sticker", "find_location", "record_video_note"}
    | {"upload_video_note"}
)
_NOT_MODIFIED = (
    "message is not modified: specified new message content and reply markup are exactly the same "
    "as a current content and reply markup of the message"
)
_MAX_ALBUM = 10
_REACTIONS = frozenset(str(emoji.value) for emoji in ReactionEmoji)


class Sending:
    """The bot's hand in the chats."""

    def __init__(self, chats: Chats, files: Files) -> None:
        self._chats = chats
        self._files = files
        self._album_ids = itertools.count(1)

    def send_message(self, parameters: Parameters) -> Message:
        """`sendMessage`."""
        content = format_text(parameters).to_message()
        return self._post(self._chats.find(parameters["chat_id"]), parameters, content)

    def send_file(self, kind: str, parameters: Parameters, uploads: Uploads) -> Message:
        """`sendPhoto`, `sendDocument` and the like."""
        chat = self._chats.find(parameters["chat_id"])
        caption = format_caption(parameters)
        file = self._files.take(kind, parameters[kind], uploads)
        return self._post(chat, parameters, {**file.to_media(), **_shown(caption)})

    def send_album(self, parameters: Parameters, uploads: Uploads) -> list[Message]:
        """`sendMediaGroup`: all or nothing."""
        chat = self._chats.find(parameters["chat_id"])
        items = parameters["media"]
        if not items:
            raise bad_request("there are no messages to send")
        if len(items) > _MAX_ALBUM:
            raise bad_request("too many messages to send as an album")
        kinds = {item["type"] for item in items}
        if len(kinds - {"photo", "video"}) > 0 and len(kinds) > 1:
            mixed = sorted(kinds - {"photo", "video"})[0]
            raise bad_request(f"{mixed} can't be mixed with other media types")
        album_id = str(next(self._album_ids))
        contents = [
            {
                **self._files.take(item["type"], item["media"], uploads).to_media(),
                **_shown(format_caption(item)),
                "media_group_id": album_id,
            }
            for item in items
        ]
        return [self._post(chat, parameters, content) for content in contents]

    def copy_message(self, parameters: Parameters) -> dict[str, int]:
        """`copyMessage`."""
        chat = self._chats.find(parameters["chat_id"])
        content = self._content_of(parameters, "message to copy")
        return {"message_id": self._post(chat, parameters, content)["message_id"]}

    def forward_message(self, parameters: Parameters) -> Message:
        """`forwardMessage`."""
        chat = self._chats.find(parameters["chat_id"])
        content = self._content_of(parameters, "message to forward")
        _, source = self._chats.find_message(
            parameters["from_chat_id"], parameters["message_id"], "message to forward"
        )
        origin = {"type": "user", "sender_user": source["from"], "date": source["date"]}
        return self._post(chat, parameters, {**content, "forward_origin": origin})

    def send_draft(self, parameters: Parameters) -> bool:
        """`sendMessageDraft`: what the bot is about to write, shown to one person."""
        chat = self._chats.find(parameters["chat_id"])
        if not chat.is_private or parameters["draft_id"] == 0:
            raise misused("drafts are for private chats and have an id that is not 0")
        text = parameters.get("text")
        chat.drafts[parameters["draft_id"]] = (
            format_text(parameters).to_message() if text else {"text": ""}
        )
        return True

    def send_action(self, parameters: Parameters) -> bool:
        """`sendChatAction`."""
        if parameters["action"] not in _ACTIONS:
            raise bad_request("wrong parameter action in request")
        self._chats.find(parameters["chat_id"]).actions.append(parameters["action"])
        return True

    def react(self, parameters: Parameters) -> bool:
        """`setMessageReaction`. A bot has one."""
        chat, message = self._chats.find_message(
            parameters["chat_id"], parameters["message_id"], "message to react"
        )
        reactions: list[dict[str, Any]] = parameters.get("reaction") or []
        if len(reactions) > 1:
            raise bad_request("REACTIONS_TOO_MANY")
        for reaction in reactions:
            if reaction.get("emoji") not in _REACTIONS:
                raise bad_request("REACTION_INVALID")
        chat.reactions[message["message_id"]] = [reaction["emoji"] for reaction in reactions]
        return True

    def edit_text(self, parameters: Parameters) -> Message:
        """`editMessageText`."""
        content = format_text(parameters).to_message()
        message = self._editable(parameters)
        if "text" not in message:
            raise bad_request("there is no text in the message to edit")
        return _change(message, content, ("text", "entities"), parameters)

    def edit_caption(self, parameters: Parameters) -> Message:
        """`editMessageCaption`."""
        content = _shown(format_caption(parameters))
        message = self._editable(parameters)
        if "text" in message:
            raise bad_request("there is no caption in the message to edit")
        return _change(message, content, ("caption", "caption_entities"), parameters)

    def edit_markup(self, parameters: Parameters) -> Message:
        """`editMessageReplyMarkup`."""
        return _change(self._editable(parameters), {}, (), parameters)

    def _editable(self, parameters: Parameters) -> Message:
        if "inline_message_id" in parameters:
            raise misused("the fake has no inline messages")
        for name in ("chat_id", "message_id"):
            if name not in parameters:
                raise bad_request("message identifier is not specified")
        _, message = self._chats.find_message(
            parameters["chat_id"], parameters["message_id"], "message to edit"
        )
        if message["from"]["id"] != BOT["id"]:
            raise bad_request("message can't be edited")
        return message

    def _content_of(self, parameters: Parameters, purpose: str) -> dict[str, Any]:
        _, source = self._chats.find_message(
            parameters["from_chat_id"], parameters["message_id"], purpose
        )
        about = {"message_id", "date", "edit_date", "chat", "from", "reply_to_message"}
        about |= {"reply_markup", "media_group_id", "forward_origin"}
        return {name: value for name, value in source.items() if name not in about}

    def _post(self, chat: Chat, parameters: Parameters, content: Parameters) -> Message:
        markup = check_markup(parameters.get("reply_markup"))
        replied = self._replied_to(chat, parameters.get("reply_parameters"))
        content = {**content, **({"reply_to_message": replied} if replied else {})}
        content = {**content, **({"reply_markup": markup} if markup else {})}
        chat.drafts.clear()
        return self._chats.post(chat, BOT, content)

    def _replied_to(self, chat: Chat, reply: Parameters | None) -> Message | None:
        if reply is None:
            return None
        if (found := chat.messages.get(reply["message_id"])) is not None:
            return {name: value for name, value in found.items() if name != "reply_to_message"}
        if reply.get("allow_sending_without_reply"):
            return None
        raise bad_request("message to be replied not found")


def _shown(caption: Formatted) -> dict[str, Any]:
    return caption.to_message("caption", "caption_entities") if caption.text else {}


def _change(
    message: Message, content: Parameters, replaced: tuple[str, ...], parameters: Parameters
) -> Message:
    """The message in its new form, which has no buttons unless it is given some."""
    markup = check_markup(parameters.get("reply_markup"), inline_only=True)
    wanted = {**content, **({"reply_markup": markup} if markup else {})}
    replaced = (*replaced, "reply_markup")
    if wanted == {name: message[name] for name in replaced if name in message}:
        raise bad_request(_NOT_MODIFIED)
    for name in replaced:
        message.pop(name, None)
    message.update(wanted, edit_date=int(time.time()))
    return message
