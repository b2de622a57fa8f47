"""An assistant in one process: real hub, real conversation server and files, scripted model."""

from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import anyio
import mcp_types as types
from mcp.server import Server, ServerRequestContext

from client.conversations import RemoteConversationStore
from client.coordinator.coordinator import Coordinator
from client.coordinator.events import TurnEvent
from client.coordinator.request import TurnRequest
from client.hub.elicitation import Answerer, Resumption
from client.hub.hub import Hub, open_hub
from client.hub.servers import HubServer, HubTool, InProcessTarget
from client.llm.protocol import Completion, ToolCall, Usage
from servers.access.principal import create_operator
from servers.conversations.contract import Message
from servers.conversations.file_store import open_file_store
from servers.conversations.server import create_server

OWNER = "ada"
ToolHandler = Callable[[dict[str, Any]], Any]


@dataclass
class Lab:
    """A server of tools made by a test: name → handler; those named `read_…` are read-only."""

    handlers: dict[str, ToolHandler]
    calls: list[tuple[str, dict[str, Any]]] = field(default_factory=list[Any])

    def create_server(self) -> Server[Any]:
        async def list_tools(
            ctx: ServerRequestContext[Any], params: types.PaginatedRequestParams | None
        ) -> types.ListToolsResult:
            return types.ListToolsResult(
                tools=[
                    types.Tool(
                        name=name,
                        description=f"Does {name}.",
                        input_schema={"type": "object"},
                        _meta={
                            "agentic/confirm": "_confirm_" in name,
                            "agentic/own-words": not name.startswith("read_page"),
                        },
                        annotations=types.ToolAnnotations(
                            read_only_hint=name.startswith("read_"),
                            destructive_hint=name.startswith("delete_"),
                            open_world_hint=name.startswith("read_page"),
                        ),
                    )
                    for name in self.handlers
                ]
            )

        async def call_tool(
            ctx: ServerRequestContext[Any], params: types.CallToolRequestParams
        ) -> types.CallToolResult:
            arguments = dict(params.arguments or {})
            self.calls.append((params.name, arguments))
            result = self.handlers[params.name](arguments)
            if hasattr(result, "__await__"):
                result = await result
            if isinstance(result, types.CallToolResult):
                return result
            return types.CallToolResult(content=[types.TextContent(type="text", text=str(result))])

        return Server("lab", on_list_tools=list_tools, on_call_tool=call_tool)


class WatchedHub:
    """A hub that notes each call, and does first what a test put into `before`, then `after`."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self.calls: list[tuple[str, str]] = []
        self.limits: list[float | None] = []
        """Of each call, in seconds."""
        self.before: Callable[[str, str], None] = lambda server, tool: None
        self.after: Callable[[str, str], None] = lambda server, tool: None
        self.is_silent = False
        """No call is answered, ever."""
        self.renamed: dict[str, str] = {}
        """Tool → how its server describes it from now on."""
        self.offered: set[str] = set()
        """Tools that models are offered besides those that they are."""

    def tools(self) -> list[HubTool]:
        tools = [
            replace(tool, definition=replace(tool.definition, description=described))
            if (described := self.renamed.get(tool.tool))
            else tool
            for tool in self._hub.tools()
        ]
        return [replace(each, offered=each.offered or each.tool in self.offered) for each in tools]

    async def call_tool(
        self,
        server: str,
        tool: str,
        arguments: Mapping[str, Any],
        *,
        owner: str | None = None,
        timeout_seconds: float | None = None,
        answerer: Answerer | None = None,
        resumption: Resumption | None = None,
    ) -> types.CallToolResult:
        self.calls.append((server, tool))
        self.limits.append(timeout_seconds)
        self.before(server, tool)
        if self.is_silent:
            await anyio.sleep_forever()
        result = await self._hub.call_tool(
            server,
            tool,
            arguments,
            owner=owner,
            timeout_seconds=timeout_seconds,
            answerer=answerer,
            resumption=resumption,
        )
        self.after(server, tool)
        return result

    async def read_resource(
        self,
        server: str,
        uri: str,
        *,
        owner: str | None = None,
        timeout_seconds: float | None = None,
    ) -> types.ReadResourceResult:
        self.before(server, uri)
        return await self._hub.read_resource(
            server, uri, owner=owner, timeout_seconds=timeout_seconds
        )


@dataclass
class Assistant:
    hub: WatchedHub
    store: RemoteConversationStore
    lab: Lab

    async def messages(self, conversation_id: str = "c") -> list[Message]:
        return (await self.store.load_conversation(conversation_id, limit=500)).messages


@asynccontextmanager
async def open_assistant(
    directory: Path,
    tools: dict[str, ToolHandler] | None = None,
    *,
    more: Sequence[HubServer] = (),
) -> AsyncGenerator[Assistant]:
    """`more`: servers besides the conversations and the lab; they are told that they may ask."""
    lab = Lab(tools or {})
    async with open_file_store(directory) as store:
        conversations = create_server(store, create_operator(OWNER))
        servers = [
            HubServer(
                "conversations", InProcessTarget(conversations), ours=True, offer_to_model=False
            ),
            HubServer("lab", InProcessTarget(lab.create_server()), ours=True),
            *more,
        ]
        async with open_hub(servers, can_ask=bool(more)) as hub:
            await hub.wait_ready(timeout_seconds=15)
            watched = WatchedHub(hub)
            yield Assistant(watched, RemoteConversationStore(watched, OWNER), lab)


def said(text: str, **fields: Any) -> Completion:
    """A model's plain answer."""
    return Completion(text=text, usage=Usage(10, 5), **fields)


def calls(*wanted: tuple[str, dict[str, Any]], text: str = "") -> Completion:
    """A model's answer that calls tools of the lab."""
    return Completion(
        text=text,
        tool_calls=[
            ToolCall(f"call-{number}", f"lab__{name}", arguments)
            for number, (name, arguments) in enumerate(wanted, 1)
        ],
        stop_reason="tool_use",
        usage=Usage(10, 5),
    )


def ask(prompt: str, conversation_id: str = "c", **fields: Any) -> TurnRequest:
    return TurnRequest(conversation_id=conversation_id, prompt=prompt, owner=OWNER, **fields)


async def run_turn(coordinator: Coordinator, request: TurnRequest) -> list[TurnEvent]:
    async with coordinator.stream(request) as events:
        return [event async for event in events]


def assert_whole(messages: list[Message]) -> None:
    """Every call is followed by exactly one result, and nothing is stored twice."""
    ids = [message.message_id for message in messages]
    assert len(set(ids)) == len(ids)
    used = [
        block["id"]
        for message in messages
        if message.role == "assistant" and isinstance(message.content, list)
        for block in message.content
        if block["type"] == "tool_use"
    ]
    results = [message.tool_call_id for message in messages if message.role == "tool"]
    assert results == used
