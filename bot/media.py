"""How Telegram shows a file: as its bytes say, since others say what they like of its type."""

import io
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Literal

import anyio
from anyio.to_thread import run_sync
from telegram import Bot, InputFile, Message, ReplyParameters
from telegram.constants import FileSizeLimit
from telegram.error import BadRequest, TimedOut

Kind = Literal["photo", "animation", "audio", "document"]

_MAX_SIDES = 10_000
"""Of a photo's width and height together."""
_MAX_RATIO = 20
"""Of its longer side to the shorter."""
_ANSWER_SECONDS = 60.0
"""Telegram looks at what it was sent before it answers."""
_SECONDS = 300.0
_METHODS = {
    "photo": Bot.send_photo,
    "animation": Bot.send_animation,
    "audio": Bot.send_audio,
    "document": Bot.send_document,
}
_PHOTO = re.compile(rb"\xff\xd8\xff|\x89PNG\r\n\x1a\n|RIFF.{4}WEBP", re.DOTALL)
_ANIMATION = re.compile(rb"GIF8[79]a")
_AUDIO = re.compile(rb"ID3|\xff[\xe2\xe3\xf2\xf3\xfa\xfb]|.{4}ftypM4[AB]", re.DOTALL)
"""MP3 and M4A, the only ones that Telegram has a player for."""


@dataclass(frozen=True, slots=True)
class ToolFile:
    """What a tool returned. `read` gets its bytes, and may be called again.

    It raises `UnreadableError` when they are gone.
    """

    name: str
    title: str
    read: Callable[[], Awaitable[bytes]]


class UnreadableError(Exception):
    """The bytes of a file can't be had; the text says why."""


async def send_media(
    bot: Bot,
    chat_id: int,
    file: ToolFile,
    mark: str,
    reply_parameters: ReplyParameters | None,
) -> Message:
    """Read a file and send it, as a photo, audio and so on if it is one that Telegram takes.

    `mark` is put before its caption.

    Raises:
        UnreadableError, TelegramError: It was not sent, or nobody knows.
    """
    data = await file.read()

    async def send(kind: Kind) -> Message:
        caption = file.title or (file.name if kind in ("photo", "animation") else "")
        return await _METHODS[kind](
            bot,
            chat_id,
            InputFile(io.BytesIO(data), _to_file_name(file.name), read_file_handle=False),
            caption=f"{mark}{caption}".strip() or None,
            reply_parameters=reply_parameters,
            read_timeout=_ANSWER_SECONDS,
        )

    with anyio.move_on_after(_SECONDS):
        kind = await run_sync(choose_kind, data)
        try:
            return await send(kind)
        except BadRequest:
            if kind == "document":
                raise
            return await send("document")
    raise TimedOut(f"a file was not taken within {_SECONDS:g} s")


def choose_kind(data: bytes) -> Kind:
    """What Telegram can show these bytes as."""
    if _PHOTO.match(data):
        return "photo" if _is_photo_to_telegram(data) else "document"
    if _ANIMATION.match(data):
        return "animation"
    return "audio" if _AUDIO.match(data) else "document"


def _is_photo_to_telegram(data: bytes) -> bool:
    import imagesize  # pyright: ignore[reportMissingTypeStubs] - it has types itself

    if len(data) > FileSizeLimit.PHOTOSIZE_UPLOAD:
        return False
    width, height = imagesize.get(io.BytesIO(data))  # pyright: ignore[reportUnknownMemberType]
    shorter, longer = sorted((width, height))
    return shorter > 0 and width + height <= _MAX_SIDES and longer <= _MAX_RATIO * shorter


def _to_file_name(name: str) -> str:
    """The last part of what may look like a path."""
    return re.split(r"[\\/]", name)[-1].lstrip(". ") or "file"
