"""A conversation server that keeps what is imported in memory, and refuses what a test wants."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from mcp_types import CallToolResult, TextContent

from client.hub.errors import HubError
from servers.conversations.contract import (
    MAX_BATCH_BYTES,
    MAX_BATCH_MESSAGES,
    Message,
)
from servers.conversations.contract_results import (
    ConversationStats,
    ConversationWithStats,
    ErrorDetail,
    ErrorResult,
    ImportResult,
    LoadResult,
)

Answer = ErrorDetail | HubError | None
Judge = Callable[[dict[str, Any]], Answer]


@dataclass(slots=True)
class StoreServer:
    """The verbs that an import uses, as the contract has them."""

    judge: Judge = lambda _document: None
    """What becomes of a page; None: it is taken."""
    facts: dict[str, dict[str, Any]] = field(default_factory=dict[str, Any])
    messages: dict[str, list[Message]] = field(default_factory=dict[str, list[Message]])
    pages: list[int] = field(default_factory=list[int])
    """How many messages each page had that came."""

    async def call_tool(
        self,
        server: str,
        tool: str,
        arguments: Mapping[str, Any],
        *,
        owner: str | None = None,
        timeout_seconds: float | None = None,
    ) -> CallToolResult:
        match tool:
            case "load_conversation":
                name = arguments["conversation_id"]
                stored = self.messages.get(name, [])
                return _result(
                    LoadResult(
                        conversation_id=name,
                        messages=stored[-arguments["limit"] :],
                        next_cursor=None,
                        version=int(name in self.messages),
                        damaged=0,
                    )
                )
            case "get_conversation":
                return _result(self._get(arguments["conversation_id"]))
            case "import_conversation":
                return self._import(arguments["document"])
            case _:
                raise AssertionError(tool)

    def _get(self, name: str) -> ConversationWithStats:
        given = {key: value for key, value in self.facts[name].items() if value is not None}
        figures = {"version": 1, "message_count": len(self.messages[name])}
        unknown = {"created_at": "now", "last_updated": "now", "owner": "o"}
        stats = ConversationStats(messages_by_role={}, bytes=0)
        return ConversationWithStats.model_validate({**unknown, **given, **figures, "stats": stats})

    def _import(self, document: dict[str, Any]) -> CallToolResult:
        self.pages.append(len(document["messages"]))
        assert document["format"] == "agentic-conversation/1"
        assert len(document["messages"]) <= MAX_BATCH_MESSAGES
        assert len(json.dumps(document, ensure_ascii=False).encode()) <= MAX_BATCH_BYTES
        refusal = self.judge(document)
        if isinstance(refusal, HubError):
            raise refusal
        if refusal is not None:
            return _result(ErrorResult(error=refusal), is_error=True)
        name = document["conversation"]["conversation_id"]
        self.facts.setdefault(name, document["conversation"])
        stored = self.messages.setdefault(name, [])
        by_id = {message.message_id: message for message in stored}
        counts = {"appended": 0, "repeated": 0, "skipped": 0}
        for wire in document["messages"]:
            message = Message.model_validate(wire)
            earlier = by_id.setdefault(message.message_id, message)
            if earlier is message:
                stored.append(message)
                counts["appended"] += 1
            else:
                same = earlier.content_key() == message.content_key()
                counts["repeated" if same else "skipped"] += 1
        return _result(ImportResult(conversation_id=name, **counts))


def _result(
    answer: LoadResult | ConversationWithStats | ImportResult | ErrorResult,
    *,
    is_error: bool = False,
) -> CallToolResult:
    return CallToolResult(
        content=[TextContent(type="text", text="")],
        structured_content=answer.model_dump(),
        is_error=is_error,
    )
