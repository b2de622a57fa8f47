"""What a Bot API method takes and refuses, with Telegram's error texts: the fake's strict half."""

import json
import re
from collections.abc import Callable, Mapping
from typing import Any, cast

MAX_TEXT_UNITS = 4_096
MAX_ENTITIES = 100

_ENTITY_FIELDS: Mapping[str, frozenset[str]] = {
    **dict.fromkeys(
        (
            "bold",
            "italic",
            "underline",
            "strikethrough",
            "spoiler",
            "blockquote",
            "expandable_blockquote",
            "code",
            "mention",
            "hashtag",
            "cashtag",
            "bot_command",
            "url",
            "email",
            "phone_number",
        ),
        frozenset[str](),
    ),
    "pre": frozenset({"language"}),
    "text_link": frozenset({"url"}),
    "text_mention": frozenset({"user"}),
    "custom_emoji": frozenset({"custom_emoji_id"}),
}
_ACTIONS = frozenset(
    {"typing", "upload_photo", "record_video", "upload_video", "record_voice", "upload_voice"}
    | {"upload_document", "choose_sticker", "find_location", "record_video_note"}
    | {"upload_video_note"}
)
_LINK = re.compile(r"(https?|tg|ton)://\S+")


class RefusedError(Exception):
    """The request is answered with this error."""

    def __init__(self, status: int, description: str, **parameters: Any) -> None:
        super().__init__(description)
        self.status = status
        self.description = description
        self.parameters = parameters


def bad_request(description: str) -> RefusedError:
    """An error 400."""
    return RefusedError(400, f"Bad Request: {description}")


def _integer(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise TypeError
    return int(value)


def _boolean(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    return {"true": True, "false": False, "1": True, "0": False}[str(value).lower()]


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _json_of(kind: type) -> Callable[[Any], Any]:
    def parse(value: Any) -> Any:
        parsed = json.loads(value) if isinstance(value, str) else value
        if not isinstance(parsed, kind):
            raise TypeError
        return parsed

    return parse


_SENDING: Mapping[str, Callable[[Any], Any]] = {
    "chat_id": _integer,
    "text": _text,
    "entities": _json_of(list),
    "link_preview_options": _json_of(dict),
}
PARAMETERS: Mapping[str, Mapping[str, Callable[[Any], Any]]] = {
    "getMe": {},
    "getUpdates": {
        "offset": _integer,
        "limit": _integer,
        "timeout": _integer,
        "allowed_updates": _json_of(list),
    },
    "sendMessage": {
        **_SENDING,
        "disable_notification": _boolean,
        "protect_content": _boolean,
        "reply_parameters": _json_of(dict),
    },
    "editMessageText": {**_SENDING, "message_id": _integer},
    "sendChatAction": {"chat_id": _integer, "action": _text},
    "setMyCommands": {
        "commands": _json_of(list),
        "scope": _json_of(dict),
        "language_code": _text,
    },
    "deleteWebhook": {"drop_pending_updates": _boolean},
}
"""The methods that exist, and how each parameter is read (form values are text)."""

_REQUIRED: Mapping[str, tuple[tuple[str, str], ...]] = {
    "sendMessage": (("chat_id", "chat_id is empty"), ("text", "message text is empty")),
    "editMessageText": (
        ("chat_id", "chat_id is empty"),
        ("message_id", "message identifier is not specified"),
        ("text", "message text is empty"),
    ),
    "sendChatAction": (
        ("chat_id", "chat_id is empty"),
        ("action", "wrong parameter action in request"),
    ),
    "setMyCommands": (("commands", "parameter commands is missing"),),
}


def parse_parameters(method: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters of a request, typed.

    Raises:
        RefusedError: One is unknown (the real server would ignore it), malformed or missing.
    """
    known = PARAMETERS[method]
    parsed: dict[str, Any] = {}
    for name, value in given.items():
        if name not in known:
            raise bad_request(f"unknown parameter {name}")
        try:
            parsed[name] = known[name](value)
        except (TypeError, ValueError, KeyError):
            raise bad_request(f"can't parse parameter {name}") from None
    for name, complaint in _REQUIRED.get(method, ()):
        if name not in parsed:
            raise bad_request(complaint)
    return parsed


def utf16_units(text: str) -> int:
    """Length as Telegram counts it."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def check_text(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Text and entities as the message will hold them.

    Raises:
        RefusedError: Empty or too long, or an entity that Telegram would refuse, drop or cut.
    """
    text: str = parameters["text"]
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise bad_request("strings must be encoded in UTF-8") from None
    if not any(character.isprintable() and not character.isspace() for character in text):
        raise bad_request("message text is empty")
    if utf16_units(text) > MAX_TEXT_UNITS:
        raise bad_request("message is too long")
    if text != text.strip():
        raise bad_request("text would be trimmed, and entities moved (the fake is strict here)")
    entities: list[Any] = parameters.get("entities") or []
    if len(entities) > MAX_ENTITIES:
        raise bad_request("more than 100 entities (the real server drops the rest in silence)")
    boundaries = _unit_boundaries(text)
    for entity in entities:
        if not isinstance(entity, dict):
            raise bad_request("can't parse entities: an entity is no object")
        _check_entity(cast("dict[str, Any]", entity), boundaries)
    _check_nesting(entities)
    return {"text": text, **({"entities": entities} if entities else {})}


def _unit_boundaries(text: str) -> frozenset[int]:
    positions = [0]
    for character in text:
        positions.append(positions[-1] + (2 if ord(character) > 0xFFFF else 1))
    return frozenset(positions)


def _check_entity(entity: dict[str, Any], boundaries: frozenset[int]) -> None:
    kind, offset, length = entity.get("type"), entity.get("offset"), entity.get("length")
    if not isinstance(kind, str) or kind not in _ENTITY_FIELDS:
        raise bad_request(f"can't parse entities: unsupported type {kind!r}")
    if not isinstance(offset, int) or not isinstance(length, int) or offset < 0 or length <= 0:
        raise bad_request(f"can't parse entities: {kind} at {offset!r}, length {length!r}")
    if offset not in boundaries or offset + length not in boundaries:
        raise bad_request(f"can't parse entities: {kind} ends outside the text or inside a pair")
    if surplus := entity.keys() - {"type", "offset", "length"} - _ENTITY_FIELDS[kind]:
        raise bad_request(f"can't parse entities: {kind} with {sorted(surplus)}")
    if kind == "text_link" and not _LINK.fullmatch(str(entity.get("url"))):
        raise bad_request(f"can't parse entities: invalid URL {entity.get('url')!r}")


def _check_nesting(entities: list[dict[str, Any]]) -> None:
    ordered = sorted(entities, key=lambda entity: (entity["offset"], -entity["length"]))
    open_ends: list[int] = []
    for entity in ordered:
        end = entity["offset"] + entity["length"]
        while open_ends and open_ends[-1] <= entity["offset"]:
            open_ends.pop()
        if open_ends and end > open_ends[-1]:
            raise bad_request("can't parse entities: two overlap without nesting")
        open_ends.append(end)


def check_action(action: str) -> None:
    """Refuse an unknown chat action."""
    if action not in _ACTIONS:
        raise bad_request("wrong parameter action in request")


def check_commands(commands: list[Any]) -> None:
    """Refuse a menu that Telegram would refuse."""
    if len(commands) > 100:
        raise bad_request("BOT_COMMANDS_TOO_MUCH")
    for item in commands:
        if not isinstance(item, dict) or item.keys() != {"command", "description"}:
            raise bad_request("can't parse BotCommand")
        command = cast("dict[str, Any]", item)
        if not re.fullmatch(r"[a-z0-9_]{1,32}", str(command["command"])):
            raise bad_request("BOT_COMMAND_INVALID")
        if not 1 <= len(str(command["description"])) <= 256:
            raise bad_request("BOT_COMMAND_DESCRIPTION_INVALID")
