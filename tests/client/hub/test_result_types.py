"""Results that are not finished, or do not say whether they are."""

import json
from typing import Any

import anyio
import pytest
from mcp.server import Server, ServerRequestContext
from mcp_types import (
    CallToolRequestParams,
    CallToolResult,
    ElicitRequest,
    ElicitRequestFormParams,
    InputRequiredResult,
    ListToolsResult,
    PaginatedRequestParams,
    TextContent,
    Tool,
)
from mcp_types.version import LATEST_MODERN_VERSION

from client.hub.errors import CallTimedOutError, ServerFaultError
from client.hub.hub import open_hub
from client.hub.servers import HttpTarget, HubServer, InProcessTarget
from tests.client.hub.fakes import first_text
from tests.fakes.streaming_http import HttpReply, HttpRequest, open_http_server

TOOLS = ("finish", "stall", "ask")
EMPTY: dict[str, Any] = {"type": "object", "properties": {}}


def create_slow_server(states: list[str | None]) -> HubServer:
    """`finish` is done at the third call, `stall` never is, `ask` wants a person's answer."""

    async def list_tools(
        ctx: ServerRequestContext[Any], params: PaginatedRequestParams | None
    ) -> ListToolsResult:
        schema = {"type": "object"}
        return ListToolsResult(
            tools=[Tool(name=name, description=name, input_schema=schema) for name in TOOLS]
        )

    async def call_tool(
        ctx: ServerRequestContext[Any], params: CallToolRequestParams
    ) -> CallToolResult | InputRequiredResult:
        states.append(params.request_state)
        match params.name, len(states):
            case "finish", 3:
                return CallToolResult(content=[TextContent(text="done")])
            case "ask", _:
                form = ElicitRequestFormParams(message="Who?", requested_schema=EMPTY)
                return InputRequiredResult(input_requests={"who": ElicitRequest(params=form)})
            case _:
                return InputRequiredResult(request_state=f"after {len(states)}")

    server = Server[Any]("slow", on_list_tools=list_tools, on_call_tool=call_tool)
    return HubServer("slow", InProcessTarget(server))


async def test_a_server_that_wants_only_its_note_back_gets_it_until_it_is_done() -> None:
    states: list[str | None] = []
    with anyio.fail_after(20):
        async with open_hub([create_slow_server(states)]) as hub:
            await hub.wait_ready(timeout_seconds=10)
            assert first_text(await hub.call_tool("slow", "finish", {})) == "done"
    assert states == [None, "after 1", "after 2"]


async def test_a_server_that_is_never_done_costs_the_call_its_time_and_no_more() -> None:
    with anyio.fail_after(20):
        async with open_hub([create_slow_server([])]) as hub:
            await hub.wait_ready(timeout_seconds=10)
            with pytest.raises(CallTimedOutError):
                await hub.call_tool("slow", "stall", {}, timeout_seconds=0.5)


async def test_a_server_that_asks_though_nobody_can_answer_is_told_so() -> None:
    with anyio.fail_after(20):
        async with open_hub([create_slow_server([])]) as hub:
            await hub.wait_ready(timeout_seconds=10)
            with pytest.raises(ServerFaultError, match="asks back"):
                await hub.call_tool("slow", "ask", {})


async def test_a_result_that_does_not_say_its_type_is_one() -> None:
    results: dict[str, dict[str, Any]] = {
        "server/discover": {
            "resultType": "complete",
            "ttlMs": 0,
            "cacheScope": "private",
            "supportedVersions": [LATEST_MODERN_VERSION],
            "capabilities": {"tools": {}},
        },
        "tools/list": {
            "ttlMs": 0,
            "cacheScope": "private",
            "tools": [{"name": "say", "inputSchema": {"type": "object"}}],
        },
        "tools/call": {"content": [{"type": "text", "text": "said"}]},
    }

    async def answer(request: HttpRequest, http: HttpReply) -> None:
        asked = request.json()
        body = {"jsonrpc": "2.0", "id": asked["id"], "result": results[asked["method"]]}
        headers = {"content-type": "application/json"}
        await http.send_whole(200, json.dumps(body).encode(), headers)

    with anyio.fail_after(20):
        async with (
            open_http_server(answer) as base,
            open_hub([HubServer("terse", HttpTarget(f"{base}/mcp"))]) as hub,
        ):
            await hub.wait_ready(timeout_seconds=10)
            assert first_text(await hub.call_tool("terse", "say", {})) == "said"
