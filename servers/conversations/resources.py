"""Conversations as MCP resources: `conversation://{conversation_id}`, a list, completion of ids."""

import re
from typing import Any
from urllib.parse import quote, unquote_to_bytes

from mcp.server import ServerRequestContext
from mcp.shared.exceptions import MCPError
from mcp_types import (
    INVALID_PARAMS,
    Annotations,
    CompleteRequestParams,
    CompleteResult,
    Completion,
    ListResourcesResult,
    ListResourceTemplatesResult,
    PaginatedRequestParams,
    PromptReference,
    ReadResourceRequestParams,
    ReadResourceResult,
    Resource,
    ResourceTemplate,
    TextResourceContents,
)

from servers.access.contract import SCOPE_CONVERSATIONS_READ
from servers.access.principal import Callers
from servers.conversations.contract import (
    MAX_LIST_LIMIT,
    RESOURCE_SCHEME,
    Conversation,
    check_conversation_id,
)
from servers.conversations.errors import told_as_mcp_errors
from servers.conversations.prompts import PROMPT_NAMES
from servers.conversations.store import ConversationStore, NotFoundError
from servers.conversations.transcript import render_transcript

URI_TEMPLATE = f"{RESOURCE_SCHEME}{{conversation_id}}"
MIME_TYPE = "text/markdown"
RECENT_CONVERSATIONS = 50
MAX_COMPLETIONS = 100
"""The protocol's limit."""
_MAX_PAGES_COMPLETED_FROM = 10
"""Completing looks at the newest conversations, not at all of many years."""

_ENCODED_ID = re.compile(r"(?:[A-Za-z0-9._~!$&'()*+,;=:@\[\]-]|%[0-9A-Fa-f]{2})+")
"""RFC 3986: unreserved, escapes, and reserved characters that end nothing; lenient on input."""


def to_uri(conversation_id: str) -> str:
    """The resource's URI: percent-encoded outside RFC 3986's unreserved characters."""
    return RESOURCE_SCHEME + quote(conversation_id, safe="")


def parse_uri(uri: str) -> str | None:
    """The conversation id that a URI names, None if it can't name one."""
    encoded = uri.removeprefix(RESOURCE_SCHEME)
    if encoded == uri or not _ENCODED_ID.fullmatch(encoded):
        return None
    try:
        return check_conversation_id(unquote_to_bytes(encoded).decode("utf-8"))
    except ValueError:
        return None


class ConversationResources:
    """The handlers of `resources/*` and `completion/complete`."""

    def __init__(self, store: ConversationStore, callers: Callers) -> None:
        self._store = store
        self._callers = callers

    def _owner(self, ctx: ServerRequestContext[Any]) -> str:
        principal = self._callers.of(ctx.request)
        principal.require(SCOPE_CONVERSATIONS_READ)
        return principal.acting_owner(ctx.meta)

    async def list_resources(
        self, ctx: ServerRequestContext[Any], params: PaginatedRequestParams | None
    ) -> ListResourcesResult:
        """The owner's most recent conversations; older ones are found by the tool that lists."""
        with told_as_mcp_errors("resources/list"):
            owner = self._owner(ctx)
            if params is not None and params.cursor is not None:
                raise MCPError(INVALID_PARAMS, "there is one page only: ask without a cursor")
            page = await self._store.list_conversations(owner, limit=RECENT_CONVERSATIONS)
            return ListResourcesResult(resources=[_to_resource(c) for c in page.conversations])

    async def list_templates(
        self,
        ctx: ServerRequestContext[Any],  # noqa: ARG002 - the SDK's handler signature
        params: PaginatedRequestParams | None,  # noqa: ARG002
    ) -> ListResourceTemplatesResult:
        """The one template."""
        template = ResourceTemplate(
            name="conversation",
            title="Conversation",
            uri_template=URI_TEMPLATE,
            description="A conversation as a readable transcript, the newest 512 KiB of it. The "
            "id is percent-encoded.",
            mime_type=MIME_TYPE,
        )
        return ListResourceTemplatesResult(resource_templates=[template])

    async def read_resource(
        self, ctx: ServerRequestContext[Any], params: ReadResourceRequestParams
    ) -> ReadResourceResult:
        """The transcript. Unknown, another owner's and impossible ones give the same error."""
        with told_as_mcp_errors("resources/read"):
            owner = self._owner(ctx)
            conversation_id = parse_uri(params.uri)
            if conversation_id is None:
                raise not_found(params.uri)
            try:
                text = await render_transcript(self._store, owner, conversation_id)
            except NotFoundError:
                raise not_found(params.uri) from None
            contents = TextResourceContents(uri=params.uri, mime_type=MIME_TYPE, text=text)
            return ReadResourceResult(contents=[contents])

    async def complete(
        self, ctx: ServerRequestContext[Any], params: CompleteRequestParams
    ) -> CompleteResult:
        """The owner's conversation ids that begin with what was typed, newest first."""
        with told_as_mcp_errors("completion/complete"):
            owner = self._owner(ctx)
            if isinstance(params.ref, PromptReference):
                known = params.ref.name in PROMPT_NAMES
            else:
                known = params.ref.uri == URI_TEMPLATE
            if not known or params.argument.name != "conversation_id":
                raise MCPError(INVALID_PARAMS, "only conversation_id can be completed here")
            return CompleteResult(completion=await self._complete_id(owner, params.argument.value))

    async def _complete_id(self, owner: str, prefix: str) -> Completion:
        found: list[str] = []
        cursor: str | None = None
        for _ in range(_MAX_PAGES_COMPLETED_FROM):
            page = await self._store.list_conversations(owner, limit=MAX_LIST_LIMIT, cursor=cursor)
            ids = (conversation.conversation_id for conversation in page.conversations)
            found += [each for each in ids if each.startswith(prefix)]
            cursor = page.next_cursor
            if cursor is None:
                break
        return Completion(
            values=found[:MAX_COMPLETIONS],
            total=len(found) if cursor is None else None,
            has_more=cursor is not None or len(found) > MAX_COMPLETIONS,
        )


def _to_resource(conversation: Conversation) -> Resource:
    return Resource(
        uri=to_uri(conversation.conversation_id),
        name=conversation.conversation_id,
        title=conversation.title,
        description=f"{conversation.message_count} messages",
        mime_type=MIME_TYPE,
        annotations=Annotations(last_modified=conversation.last_updated),
    )


def not_found(uri: str) -> MCPError:
    """The same error for what is unknown, another owner's, or no conversation's URI."""
    return MCPError(INVALID_PARAMS, "Resource not found", {"uri": uri})
