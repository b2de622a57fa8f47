"""A request's messages as checked and merged pieces, from which each wire format is mapped.

Both vendors refuse what we may well have stored: blank texts, two messages of one author in a row,
ids and names of other shapes than theirs, images that are none. Here this is put right once.
"""

import base64
import binascii
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from client.llm.protocol import REASONING_BLOCKS, BadRequestError
from servers.conversations.contract import Message

_IMAGE_BEGINNINGS: Mapping[bytes, str] = {
    b"\x89PNG\r\n\x1a\n": "image/png",
    b"\xff\xd8\xff": "image/jpeg",
    b"GIF87a": "image/gif",
    b"GIF89a": "image/gif",
}
_MAX_ID_CHARACTERS = 40
_MAX_NAME_CHARACTERS = 64
_MAX_NOTE_CHARACTERS = 500
_NOT_IN_NAMES = re.compile(r"[^a-zA-Z0-9_-]")
_BEGINS_WITH_ASSISTANT = "(The conversation so far begins with the assistant.)"
_NOTHING = "(empty message)"


@dataclass(frozen=True, slots=True)
class Image:
    """A picture that both vendors can read; `data` is base64."""

    media_type: str
    data: str


Part = str | Image


@dataclass(slots=True)
class UserPiece:
    """What the user said."""

    parts: list[Part] = field(default_factory=list[Part])


@dataclass(frozen=True, slots=True)
class Call:
    """A tool call that the assistant made."""

    id: str
    name: str
    arguments: Mapping[str, Any]


@dataclass(slots=True)
class AssistantPiece:
    """What the assistant said, the calls it made then, and the reasoning that goes with them."""

    reasoning: list[Mapping[str, Any]] = field(default_factory=list[Mapping[str, Any]])
    texts: list[str] = field(default_factory=list[str])
    calls: list[Call] = field(default_factory=list[Call])


@dataclass(frozen=True, slots=True)
class Result:
    """What one call gave."""

    call_id: str
    parts: Sequence[Part]
    is_error: bool


@dataclass(slots=True)
class ResultsPiece:
    """The results of all calls of the assistant piece before it."""

    results: list[Result] = field(default_factory=list[Result])


Piece = UserPiece | AssistantPiece | ResultsPiece


def to_pieces(messages: Sequence[Message]) -> list[Piece]:
    """Merge `messages` into pieces: a user's comes first, the last is a user's or results.

    Raises:
        BadRequestError: They are no whole turns (a call without its result, a result without its
            call), hold a system message, or leave nothing to answer.
    """
    builder = _Builder()
    for message in messages:
        builder.add(message)
    return builder.finish()


def to_tool_name(name: str) -> str:
    """`name` in the characters and the length that both vendors take."""
    return _NOT_IN_NAMES.sub("_", name)[:_MAX_NAME_CHARACTERS] or "tool"


class _Builder:
    def __init__(self) -> None:
        self._pieces: list[Piece] = []
        self._open_calls: list[tuple[str, str]] = []
        """Stored id and sent id of calls whose result has not come yet."""
        self._sent_ids: set[str] = set()
        self._calls = 0

    def add(self, message: Message) -> None:
        if message.role != "tool":
            self._check_no_open_calls()
        match message.role:
            case "user":
                self._add_user(message)
            case "assistant":
                self._add_assistant(message)
            case "tool":
                self._add_result(message)
            case "system":
                raise BadRequestError("A system message stands among the messages to be sent.")

    def finish(self) -> list[Piece]:
        self._check_no_open_calls()
        if not self._pieces or isinstance(self._pieces[-1], AssistantPiece):
            raise BadRequestError("There is nothing to answer: the last message is not the user's.")
        if not isinstance(self._pieces[0], UserPiece):
            self._pieces.insert(0, UserPiece([_BEGINS_WITH_ASSISTANT]))
        for piece in self._pieces:
            if isinstance(piece, UserPiece) and not piece.parts:
                piece.parts.append(_NOTHING)
        return self._pieces

    def _check_no_open_calls(self) -> None:
        if self._open_calls:
            raise BadRequestError(
                f"The tool call {self._open_calls[0][0]!r} has no result in the history."
            )

    def _add_user(self, message: Message) -> None:
        last = self._pieces[-1] if self._pieces else None
        if not isinstance(last, UserPiece):
            last = UserPiece()
            self._pieces.append(last)
        last.parts.extend(_to_parts(message.content))

    def _add_assistant(self, message: Message) -> None:
        last = self._pieces[-1] if self._pieces else None
        piece = last if isinstance(last, AssistantPiece) else AssistantPiece()
        blocks = message.content if isinstance(message.content, list) else []
        calls = [block for block in blocks if block["type"] == "tool_use"]
        others = [block for block in blocks if block["type"] != "tool_use"]
        if calls:
            piece.reasoning.extend(b for b in blocks if b["type"] in REASONING_BLOCKS)
        parts = _to_parts(message.content if isinstance(message.content, str) else others)
        piece.texts.extend(to_text(part) for part in parts)
        for call in calls:
            sent_id = self._choose_id(call["id"])
            self._open_calls.append((call["id"], sent_id))
            piece.calls.append(Call(sent_id, to_tool_name(call["name"]), call["input"]))
        if piece is not last and (piece.texts or piece.calls):
            self._pieces.append(piece)

    def _add_result(self, message: Message) -> None:
        answered = next(
            (call for call in self._open_calls if call[0] == message.tool_call_id), None
        )
        if answered is None:
            raise BadRequestError(
                f"The history holds a result of {message.tool_call_id!r} without such a call."
            )
        self._open_calls.remove(answered)
        last = self._pieces[-1]
        if not isinstance(last, ResultsPiece):
            last = ResultsPiece()
            self._pieces.append(last)
        parts = _to_parts(message.content)
        last.results.append(Result(answered[1], parts, bool(message.is_error)))

    def _choose_id(self, stored: str) -> str:
        """Keep the id if both vendors take it and it is new; else make one by position.

        By position, so that the same history gives the same bytes and prompt caches go on working.
        """
        self._calls += 1
        fits = 0 < len(stored) <= _MAX_ID_CHARACTERS and not _NOT_IN_NAMES.search(stored)
        chosen = stored if fits else f"call_{self._calls}"
        while chosen in self._sent_ids:
            chosen = f"{chosen[:30]}_{self._calls}"
        self._sent_ids.add(chosen)
        return chosen


def to_text(part: Part) -> str:
    """A part for a reader of text only."""
    return part if isinstance(part, str) else f"[{part.media_type}: not shown here]"


def _to_parts(content: str | Sequence[Mapping[str, Any]]) -> list[Part]:
    if isinstance(content, str):
        return [content] if content.strip() else []
    parts = [_to_part(block) for block in content if block["type"] not in REASONING_BLOCKS]
    return [part for part in parts if isinstance(part, Image) or part.strip()]


def _to_part(block: Mapping[str, Any]) -> Part:
    match block:
        case {"type": "text", "text": str(text)}:
            return text
        case {"type": "image", "data": str(data)}:
            return _to_image(data) or f"[an image that can't be read: {block.get('mimeType')}]"
        case {"type": "audio"}:
            return f"[a sound recording, {block.get('mimeType')}: it can't be heard here]"
        case {"type": "resource_link", "uri": str(uri), "name": str(name)}:
            return f"[link to {name}: {uri}]"
        case {"type": "resource", "resource": {"uri": str(uri), "text": str(text)}}:
            return f"[{uri}]\n{text}"
        case _:
            return f"[content of type {block['type']}: {_to_note(block)}]"


def _to_note(block: Mapping[str, Any]) -> str:
    note = json.dumps(
        {key: value for key, value in block.items() if key != "type"}, ensure_ascii=False
    )
    return note if len(note) <= _MAX_NOTE_CHARACTERS else note[:_MAX_NOTE_CHARACTERS] + "…"


def _to_image(data: str) -> Image | None:
    """The type is read from the bytes: a vendor that finds another one refuses it."""
    try:
        beginning = base64.b64decode(data, validate=True)[:12]
    except (binascii.Error, ValueError):
        return None
    if beginning.startswith(b"RIFF") and beginning[8:] == b"WEBP":
        return Image("image/webp", data)
    types = (kind for start, kind in _IMAGE_BEGINNINGS.items() if beginning.startswith(start))
    media_type = next(types, None)
    return Image(media_type, data) if media_type else None
