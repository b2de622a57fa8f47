"""The files that the tools of a turn returned, as the turn's messages hold or link to them."""

import base64
import binascii
import io
import mimetypes
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from client.attachments import RemoteAttachments, ToolsAndResources
from client.hub.plain_text import clean
from servers.conversations.contract import Message
from servers.conversations.contract_attachments import MAX_ATTACHMENT_BYTES, MAX_NAME_CHARACTERS
from servers.conversations.contract_uris import AttachmentUri, parse_attachment_uri


@dataclass(frozen=True, slots=True)
class InMessage:
    """The place of a file that a message holds: the content block of that number."""

    message_id: str
    number: int


@dataclass(frozen=True, slots=True)
class TurnFile:
    """A file, and where its bytes are. What it is called others have said; it is one line."""

    name: str
    title: str
    """Empty, where there is none."""
    place: AttachmentUri | InMessage


def find_files(messages: Iterable[Message], turn_id: str) -> list[TurnFile]:
    """What the turn's tools returned, in order, the same file once."""
    found: dict[object, TurnFile] = {}
    for message in messages:
        if message.role == "tool" and message.turn_id == turn_id:
            for what, file in _files_of(message):
                found.setdefault(what, file)
    return list(found.values())


async def read_attached(
    hub: ToolsAndResources, owner: str | None, attachment: AttachmentUri
) -> bytes:
    """The bytes of an attachment of one of the owner's conversations; nobody else's is found.

    Raises:
        HubError, ConversationCallError: It can't be read.
        ValueError: It is larger than an attachment may be.
    """
    whole = io.BytesIO()
    async for part in RemoteAttachments(hub, owner).read(attachment):
        if max(part.size, whole.tell() + len(part.data)) > MAX_ATTACHMENT_BYTES:
            raise ValueError(f"it has more than {MAX_ATTACHMENT_BYTES:,} bytes")
        whole.write(part.data)
    return whole.getvalue()


def read_held(message: Message, number: int) -> bytes:
    """The bytes that a message holds.

    Raises:
        ValueError: It holds none there, or they are damaged.
    """
    blocks = [] if isinstance(message.content, str) else message.content
    data = blocks[number].get("data") if number < len(blocks) else None
    try:
        return base64.b64decode(data or "", validate=True)
    except binascii.Error:
        raise ValueError("its bytes are damaged") from None


def _files_of(message: Message) -> Iterator[tuple[object, TurnFile]]:
    """Each with what makes it the same file as another."""
    blocks = [] if isinstance(message.content, str) else message.content
    for number, block in enumerate(blocks):
        match block:
            case {"type": "resource_link", "uri": str(uri)}:
                attachment = parse_attachment_uri(uri)
                if attachment is not None:
                    whole = AttachmentUri(attachment.conversation_id, attachment.attachment_id)
                    name = _to_line(block.get("name")) or "file"
                    yield whole, TurnFile(name, _to_line(block.get("title")), whole)
            case {"type": "image" | "audio", "data": str(data)}:
                name = _name(message, block)
                yield data, TurnFile(name, "", InMessage(message.message_id or "", number))
            case _:
                pass


def _name(message: Message, block: dict[str, Any]) -> str:
    """After the tool, as attachments of its results are called, too."""
    tool = (message.name or "").partition("__")[2] or message.name or "file"
    kind = str(block.get("mimeType")).partition(";")[0]
    return f"{_to_line(tool)[:100]}{mimetypes.guess_extension(kind) or '.bin'}"


def _to_line(text: object) -> str:
    return " ".join(clean(text, MAX_NAME_CHARACTERS).split()) if isinstance(text, str) else ""
