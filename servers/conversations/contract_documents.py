"""A conversation as a document: what an export writes and an import takes, a page at a time.

Pydantic and the standard library only, so that any client can import it.
"""

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from servers.conversations.contract import (
    MAX_BATCH_BYTES,
    MAX_BATCH_MESSAGES,
    Message,
    SizeError,
    check_conversation_id,
    check_facts,
    encode_json,
    parse_timestamp,
)
from servers.conversations.contract_facts import Tags, Title

DOCUMENT_FORMAT_NAME = "agentic-conversation"
DOCUMENT_FORMAT_VERSION = 1
DOCUMENT_FORMAT = f"{DOCUMENT_FORMAT_NAME}/{DOCUMENT_FORMAT_VERSION}"

ExportFormat = Literal["json", "markdown"]

_FORMAT = re.compile(rf"{DOCUMENT_FORMAT_NAME}/([1-9][0-9]{{0,8}})", re.ASCII)


class NewerFormatError(ValueError):
    """A document of a later program: reported as `unsupported`."""


def _check_format(text: str) -> str:
    found = _FORMAT.fullmatch(text)
    if found is None:
        raise ValueError(f"must be {DOCUMENT_FORMAT}: this is no document of a conversation")
    if int(found[1]) > DOCUMENT_FORMAT_VERSION:
        raise NewerFormatError(
            f"is {text}, and this server knows {DOCUMENT_FORMAT}: update the server, or export "
            f"with the version it has"
        )
    return text


def _check_metadata(metadata: dict[str, Any]) -> dict[str, Any]:
    check_facts(metadata)
    return metadata


def _check_size(messages: list[Message]) -> list[Message]:
    size = sum(len(encode_json(message.to_wire())) for message in messages)
    if size > MAX_BATCH_BYTES:
        raise SizeError(f"has at most {MAX_BATCH_BYTES} bytes as JSON, this has {size}")
    return messages


BatchOfMessages = Annotated[
    list[Message], Field(max_length=MAX_BATCH_MESSAGES), AfterValidator(_check_size)
]
_Time = Annotated[str, AfterValidator(parse_timestamp)]


class DocumentConversation(BaseModel):
    """The conversation's own facts in a document."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    conversation_id: Annotated[str, AfterValidator(check_conversation_id)] | None = None
    title: Title | None = None
    tags: Tags = Field(default_factory=list)
    metadata: Annotated[dict[str, Any], AfterValidator(_check_metadata)] = Field(
        default_factory=dict
    )
    created_at: _Time | None = None
    last_updated: _Time | None = None
    expires_at: _Time | None = None
    owner: Any = Field(default=None, description="Not taken: the caller's owner is.")
    message_count: Any = Field(default=None, description="Not taken.")
    version: Any = Field(default=None, description="Not taken.")
    stats: Any = Field(default=None, description="Not taken.")


class ConversationDocument(BaseModel):
    """A page of a document, or the whole if it is small: facts are the same in each."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    format: Annotated[str, AfterValidator(_check_format)] = Field(description=DOCUMENT_FORMAT)
    conversation: DocumentConversation
    messages: BatchOfMessages = Field(
        description="In order. At most 1,000, 512 KiB each, 3 MiB. Those without a message_id "
        "are told apart within one page only."
    )
