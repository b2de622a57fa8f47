"""The conversation store as a client sees it: its verbs over MCP, for one owner."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from pydantic import BaseModel, ValidationError

from servers.conversations.contract import Conversation, Message, Role
from servers.conversations.contract_attachments import encode_chunk
from servers.conversations.contract_documents import DOCUMENT_FORMAT, ExportFormat
from servers.conversations.contract_results import (
    AnnotateResult,
    AppendResult,
    AttachmentsResult,
    ConversationWithStats,
    DeleteResult,
    DeliveriesResult,
    ErrorDetail,
    ErrorResult,
    ExportResult,
    ImportResult,
    ListResult,
    LoadResult,
    OwnersResult,
    PutAttachmentResult,
    SaveResult,
    SearchResult,
    StoreStats,
)

if TYPE_CHECKING:  # whoever only refuses what is wrong has no time for it
    from mcp_types import CallToolResult

ResultT = TypeVar("ResultT", bound=BaseModel)


class ToolCaller(Protocol):
    """The part of the hub that the store needs."""

    async def call_tool(
        self,
        server: str,
        tool: str,
        arguments: Mapping[str, Any],
        *,
        owner: str | None = None,
        timeout_seconds: float | None = None,
    ) -> "CallToolResult":
        """Call one tool of one server.

        Raises:
            HubError: No result came.
        """
        ...


class ConversationCallError(Exception):
    """The conversation server refused; `detail` says why, by code."""

    def __init__(self, detail: ErrorDetail) -> None:
        super().__init__(detail.message)
        self.detail = detail

    @property
    def code(self) -> str:
        """One of the contract's error codes."""
        return self.detail.code


class RemoteConversationStore:
    """The conversation server's verbs for one owner; the server's contract says what they promise.

    Every verb raises `ConversationCallError` when the server refuses and `HubError` when no answer
    came (then whether it took effect is unknown; appending again with the same message ids is
    safe).
    """

    def __init__(
        self,
        hub: ToolCaller,
        owner: str | None = None,
        server: str = "conversations",
        *,
        timeout_seconds: float | None = None,
    ) -> None:
        """`owner` None: the operator's own, as the server knows it.

        `timeout_seconds` limits each call; absent: as the server is configured.
        """
        self._hub = hub
        self._server = server
        self._timeout_seconds = timeout_seconds
        self.owner = owner

    async def load_conversation(
        self, conversation_id: str, *, limit: int = 50, before: str | None = None
    ) -> LoadResult:
        """The latest `limit` messages (1 to 500) in chronological order."""
        arguments: dict[str, Any] = {"conversation_id": conversation_id, "limit": limit}
        if before is not None:
            arguments["before"] = before
        return await self._call("load_conversation", arguments, LoadResult)

    async def append_messages(
        self,
        conversation_id: str,
        messages: Sequence[Message],
        *,
        expected_version: int | None = None,
    ) -> AppendResult:
        """Add messages; a repeat is counted, not stored."""
        arguments = _with_messages(conversation_id, messages, expected_version)
        return await self._call("append_messages", arguments, AppendResult)

    async def save_conversation(
        self,
        conversation_id: str,
        messages: Sequence[Message],
        *,
        expected_version: int | None = None,
    ) -> SaveResult:
        """Make the history exactly this list."""
        arguments = _with_messages(conversation_id, messages, expected_version)
        return await self._call("save_conversation", arguments, SaveResult)

    async def annotate_message(
        self, conversation_id: str, message_id: str, annotations: Mapping[str, Any]
    ) -> AnnotateResult:
        """Merge annotations by key."""
        arguments = {
            "conversation_id": conversation_id,
            "message_id": message_id,
            "annotations": dict(annotations),
        }
        return await self._call("annotate_message", arguments, AnnotateResult)

    async def delete_conversation(self, conversation_id: str) -> DeleteResult:
        """Remove it; an unknown one is not an error."""
        return await self._call(
            "delete_conversation", {"conversation_id": conversation_id}, DeleteResult
        )

    async def list_conversations(
        self,
        *,
        limit: int = 100,
        cursor: str | None = None,
        offset: int | None = None,
        tag: str | None = None,
    ) -> ListResult:
        """Conversations, newest first; `cursor` and `offset` exclude each other."""
        optional = {"cursor": cursor, "offset": offset, "tag": tag}
        given = {name: value for name, value in optional.items() if value is not None}
        return await self._call("list_conversations", {"limit": limit, **given}, ListResult)

    async def get_conversation(self, conversation_id: str) -> ConversationWithStats:
        """Facts and figures of one conversation."""
        return await self._call(
            "get_conversation", {"conversation_id": conversation_id}, ConversationWithStats
        )

    async def update_conversation(self, conversation_id: str, **changes: Any) -> Conversation:  # noqa: ANN401 - JSON
        """Change title, tags, metadata or expires_at; what is not given stays."""
        return await self._call(
            "update_conversation", {"conversation_id": conversation_id, **changes}, Conversation
        )

    async def create_empty(self, conversation_id: str, *, metadata: Mapping[str, Any]) -> None:
        """Make a conversation without messages; of one that is there nothing changes."""
        facts = {"conversation_id": conversation_id, "metadata": dict(metadata)}
        await self.import_conversation(
            {"format": DOCUMENT_FORMAT, "conversation": facts, "messages": []}
        )

    async def fork_conversation(
        self,
        conversation_id: str,
        *,
        up_to_message_id: str | None = None,
        new_conversation_id: str | None = None,
    ) -> Conversation:
        """Copy a conversation, or its beginning up to a message, into a new one."""
        optional = {
            "up_to_message_id": up_to_message_id,
            "new_conversation_id": new_conversation_id,
        }
        given = {name: value for name, value in optional.items() if value is not None}
        arguments = {"conversation_id": conversation_id, **given}
        return await self._call("fork_conversation", arguments, Conversation)

    async def merge_conversations(self, source_ids: Sequence[str], into: str) -> Conversation:
        """Bring the messages of several conversations into one, which is new or one of them."""
        arguments = {"source_ids": list(source_ids), "into": into}
        return await self._call("merge_conversations", arguments, Conversation)

    async def export_conversation(
        self, conversation_id: str, *, format: ExportFormat = "json", cursor: str | None = None
    ) -> ExportResult:
        """A page of the conversation as a document, its oldest messages first."""
        arguments = {"conversation_id": conversation_id, "format": format}
        arguments |= {} if cursor is None else {"cursor": cursor}
        return await self._call("export_conversation", arguments, ExportResult)

    async def import_conversation(
        self, document: Mapping[str, Any], *, conversation_id: str | None = None
    ) -> ImportResult:
        """Add what a page of a document holds, at most 1,000 messages; what is stored is counted.

        `document` is as `export_conversation` gives it. Without `conversation_id` it says where to.
        """
        arguments: dict[str, Any] = {"document": document}
        arguments |= {} if conversation_id is None else {"conversation_id": conversation_id}
        return await self._call("import_conversation", arguments, ImportResult)

    async def put_attachment(
        self,
        conversation_id: str,
        data: bytes,
        *,
        name: str,
        mime_type: str,
        attachment_id: str | None = None,
        offset: int = 0,
        total_size: int | None = None,
    ) -> PutAttachmentResult:
        """Store a chunk of an attachment, of at most 2 MiB; the same again changes nothing."""
        arguments: dict[str, Any] = {
            "conversation_id": conversation_id,
            "name": name,
            "mime_type": mime_type,
            "data": encode_chunk(data),
            "offset": offset,
        }
        arguments |= {} if attachment_id is None else {"attachment_id": attachment_id}
        arguments |= {} if total_size is None else {"total_size": total_size}
        return await self._call("put_attachment", arguments, PutAttachmentResult)

    async def list_attachments(
        self, conversation_id: str, *, cursor: str | None = None
    ) -> AttachmentsResult:
        """A page of its attachments, in an order of the server's own."""
        arguments = {"conversation_id": conversation_id}
        arguments |= {} if cursor is None else {"cursor": cursor}
        return await self._call("list_attachments", arguments, AttachmentsResult)

    async def search_conversations(
        self,
        query: str,
        *,
        limit: int = 20,
        conversation_id: str | None = None,
        role: Role | None = None,
        since: str | None = None,
    ) -> SearchResult:
        """Messages and titles in which all words occur, the best first."""
        given = {"conversation_id": conversation_id, "role": role, "since": since}
        arguments = {name: value for name, value in given.items() if value is not None}
        return await self._call(
            "search_conversations", {"query": query, "limit": limit, **arguments}, SearchResult
        )

    async def list_deliveries(self, state: str, *, cursor: str | None = None) -> DeliveriesResult:
        """Messages by delivery state; a delegate with `owner` None gets those of all owners."""
        arguments = {"state": state} if cursor is None else {"state": state, "cursor": cursor}
        return await self._call("list_deliveries", arguments, DeliveriesResult)

    async def list_owners(self, *, cursor: str | None = None) -> OwnersResult:
        """Who has conversations there, for a delegate."""
        arguments = {} if cursor is None else {"cursor": cursor}
        return await self._call("list_owners", arguments, OwnersResult)

    async def get_stats(self) -> StoreStats:
        """Figures of the whole store there, for a delegate."""
        return await self._call("get_stats", {}, StoreStats)

    async def _call(
        self, tool: str, arguments: Mapping[str, Any], result: type[ResultT]
    ) -> ResultT:
        return await call_for_result(
            self._hub,
            self._server,
            tool,
            arguments,
            result,
            owner=self.owner,
            timeout_seconds=self._timeout_seconds,
        )


async def call_for_result(
    hub: ToolCaller,
    server: str,
    tool: str,
    arguments: Mapping[str, Any],
    result: type[ResultT],
    *,
    owner: str | None = None,
    timeout_seconds: float | None = None,
) -> ResultT:
    """What a tool of the conversation server answers.

    Raises:
        HubError: No answer came.
        ConversationCallError: The server refused, or answered against its contract.
    """
    answer = await hub.call_tool(
        server, tool, arguments, owner=owner, timeout_seconds=timeout_seconds
    )
    if answer.is_error:
        raise ConversationCallError(_error_detail(answer))
    try:
        return result.model_validate(answer.structured_content)
    except ValidationError as error:
        raise ConversationCallError(
            ErrorDetail(
                code="unavailable",
                message=f"The server {server} answered {tool} against its contract "
                f"({error.error_count()} findings): is it an older version?",
            )
        ) from None


def _with_messages(
    conversation_id: str, messages: Sequence[Message], expected_version: int | None
) -> dict[str, Any]:
    arguments: dict[str, Any] = {
        "conversation_id": conversation_id,
        "messages": [message.to_wire() for message in messages],
    }
    if expected_version is not None:
        arguments["expected_version"] = expected_version
    return arguments


def _error_detail(answer: "CallToolResult") -> ErrorDetail:
    try:
        return ErrorResult.model_validate(answer.structured_content).error
    except ValidationError:
        texts = [block.text for block in answer.content if block.type == "text"]
        return ErrorDetail(
            code="unavailable", message=" ".join(texts) or "The server gave no reason."
        )
