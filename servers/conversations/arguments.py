"""What the conversation server's tools take, checked before the store sees it."""

from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator, Field, ValidationInfo, field_validator
from pydantic.json_schema import SkipJsonSchema

from servers.conversations.contract import (
    MAX_BATCH_MESSAGES,
    MAX_FACTS_CHANGES_BYTES,
    MAX_LIST_LIMIT,
    MAX_LOAD_LIMIT,
    MAX_MERGE_SOURCES,
    MAX_MESSAGE_ID_CHARACTERS,
    MAX_OFFSET,
    Message,
    check_conversation_id,
    check_facts,
    parse_timestamp,
)
from servers.conversations.contract_documents import (
    BatchOfMessages,
    ConversationDocument,
    ExportFormat,
)
from servers.conversations.contract_facts import Tag, Tags, Title, check_no_nul
from servers.conversations.store_values import ConversationUpdate
from servers.typed_arguments import Integer, ToolArguments, WholeNumber


def _check_changes(changes: dict[str, Any]) -> dict[str, Any]:
    check_facts(changes, MAX_FACTS_CHANGES_BYTES)  # the store checks what comes of them
    return changes


ConversationId = Annotated[
    str,
    AfterValidator(check_conversation_id),
    Field(description="The conversation's id, an opaque string of 1 to 1,024 bytes."),
]
MessageId = Annotated[
    str,
    Field(
        description="The message's id.",
        min_length=1,
        max_length=MAX_MESSAGE_ID_CHARACTERS,
        pattern=r"^[^\x00-\x1f\x7f-\x9f]*$",
    ),
]
FactsChanges = Annotated[dict[str, Any], AfterValidator(_check_changes)]
Cursor = Annotated[str, Field(min_length=1), AfterValidator(check_no_nul)]
ExpectedVersion = Annotated[
    WholeNumber | None,
    Field(
        description="Only if the conversation still has this version; 0: it must not exist yet. "
        "A conflict tells the current one.",
    ),
]


class ConversationArguments(ToolArguments):
    """Which conversation."""

    conversation_id: ConversationId


class LoadArguments(ConversationArguments):
    """A page of the latest messages."""

    limit: Integer = Field(
        default=50, ge=1, le=MAX_LOAD_LIMIT, description="How many messages at most."
    )
    before: Cursor | None = Field(
        default=None,
        description="The next_cursor of an earlier page: the messages before that page.",
    )


class AppendArguments(ConversationArguments):
    """Messages to add."""

    messages: list[Message] = Field(
        max_length=MAX_BATCH_MESSAGES, description="In order. At most 1,000, 512 KiB each, 3 MiB."
    )
    expected_version: ExpectedVersion = None


class SaveArguments(ConversationArguments):
    """The whole history."""

    messages: BatchOfMessages = Field(
        description="All messages the history shall have, in order; an empty list empties it. At "
        "most 1,000, 512 KiB each, 3 MiB.",
    )
    expected_version: ExpectedVersion = None


class AnnotateArguments(ConversationArguments):
    """Facts about a message."""

    message_id: MessageId
    annotations: FactsChanges = Field(
        description="Merged by key; null removes a key. At most 16 KiB after the merge."
    )


class ListArguments(ToolArguments):
    """A page of conversations."""

    limit: Integer = Field(
        default=100, ge=1, le=MAX_LIST_LIMIT, description="How many conversations at most."
    )
    offset: Integer = Field(
        default=0, ge=0, le=MAX_OFFSET, description="How many to skip; not together with cursor."
    )
    cursor: Cursor | None = Field(
        default=None, description="The next_cursor of the page before; not together with offset."
    )
    tag: Tag | None = Field(
        default=None, description="Only conversations that have exactly this tag."
    )

    @field_validator("cursor")
    @classmethod
    def _check_alone(cls, cursor: str | None, info: ValidationInfo) -> str | None:
        if cursor is not None and info.data.get("offset"):
            raise ValueError("excludes offset: give one of them")
        return cursor


class UpdateArguments(ConversationArguments):
    """Changes to a conversation's facts; what is absent stays."""

    title: Title | None = Field(default=None, description="null clears it.")
    tags: Tags | SkipJsonSchema[None] = Field(default=None, description="Replaces all tags.")
    metadata: FactsChanges | SkipJsonSchema[None] = Field(
        default=None,
        description="Merged by key; null removes a key. At most 16 KiB after the merge.",
    )
    expires_at: Annotated[str, AfterValidator(parse_timestamp)] | None = Field(
        default=None,
        description="When it may be removed, RFC 3339 with an offset. null clears it.",
    )

    @field_validator("tags", "metadata")
    @classmethod
    def _check_not_null(cls, value: object) -> object:
        if value is None:
            raise ValueError("must not be null: leave it out to keep what is there")
        return value

    def to_update(self) -> ConversationUpdate:
        """What was given, and only that: absent and null are different here."""
        given = self.model_dump(include=self.model_fields_set - {"conversation_id"})
        return ConversationUpdate.model_validate(given)


class DeliveriesArguments(ToolArguments):
    """Which deliveries."""

    state: Annotated[str, Field(min_length=1), AfterValidator(check_no_nul)] = Field(
        description='The delivery state, such as "pending", as the annotation "delivery" has it.',
    )
    cursor: Cursor | None = Field(default=None, description="The next_cursor of the page before.")


class OwnersArguments(ToolArguments):
    """A page of owners."""

    cursor: Cursor | None = Field(default=None, description="The next_cursor of the page before.")


class StatsArguments(ToolArguments):
    """Nothing: they are of the whole store."""


class ForkArguments(ConversationArguments):
    """What to fork, and how far."""

    up_to_message_id: MessageId | SkipJsonSchema[None] = Field(
        default=None, description="The last message of the fork; if absent, all are in it."
    )
    new_conversation_id: ConversationId | SkipJsonSchema[None] = Field(
        default=None, description="The fork's id, which must be free; if absent, one is made."
    )


class MergeArguments(ToolArguments):
    """What to merge, and into which."""

    source_ids: list[ConversationId] = Field(
        min_length=1,
        max_length=MAX_MERGE_SOURCES,
        description="Ids of conversations, 1 to 100, with 50,000 messages in all at most.",
    )
    into: ConversationId = Field(
        description="The id of the merged conversation: a new one, or one of source_ids."
    )


class ExportArguments(ConversationArguments):
    """A page of a conversation as a document."""

    format: ExportFormat = Field(
        default="json", description="json loses nothing; markdown is for people to read."
    )
    cursor: Cursor | None = Field(default=None, description="The next_cursor of the page before.")


class ImportArguments(ToolArguments):
    """A page of a document."""

    documents: ClassVar = frozenset({"document"})

    document: ConversationDocument = Field(
        description="A page that export_conversation gave, or one made in its form."
    )
    conversation_id: ConversationId | SkipJsonSchema[None] = Field(
        default=None,
        description="The conversation to import into; if absent, the one the document names.",
    )
