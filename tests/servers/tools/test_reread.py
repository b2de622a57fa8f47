"""A changed mcp.yml changes the tools of a running server, and its clients hear of it."""

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import anyio
import pytest
from mcp import Client
from mcp.client import IncomingMessage
from mcp.types import ToolListChangedNotification

from agentic.config.following import FollowedTools
from agentic.config.load import load_config
from client.conversations import RemoteConversationStore
from client.coordinator.coordinator import Coordinator
from client.hub.hub import open_hub
from client.hub.servers import HubServer, InProcessTarget
from client.llm.protocol import Completion, ToolCall
from client.llm.scripted import ScriptedModel
from servers.access.principal import create_operator
from servers.conversations.file_store import open_file_store
from servers.conversations.server import create_server as create_conversations
from servers.tools.server import ToolsServer, create_server
from tests.assistant import OWNER, ask, run_turn, said
from tests.fakes.tool_endpoint import ToolEndpoint, answer_json
from tests.servers.tools.conftest import Era, text_of

POLL_SECONDS = 0.01


@dataclass
class Heard:
    """How often a client heard that there are other tools."""

    times: int = 0
    news: anyio.Event = field(default_factory=anyio.Event)

    def note(self) -> None:
        self.times += 1
        self.news.set()
        self.news = anyio.Event()


def serve(file: Path) -> ToolsServer:
    config = load_config({"HOME": str(file.parent), "MCP_CONFIG_PATH": str(file)})
    followed = FollowedTools(config)
    return create_server(
        config.tools, create_operator(OWNER), look=followed.look, poll_seconds=POLL_SECONDS
    )


@asynccontextmanager
async def hearing(server: ToolsServer, era: Era) -> AsyncGenerator[tuple[Client, Heard]]:
    """A client that hears of changes in the way of its era."""
    heard = Heard()

    async def notice(message: IncomingMessage) -> None:
        if era == "legacy" and isinstance(message, ToolListChangedNotification):
            heard.note()

    async def listen(client: Client, *, task_status: anyio.abc.TaskStatus[None]) -> None:
        async with client.listen(tools_list_changed=True) as subscription:
            task_status.started()
            async for _ in subscription:
                heard.note()

    with anyio.fail_after(20):
        async with Client(server, mode=era, message_handler=notice) as client:
            assert client.server_capabilities.tools is not None
            assert client.server_capabilities.tools.list_changed
            async with anyio.create_task_group() as tasks:
                if era == "auto":
                    await tasks.start(listen, client)
                yield client, heard
                tasks.cancel_scope.cancel()


async def until(is_so: Callable[[], Awaitable[bool]]) -> None:
    while not await is_so():  # noqa: ASYNC110 - nothing tells of it
        await anyio.sleep(POLL_SECONDS)


async def names(client: Client) -> list[str]:
    return [tool.name for tool in (await client.list_tools()).tools if tool.name != "current_time"]


async def test_clients_hear_of_a_change_and_see_it(tmp_path: Path, era: Era) -> None:
    file = tmp_path / "mcp.yml"
    file.write_text("tools: {one: {url: 'http://h/'}}")
    async with hearing(serve(file), era) as (client, heard):
        assert await names(client) == ["one"]
        news = heard.news
        file.write_text("tools: {one: {url: 'http://h/'}, two: {url: 'http://h/'}}")
        await news.wait()
        assert await names(client) == ["one", "two"]
        assert heard.times == 1


async def test_a_change_that_nobody_sees_is_not_told(
    tmp_path: Path, era: Era, endpoint: ToolEndpoint
) -> None:
    file = tmp_path / "mcp.yml"
    old = endpoint.on("/old", answer_json({"result": "old"}))
    new = endpoint.on("/new", answer_json({"result": "new"}))
    file.write_text(f"tools: {{one: {{url: '{old}'}}}}")
    async with hearing(serve(file), era) as (client, heard):
        await names(client)
        assert text_of(await client.call_tool("one", {})) == "old"
        file.write_text(f"tools: {{one: {{url: '{new}'}}}}")

        async def is_new() -> bool:
            return text_of(await client.call_tool("one", {})) == "new"

        await until(is_new)
        assert heard.times == 0


async def test_a_running_call_finishes_with_its_old_declaration(
    tmp_path: Path, endpoint: ToolEndpoint
) -> None:
    arrived, go_on, told = anyio.Event(), anyio.Event(), list[str]()

    async def wait(request: object, connection: object) -> None:
        arrived.set()
        await go_on.wait()
        await answer_json({"result": "old"})(request, connection)  # pyright: ignore[reportArgumentType]

    file = tmp_path / "mcp.yml"
    file.write_text(f"tools: {{one: {{url: '{endpoint.on('/', wait)}'}}}}")
    async with hearing(serve(file), "auto") as (client, heard), anyio.create_task_group() as tasks:

        async def call() -> None:
            told.append(text_of(await client.call_tool("one", {})))

        tasks.start_soon(call)
        await arrived.wait()
        news = heard.news
        file.write_text("tools: {two: {url: 'http://h/'}}")
        await news.wait()
        assert await names(client) == ["two"]
        go_on.set()
    assert told == ["old"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("tools: [", "mcp.yml"),
        ("tools: 7", "tools"),
    ],
)
async def test_a_broken_edit_changes_nothing_and_newcomers_are_told_why(
    tmp_path: Path, era: Era, text: str, said: str
) -> None:
    file = tmp_path / "mcp.yml"
    file.write_text("tools: {one: {url: 'http://h/'}}")
    server = serve(file)
    async with hearing(server, era) as (client, heard):
        await names(client)
        file.write_text(text)

        async def is_told() -> bool:
            return server.instructions is not None

        await until(is_told)
        assert await names(client) == ["one"]
        async with Client(server, mode=era) as newcomer:
            assert newcomer.instructions is not None
            assert newcomer.instructions.startswith("Not all tools are what mcp.yml says: ")
            assert said in newcomer.instructions
        for ours in (True, False):
            async with open_hub([HubServer("t", InProcessTarget(server), ours=ours)]) as hub:
                await hub.wait_ready(timeout_seconds=10)
                [status] = hub.status()
                assert (status.tools, said in (status.problem or "")) == (2, ours)
        news = heard.news
        file.write_text("tools: {two: {url: 'http://h/'}}")
        await news.wait()
        assert await names(client) == ["two"]
        assert server.instructions is None


async def test_a_tool_whose_declaration_stays_keeps_what_it_has(
    tmp_path: Path, endpoint: ToolEndpoint
) -> None:
    url = endpoint.on("/", answer_json({"result": "well"}))
    one = f"one: {{url: '{url}', read_only: true, cache_seconds: 600}}"
    file = tmp_path / "mcp.yml"
    file.write_text(f"tools: {{{one}}}")
    async with hearing(serve(file), "auto") as (client, heard):
        await client.call_tool("one", {})
        news = heard.news
        file.write_text(f"tools: {{{one}, two: {{url: 'http://h/'}}}}")
        await news.wait()
        assert text_of(await client.call_tool("one", {})) == "well"
    assert len(endpoint.requests) == 1


@pytest.mark.slow  # the hub waits a second between two looks
async def test_a_change_reaches_the_assistant_without_a_restart(
    tmp_path: Path, endpoint: ToolEndpoint
) -> None:
    file = tmp_path / "mcp.yml"
    file.write_text("tools: {}")
    url = endpoint.on("/", answer_json({"result": "well"}))
    model = ScriptedModel(
        [
            Completion(
                text="", tool_calls=[ToolCall("1", "tools__two", {})], stop_reason="tool_use"
            ),
            said("done"),
        ]
    )
    with anyio.fail_after(20):
        async with open_file_store(tmp_path / "store") as store:
            conversations = create_conversations(store, create_operator(OWNER))
            servers = [
                HubServer("conversations", InProcessTarget(conversations), ours=True),
                HubServer("tools", InProcessTarget(serve(file)), ours=True),
            ]
            async with open_hub(servers) as hub:
                await hub.wait_ready(timeout_seconds=10)
                coordinator = Coordinator(hub, model)
                assert "two" not in {tool.tool for tool in hub.tools()}
                file.write_text(f"tools: {{two: {{url: '{url}', read_only: true}}}}")

                async def is_offered() -> bool:
                    return "two" in {tool.tool for tool in hub.tools()}

                await until(is_offered)
                await run_turn(coordinator, ask("Call it."))
                page = await RemoteConversationStore(hub, OWNER).load_conversation("c")
    assert "tools__two" in {tool.name for tool in model.requests[0].tools}
    assert [message.content for message in page.messages if message.role == "tool"] == ["well"]
