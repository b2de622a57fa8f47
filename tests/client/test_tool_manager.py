"""The tools an owner may use now, executed as objects."""

from contextlib import AbstractAsyncContextManager

import anyio
import pytest
from mcp.server.mcpserver import MCPServer
from mcp_types import ToolAnnotations

from client.hub.hub import Hub, open_hub
from client.hub.servers import HubServer, InProcessTarget
from client.tool_manager import ToolManager


def create_lab() -> MCPServer:
    server = MCPServer("lab")

    @server.tool(annotations=ToolAnnotations(read_only_hint=True))
    async def measure(depth: int) -> str:
        if depth < 0:
            raise ValueError("there is no depth below 0")
        return f"{depth} m of water"

    @server.tool()
    async def hang() -> str:
        await anyio.sleep_forever()
        return "never"

    @server.tool()
    async def hidden() -> str:
        return "not for models"

    return server


def open_lab() -> AbstractAsyncContextManager[Hub]:
    lab = HubServer("lab", InProcessTarget(create_lab()), offer_to_model=["measure", "hang"])
    return open_hub([lab])


async def ready(hub: Hub, max_characters: int = 1_000) -> ToolManager:
    await hub.wait_ready(timeout_seconds=10)
    return ToolManager(hub, timeout_seconds=0.3, max_characters=max_characters)


async def test_what_models_are_offered_is_there_as_objects() -> None:
    with anyio.fail_after(20):
        async with open_lab() as hub:
            manager = await ready(hub)
            tools = manager.tools()
            names = [definition.name for definition in manager.definitions()]
            result = await tools["lab__measure"].execute({"depth": 7})

    assert [*tools] == names == ["lab__hang", "lab__measure"]
    assert tools["lab__measure"].facts.read_only
    assert (result.success, result.content, result.error) == (True, "7 m of water", None)
    assert result.untrusted
    assert 0 < result.duration < 20


@pytest.mark.parametrize(
    ("name", "arguments", "error"),
    [
        ("lab__measure", {"depth": -1}, "Error executing tool measure"),
        ("lab__measure", {"depth": "deep"}, "1 validation error"),
        ("lab__hang", {}, "0.3 s"),
        ("lab__hidden", {}, "There is no tool lab__hidden."),
        ("lab__mesure", {}, "Did you mean lab__measure?"),
    ],
)
async def test_whatever_goes_wrong_is_a_result(
    name: str, arguments: dict[str, object], error: str
) -> None:
    with anyio.fail_after(20):
        async with open_lab() as hub:
            result = await (await ready(hub)).execute(name, arguments)

    assert not result.success
    assert result.error is not None
    assert error in result.error


async def test_a_result_is_cut_to_what_a_model_may_read() -> None:
    with anyio.fail_after(20):
        async with open_lab() as hub:
            manager = await ready(hub, max_characters=12)
            result = await manager.execute("lab__measure", {"depth": 10**9})

    assert result.content == "1000000000 m\n[9 more characters left out]"
