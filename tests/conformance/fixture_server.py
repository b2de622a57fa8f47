"""The server that the conformance suite's scenarios expect, made of the parts ours are made of."""

from collections.abc import Mapping
from typing import Any

from mcp.server import Server, ServerRequestContext
from mcp.server.request_state import RequestStateBoundary, RequestStateSecurity
from mcp.server.subscriptions import InMemorySubscriptionBus, ListenHandler
from mcp_types import (
    CallToolRequestParams,
    CallToolResult,
    EmptyResult,
    GetPromptRequestParams,
    GetPromptResult,
    InputRequiredResult,
    ListPromptsResult,
    ListToolsResult,
    PaginatedRequestParams,
    Prompt,
    SetLevelRequestParams,
    SubscribeRequestParams,
    Tool,
    ToolAnnotations,
    UnsubscribeRequestParams,
)
from pydantic import BaseModel

from servers.access.contract import SCOPE_TOOLS_CALL
from servers.access.principal import Callers
from servers.typed_arguments import ToolArguments
from servers.typed_tools import Caller, ToolHandlers, TypedTool
from tests.conformance import fixture_content
from tests.conformance.fixture_rounds import PROMPT_NAME, ROUND_TOOLS, ask_for_prompt
from tests.conformance.fixture_tools import SCHEMAS, create_plain_tools

NAME = "fixture"


class _Nothing(ToolArguments):
    """No arguments."""


class _Text(BaseModel):
    text: str


class _IntendedError(Exception):
    """What the scenario about errors wants to see."""


async def _say(caller: Caller, arguments: _Nothing) -> _Text:
    return _Text(text=f"said for {caller.owner}")


async def _fail(caller: Caller, arguments: _Nothing) -> _Text:
    raise _IntendedError("this tool always fails")


def _explain(error: Exception) -> Mapping[str, object] | None:
    known = isinstance(error, _IntendedError)
    return {"code": "unavailable", "message": str(error)} if known else None


def _typed_tools() -> list[TypedTool[Any, Any]]:
    return [
        TypedTool(
            name=name,
            title=name,
            description="A tool of the conformance suite.",
            scope=SCOPE_TOOLS_CALL,
            annotations=ToolAnnotations(),
            arguments=_Nothing,
            result=_Text,
            call=call,
        )
        for name, call in (("test_simple_text", _say), ("test_error_handling", _fail))
    ]


def create_server(callers: Callers) -> Server[Any]:
    """The server, both eras: typed tools like ours, and what ours don't do beside them."""
    bus = InMemorySubscriptionBus()
    typed = ToolHandlers(_typed_tools(), callers, _explain)
    plain = {**create_plain_tools(bus), **ROUND_TOOLS}
    no_arguments: dict[str, Any] = {"type": "object", "properties": {}}
    listed = [
        Tool(
            name=name,
            description="A tool of the conformance suite.",
            input_schema=SCHEMAS.get(name, no_arguments),
        )
        for name in plain
    ]

    async def list_tools(
        ctx: ServerRequestContext[Any], params: PaginatedRequestParams | None
    ) -> ListToolsResult:
        page = await typed.list_tools(ctx, params)
        return ListToolsResult(tools=[*page.tools, *listed])

    async def call_tool(
        ctx: ServerRequestContext[Any], params: CallToolRequestParams
    ) -> CallToolResult | InputRequiredResult:
        tool = plain.get(params.name)
        return await (typed.call_tool(ctx, params) if tool is None else tool(ctx, params))

    def input_schema(name: str) -> Mapping[str, Any] | None:
        return SCHEMAS.get(name, no_arguments) if name in plain else typed.input_schema(name)

    server = Server[Any](
        "agentic-fixture",
        version="1",
        get_tool_input_schema=input_schema,
        on_list_tools=list_tools,
        on_call_tool=call_tool,
        on_list_resources=fixture_content.list_resources,
        on_list_resource_templates=fixture_content.list_templates,
        on_read_resource=fixture_content.read_resource,
        on_subscribe_resource=_subscribe,
        on_unsubscribe_resource=_unsubscribe,
        on_subscriptions_listen=ListenHandler(bus),
        on_completion=fixture_content.complete,
        on_list_prompts=_list_prompts,
        on_get_prompt=_get_prompt,
    )
    # The argument of this name warns that the method is the older era's, which is what is tested.
    server.add_request_handler("logging/setLevel", SetLevelRequestParams, _set_level)
    security = RequestStateSecurity.ephemeral()
    server.middleware.append(RequestStateBoundary(security, default_audience=NAME))
    return server


async def _list_prompts(
    ctx: ServerRequestContext[Any], params: PaginatedRequestParams | None
) -> ListPromptsResult:
    asking = Prompt(name=PROMPT_NAME, description="Asks back before it answers.")
    return ListPromptsResult(prompts=[*fixture_content.PROMPTS, asking])


async def _get_prompt(
    ctx: ServerRequestContext[Any], params: GetPromptRequestParams
) -> GetPromptResult | InputRequiredResult:
    asks = params.name == PROMPT_NAME
    return ask_for_prompt(params) if asks else fixture_content.get_prompt(params)


async def _subscribe(ctx: ServerRequestContext[Any], params: SubscribeRequestParams) -> EmptyResult:
    return EmptyResult()


async def _unsubscribe(
    ctx: ServerRequestContext[Any], params: UnsubscribeRequestParams
) -> EmptyResult:
    return EmptyResult()


async def _set_level(ctx: ServerRequestContext[Any], params: SetLevelRequestParams) -> EmptyResult:
    return EmptyResult()
