"""Which method is done by whom. `getUpdates` is not here: it waits."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from tests.fakes.telegram.chats import BOT, Chats
from tests.fakes.telegram.files import Files
from tests.fakes.telegram.forms import Upload
from tests.fakes.telegram.keyboards import Callbacks
from tests.fakes.telegram.menus import Menus
from tests.fakes.telegram.sending import FILE_METHODS, Sending
from tests.fakes.telegram.updates import Updates

Parameters = Mapping[str, Any]
Uploads = Mapping[str, Upload]
Handler = Callable[[Parameters, Uploads], Any]

_ME = {
    **BOT,
    "can_join_groups": True,
    "can_read_all_group_messages": False,
    "supports_inline_queries": False,
    "can_connect_to_business": False,
    "has_main_web_app": False,
}


def collect_handlers(
    sending: Sending,
    *,
    chats: Chats,
    files: Files,
    menus: Menus,
    callbacks: Callbacks,
    updates: Updates,
) -> Mapping[str, Handler]:
    """What does each method that the fake knows."""
    simple: Mapping[str, Callable[[Parameters], Any]] = {
        "getMe": lambda _: _ME,
        "setWebhook": updates.set_webhook,
        "deleteWebhook": updates.delete_webhook,
        "getWebhookInfo": lambda _: updates.describe_webhook(),
        "sendMessage": sending.send_message,
        "sendMessageDraft": sending.send_draft,
        "sendChatAction": sending.send_action,
        "editMessageText": sending.edit_text,
        "editMessageCaption": sending.edit_caption,
        "editMessageReplyMarkup": sending.edit_markup,
        "deleteMessage": chats.delete,
        "deleteMessages": chats.delete_many,
        "copyMessage": sending.copy_message,
        "forwardMessage": sending.forward_message,
        "setMessageReaction": sending.react,
        "answerCallbackQuery": callbacks.answer,
        "getFile": files.get_file,
        "getChat": lambda parameters: chats.describe(parameters["chat_id"]),
        "setMyCommands": menus.set_commands,
        "getMyCommands": menus.get_commands,
        "deleteMyCommands": menus.delete_commands,
    }
    whole: dict[str, Handler] = {
        name: partial(_without_files, handler) for name, handler in simple.items()
    }
    for name, kind in FILE_METHODS.items():
        whole[name] = partial(sending.send_file, kind)
    whole["sendMediaGroup"] = sending.send_album
    return whole


def _without_files(handler: Callable[[Parameters], Any], parameters: Parameters, _: Uploads) -> Any:
    return handler(parameters)
