"""What a message can't hold of a tool's result, or its server forgets: kept as attachments."""

import base64
import binascii
import logging
import mimetypes
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import anyio
from mcp_types import (
    AudioContent,
    BlobResourceContents,
    CallToolResult,
    ContentBlock,
    EmbeddedResource,
    ImageContent,
    ResourceLink,
    TextContent,
)

from client.attachments import RemoteAttachments, ToolsAndResources, create_attachment_id
from client.conversations import ConversationCallError
from client.hub.errors import HubError
from client.hub.plain_text import clean
from client.hub.servers import HubTool
from client.linked_results import read_link
from client.tool_content import BLOCKS_ROOM, Content, cost_of
from servers.conversations.contract_attachments import (
    MAX_ATTACHMENT_BYTES,
    MAX_NAME_CHARACTERS,
    parse_mime_type,
)
from servers.conversations.contract_uris import parse_attachment_uri
from servers.tools.contract import RESULT_SCHEME

logger = logging.getLogger(__name__)

_SECONDS = 30.0
"""For all of one result: reading it, and putting it into the store."""
_MAX_FILES = 16
"""Of one result."""
_UNKNOWN_TYPE = "application/octet-stream"


@dataclass(frozen=True, slots=True)
class _File:
    name: str
    mime_type: str
    data: bytes


class ResultKeeper:
    """Keeps the files that results hold or link to with one conversation.

    That is what does not fit into a message, and links of our tools server, which forgets what is
    behind them; other servers keep what they link to. The same file again is the same attachment.
    """

    def __init__(
        self,
        hub: ToolsAndResources,
        conversation_id: str,
        owner: str | None,
        at_once: anyio.Semaphore,
    ) -> None:
        """`at_once`: how many results are kept at the same time, each in memory."""
        self._hub = hub
        self._owner = owner
        self._conversation_id = conversation_id
        self._attachments = RemoteAttachments(hub, owner)
        self._at_once = at_once

    async def keep(self, tool: HubTool, result: CallToolResult) -> CallToolResult:
        """The result with links to attachments in place of what was kept; else as it came.

        What could not be kept is followed by a text that says why.
        """
        wanted = [n for n, block in enumerate(_outsized(tool, result)) if block]
        if not wanted:
            return result
        content: list[list[ContentBlock]] = [[block] for block in result.content]
        left = dict.fromkeys(wanted, f"there was no time for it within {_SECONDS:g} s")
        left |= dict.fromkeys(wanted[_MAX_FILES:], f"{_MAX_FILES} files a result are kept")
        with anyio.move_on_after(_SECONDS):
            async with self._at_once:
                for number in wanted[:_MAX_FILES]:
                    try:
                        content[number] = [await self._keep_one(tool, result.content[number])]
                        del left[number]
                    except (HubError, ConversationCallError, ValueError) as error:
                        left[number] = str(error).rstrip(".")
        for number, reason in left.items():
            logger.warning(
                "A file of a result of %s was not kept: %s", tool.definition.name, reason
            )
            content[number].append(_not_kept(result.content[number], reason))
        return result.model_copy(update={"content": [each for some in content for each in some]})

    async def _keep_one(self, tool: HubTool, block: ContentBlock) -> ResourceLink:
        file = await self._open(tool, block)
        if len(file.data) > MAX_ATTACHMENT_BYTES:
            raise ValueError(f"it has more than {MAX_ATTACHMENT_BYTES:,} bytes")
        stored = await self._attachments.put(
            self._conversation_id,
            file.data,
            name=file.name,
            mime_type=file.mime_type,
            attachment_id=await anyio.to_thread.run_sync(
                create_attachment_id, file.name, file.mime_type, file.data
            ),
        )
        return ResourceLink(
            type="resource_link",
            uri=stored.uri,
            name=file.name,
            mime_type=file.mime_type,
            size=len(file.data),
        )

    async def _open(self, tool: HubTool, block: ContentBlock) -> _File:
        match block:
            case ResourceLink():
                data = await read_link(
                    self._hub, tool.server, block.uri, self._owner, max_bytes=MAX_ATTACHMENT_BYTES
                )
                return _File(_to_name(block.name), _to_type(block.mime_type), data)
            case ImageContent() | AudioContent():
                return _decode(tool, block.mime_type, block.data)
            case EmbeddedResource(resource=BlobResourceContents() as contents):
                return _decode(tool, contents.mime_type, contents.blob)
            case _:
                raise AssertionError("only blocks that hold or name bytes are kept")


def kept_links(content: Content) -> list[Mapping[str, Any]]:
    """The links to attachments in a message's content."""
    if isinstance(content, str):
        return []
    return [
        block
        for block in content
        if block["type"] == "resource_link" and parse_attachment_uri(str(block["uri"])) is not None
    ]


def _outsized(tool: HubTool, result: CallToolResult) -> list[bool]:
    """Of each block, whether it has to be kept beside the message."""
    room = BLOCKS_ROOM
    found: list[bool] = []
    for block in result.content:
        cost = 0 if isinstance(block, TextContent | EmbeddedResource) else cost_of(block)
        fits = cost <= room
        room -= cost if fits else 0
        match block:
            case ResourceLink():
                found.append(tool.ours and block.uri.startswith(RESULT_SCHEME))
            case ImageContent() | AudioContent():
                found.append(not fits)
            case EmbeddedResource(resource=BlobResourceContents()):
                found.append(True)
            case _:
                found.append(False)
    return found


def _decode(tool: HubTool, mime_type: str | None, data: str) -> _File:
    kind = _to_type(mime_type)
    try:
        decoded = base64.b64decode(data, validate=True)
    except binascii.Error:
        raise ValueError("its bytes are damaged") from None
    ending = mimetypes.guess_extension(kind.partition(";")[0]) or ".bin"
    return _File(_to_name(f"{tool.tool[:100]}{ending}"), kind, decoded)


def _to_name(name: str) -> str:
    """A server chose it, and people will see it."""
    return " ".join(clean(name, MAX_NAME_CHARACTERS).split()) or "file"


def _to_type(mime_type: str | None) -> str:
    try:
        return parse_mime_type(mime_type or _UNKNOWN_TYPE)
    except ValueError:
        return _UNKNOWN_TYPE


def _not_kept(block: ContentBlock, reason: str) -> TextContent:
    what = _to_name(block.name) if isinstance(block, ResourceLink) else "it"
    until = "; its link works for an hour at most" if isinstance(block, ResourceLink) else ""
    text = f"[{what} could not be kept with this conversation: {reason}{until}]"
    return TextContent(type="text", text=text)
