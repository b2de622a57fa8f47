"""Tools that change while a server is connected, over every transport and in both eras."""

from contextlib import AsyncExitStack

import anyio
import pytest

from client.hub.hub import Hub, open_hub
from client.hub.servers import HubServer, InProcessTarget
from tests.client.hub.fakes import first_text, http, http_server, stdio
from tests.fakes.mcp_servers.changing import create_changing_server
from tests.ports import free_port


async def wait_tool(hub: Hub, tool: str) -> None:
    while True:
        if tool in (known.tool for known in hub.tools()):
            return
        await anyio.sleep(0.005)


@pytest.mark.parametrize("transport", ["memory", "stdio", "http"])
@pytest.mark.slow
async def test_a_new_tool_of_a_modern_server_is_there_at_once(transport: str) -> None:
    port = free_port()
    servers = {
        "memory": HubServer("changing", InProcessTarget(create_changing_server())),
        "stdio": stdio("changing", "changing"),
        "http": http("changing", port),
    }
    async with AsyncExitStack() as stack:
        stack.enter_context(anyio.fail_after(20))
        if transport == "http":
            await stack.enter_async_context(http_server(port, script="changing"))
        hub = await stack.enter_async_context(open_hub([servers[transport]]))
        await hub.wait_ready(timeout_seconds=10)
        for name in ("first", "second", "third"):
            await hub.call_tool("changing", "grow", {"name": name})
            await wait_tool(hub, name)
            assert first_text(await hub.call_tool("changing", name, {})) == "grown"


async def test_a_new_tool_of_an_older_server_is_there_at_once() -> None:
    with anyio.fail_after(10):
        async with open_hub([stdio("older", "grows")]) as hub:
            await hub.call_tool("older", "grow", {})
            await wait_tool(hub, "grown_1")
            (status,) = hub.status()
            assert (status.tools, status.protocol_version) == (2, "2025-06-18")
            assert first_text(await hub.call_tool("older", "grown_1", {})) == "grown"
