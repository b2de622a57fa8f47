"""Attachments as a client sees them: whole files, put in chunks and read in parts."""

import base64
import hashlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from typing import Protocol

from mcp_types import INVALID_PARAMS, BlobResourceContents, ReadResourceResult
from pydantic import BaseModel, Field

from client.conversations import ConversationCallError, RemoteConversationStore, ToolCaller
from client.hub.errors import ServerFaultError
from client.resource_reader import ResourceReader
from servers.conversations.contract_attachments import (
    MAX_CHUNK_BYTES,
    MAX_PART_BYTES,
    NAME_META_KEY,
    OFFSET_META_KEY,
    SIZE_META_KEY,
)
from servers.conversations.contract_results import ErrorDetail, PutAttachmentResult
from servers.conversations.contract_uris import AttachmentUri


class ToolsAndResources(ToolCaller, ResourceReader, Protocol):
    """The part of the hub that attachments need."""


_ID_CHARACTERS = 32


@dataclass(frozen=True, slots=True)
class Part:
    """Some bytes of an attachment, and what it is."""

    name: str
    mime_type: str
    size: int
    """Of the whole attachment."""
    data: bytes


class RemoteAttachments:
    """The attachments of one owner's conversations; the server's contract says what it promises.

    Both verbs raise `ConversationCallError` when the server refuses, and `HubError` when no answer
    came.
    """

    def __init__(
        self, hub: ToolsAndResources, owner: str | None = None, server: str = "conversations"
    ) -> None:
        """`owner` None: the operator's own, as the server knows it."""
        self._hub = hub
        self._owner = owner
        self._server = server
        self._store = RemoteConversationStore(hub, owner, server)

    async def put(
        self, conversation_id: str, data: bytes, *, name: str, mime_type: str, attachment_id: str
    ) -> PutAttachmentResult:
        """Store a whole file. Done again with the same id it goes on, or changes nothing."""
        offset = 0
        while True:
            result = await self._store.put_attachment(
                conversation_id,
                data[offset : offset + MAX_CHUNK_BYTES],
                name=name,
                mime_type=mime_type,
                attachment_id=attachment_id,
                offset=offset,
                total_size=len(data),
            )
            offset = min(offset + MAX_CHUNK_BYTES, len(data))
            if offset == len(data):
                return result

    async def read(self, attachment: AttachmentUri) -> AsyncIterator[Part]:
        """The bytes, part by part; at least one part, which is empty if the attachment is."""
        offset = 0
        while True:
            part = await self._read(replace(attachment, offset=offset, length=MAX_PART_BYTES))
            yield part
            offset += len(part.data)
            if offset >= part.size:
                return

    async def _read(self, wanted: AttachmentUri) -> Part:
        try:
            result = await self._hub.read_resource(self._server, wanted.render(), owner=self._owner)
        except ServerFaultError as error:
            if error.code != INVALID_PARAMS:
                raise
            raise ConversationCallError(
                ErrorDetail(code="not_found", message="There is no such attachment.")
            ) from None
        try:
            return _to_part(result, wanted)
        except ValueError:
            raise ConversationCallError(
                ErrorDetail(
                    code="unavailable",
                    message=f"The server {self._server} answered with something else than the "
                    "part of the attachment that was asked for: is it an older version?",
                )
            ) from None


def create_attachment_id(name: str, mime_type: str, data: bytes) -> str:
    """The same for the same file, so that attaching it once more changes nothing."""
    digest = hashlib.sha256(f"{name}\0{mime_type}\0".encode() + data)
    return digest.hexdigest()[:_ID_CHARACTERS]


class _Facts(BaseModel):
    size: int = Field(alias=SIZE_META_KEY)
    offset: int = Field(alias=OFFSET_META_KEY)
    name: str = Field(alias=NAME_META_KEY)


def _to_part(result: ReadResourceResult, wanted: AttachmentUri) -> Part:
    match result.contents:
        case [BlobResourceContents() as contents]:
            facts = _Facts.model_validate(contents.meta or {})
            data = base64.b64decode(contents.blob, validate=True)
        case _:
            raise ValueError("no bytes")
    if facts.offset != wanted.offset or (not data and facts.offset < facts.size):
        raise ValueError("another part")
    return Part(facts.name, contents.mime_type or "application/octet-stream", facts.size, data)
