"""Conversations as MCP resources: `conversation://{conversation_id}`, a list, completion of ids."""

import re
from collections.abc import Mapping
from functools import partial
from typing import Any

from mcp.server import ServerRequestContext
from mcp.shared.exceptions import MCPError
from mcp_types import (
    INVALID_PARAMS,
    Annotations,
    BlobResourceContents,
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
from servers.conversations.attachment_resources import TEMPLATES, WholeReads, read_attachment
from servers.conversations.contract import MAX_LIST_LIMIT, RESOURCE_SCHEME, Conversation
from servers.conversations.contract_uris import parse_attachment_uri, parse_uri, to_uri
from servers.conversations.errors import NotFoundError, told_as_mcp_errors
from servers.conversations.prompts import PROMPT_NAMES
from servers.conversations.store import ConversationStore
from servers.conversations.transcript import render_transcript

URI_TEMPLATE = f"{RESOURCE_SCHEME}{{conversation_id}}"
MIME_TYPE = "text/markdown"
RECENT_CONVERSATIONS = 50
MAX_COMPLETIONS = 100
"""The protocol's limit."""
_VARIABLES: Mapping[str, list[str]] = {
    uri_template: re.findall(r"\w+(?=[,}])", uri_template)
    for uri_template in (URI_TEMPLATE, *(template.uri_template for template in TEMPLATES))
}
_MAX_PAGES_COMPLETED_FROM = 10
"""Completing looks at the newest conversations, not at all of many years."""


class ConversationResources:
    """The handlers of `resources/*` and `completion/complete`."""

    def __init__(self, store: ConversationStore, callers: Callers) -> None:
        self._store = store
        self._callers = callers
        self._whole_reads = WholeReads()

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
        """Conversations, and their attachments."""
        template = ResourceTemplate(
            name="conversation",
            title="Conversation",
            uri_template=URI_TEMPLATE,
            description="A conversation as a readable transcript, the newest 512 KiB of it. The "
            "id is percent-encoded.",
            mime_type=MIME_TYPE,
        )
        return ListResourceTemplatesResult(resource_templates=[template, *TEMPLATES])

    async def read_resource(
        self, ctx: ServerRequestContext[Any], params: ReadResourceRequestParams
    ) -> ReadResourceResult:
        """What the URI names. Unknown, another owner's and impossible ones give the same error."""
        with told_as_mcp_errors("resources/read"):
            owner = self._owner(ctx)
            try:
                contents = await self._read(ctx.request, owner, params.uri)
            except NotFoundError:
                contents = None
            if contents is None:
                raise not_found(params.uri)
            return ReadResourceResult(contents=[contents])

    async def _read(
        self, request: object, owner: str, uri: str
    ) -> TextResourceContents | BlobResourceContents | None:
        if (attachment := parse_attachment_uri(uri)) is not None:
            begin_whole = partial(self._whole_reads.begin, request)
            return await read_attachment(self._store, owner, attachment, uri, begin_whole)
        if (conversation_id := parse_uri(uri)) is None:
            return None
        text = await render_transcript(self._store, owner, conversation_id)
        return TextResourceContents(uri=uri, mime_type=MIME_TYPE, text=text)

    async def complete(
        self, ctx: ServerRequestContext[Any], params: CompleteRequestParams
    ) -> CompleteResult:
        """The owner's conversation ids that begin with what was typed, newest first."""
        with told_as_mcp_errors("completion/complete"):
            owner = self._owner(ctx)
            if isinstance(params.ref, PromptReference):
                known = ["conversation_id"] if params.ref.name in PROMPT_NAMES else []
            else:
                known = _VARIABLES.get(params.ref.uri, [])
            if params.argument.name not in known:
                raise MCPError(INVALID_PARAMS, "only conversation_id can be completed here")
            if params.argument.name != "conversation_id":
                return CompleteResult(completion=Completion(values=[]))
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
    count = conversation.message_count
    return Resource(
        uri=to_uri(conversation.conversation_id),
        name=conversation.conversation_id,
        title=conversation.title,
        description=f"{count} message{'' if count == 1 else 's'}",
        mime_type=MIME_TYPE,
        annotations=Annotations(last_modified=conversation.last_updated),
    )


def not_found(uri: str) -> MCPError:
    """The same error for what is unknown, another owner's, or no conversation's URI."""
    return MCPError(INVALID_PARAMS, "Resource not found", {"uri": uri})
