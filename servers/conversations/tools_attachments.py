"""The tools of attachments: what puts them, its bytes as base64, and what lists them."""

from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema

from servers.access.contract import SCOPE_CONVERSATIONS_READ, SCOPE_CONVERSATIONS_WRITE
from servers.conversations.arguments import ConversationArguments, Cursor
from servers.conversations.contract_attachments import (
    MAX_ATTACHMENT_BYTES,
    MAX_CHUNK_BYTES,
    MAX_LISTED_ATTACHMENTS,
    check_attachment_id,
    check_attachment_name,
    decode_chunk,
    parse_mime_type,
)
from servers.conversations.contract_results import AttachmentsResult, PutAttachmentResult
from servers.conversations.store import ConversationStore
from servers.conversations.tool_hints import READS, writes
from servers.typed_arguments import Integer, WholeNumber
from servers.typed_tools import Caller, TypedTool

_MIB = 1024 * 1024
_BASE64 = {"type": "string", "contentEncoding": "base64"}


def _decode(text: object) -> bytes:
    if not isinstance(text, str):
        raise ValueError("must be a string")  # noqa: TRY004 - for pydantic
    return decode_chunk(text)


class PutAttachmentArguments(ConversationArguments):
    """A chunk of an attachment."""

    name: Annotated[str, AfterValidator(check_attachment_name)] = Field(
        description="What to call it when it is shown, such as the name of a file: 1 to 255 "
        "characters."
    )
    mime_type: Annotated[str, AfterValidator(parse_mime_type)] = Field(
        description="Such as image/png."
    )
    data: Annotated[bytes, BeforeValidator(_decode), WithJsonSchema(_BASE64)] = Field(
        description=f"The bytes from offset on, as base64. At most {MAX_CHUNK_BYTES // _MIB} MiB "
        "before the encoding."
    )
    attachment_id: Annotated[str, AfterValidator(check_attachment_id)] | None = Field(
        default=None,
        description="The attachment's id: made by the caller, so that a chunk that is sent again "
        "is recognised, or by the server for a first chunk without one. 1 to 256 characters.",
    )
    offset: Integer = Field(
        default=0,
        ge=0,
        le=MAX_ATTACHMENT_BYTES,
        description="Where the chunk begins: the size that the chunk before was answered with.",
    )
    total_size: WholeNumber | None = Field(
        default=None,
        description="How many bytes the whole has, the same with each chunk: it can be read when "
        "they are all there. Without it, it can be read after each chunk.",
    )


class AttachmentsArguments(ConversationArguments):
    """A page of a conversation's attachments."""

    limit: Integer = Field(
        default=MAX_LISTED_ATTACHMENTS,
        ge=1,
        le=MAX_LISTED_ATTACHMENTS,
        description=f"1 to {MAX_LISTED_ATTACHMENTS}.",
    )
    cursor: Cursor | None = Field(default=None, description="The next_cursor of the page before.")


def create_attachment_tools(store: ConversationStore) -> list[TypedTool[Any, Any]]:
    """The tools over `store`, in the order in which they are listed."""

    async def put(caller: Caller, given: PutAttachmentArguments) -> PutAttachmentResult:
        return await store.put_attachment(
            caller.owner,
            given.conversation_id,
            given.data,
            name=given.name,
            mime_type=given.mime_type,
            attachment_id=given.attachment_id,
            offset=given.offset,
            total_size=given.total_size,
        )

    async def list_(caller: Caller, given: AttachmentsArguments) -> AttachmentsResult:
        return await store.list_attachments(
            caller.owner, given.conversation_id, limit=given.limit, cursor=given.cursor
        )

    return [
        TypedTool(
            name="put_attachment",
            title="Attach a file",
            description="Stores a file (an image, audio, a document) with a conversation, which is "
            f"created if it is new: at most {MAX_ATTACHMENT_BYTES // _MIB} MiB, in chunks of at "
            f"most {MAX_CHUNK_BYTES // _MIB} MiB one after another. The answer's uri is what a "
            "resource_link block of a message names, and what it is read by. Sending a chunk again "
            "changes nothing; other bytes in its place are a conflict.",
            scope=SCOPE_CONVERSATIONS_WRITE,
            annotations=writes(destructive=False, idempotent=True),
            arguments=PutAttachmentArguments,
            result=PutAttachmentResult,
            call=put,
        ),
        TypedTool(
            name="list_attachments",
            title="List attachments",
            description="Finds all files that are stored with a conversation (id, name, type and "
            "size of each, in no particular order), which are read as the resources "
            "conversation://ID/attachments/ATTACHMENT_ID. For more, call again with cursor set to "
            "next_cursor, until that is null. An unknown conversation is not_found.",
            scope=SCOPE_CONVERSATIONS_READ,
            annotations=READS,
            arguments=AttachmentsArguments,
            result=AttachmentsResult,
            call=list_,
        ),
    ]
