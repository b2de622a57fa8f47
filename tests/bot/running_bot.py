"""A whole bot in one process: real PTB, hub, conversation server and files; a scripted model."""

from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
from mcp_types import CallToolResult
from pydantic import SecretStr

from agentic.config.models import BotConfig, Config
from bot.telegram_bot import run_bot
from client.conversations import RemoteConversationStore
from client.coordinator.coordinator import Coordinator
from client.hub.errors import HubError, ServerUnavailableError
from client.hub.hub import Hub, open_hub
from client.hub.servers import HubServer, HubTool, InProcessTarget
from client.llm.protocol import Completion, LanguageModel, ModelRequest
from client.llm.scripted import ScriptedModel
from servers.access.principal import create_operator
from servers.conversations.contract import Message
from servers.conversations.file_store import open_file_store
from servers.conversations.server import create_server
from tests.fakes.bot_api import FakeBotApi

TOKEN = "7000000001:AAF-test_token_of_thirty_five_char"  # noqa: S105
ADA, BOB, STRANGER = 42, 43, 99
PEOPLE = {"42": "ada", "43": "bob"}


class Switchboard:
    """The hub, with a hand on the line to the store: away, or losing answers."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self.calls: list[str] = []
        self.away = False
        self.lose_answer: Callable[[str], bool] = lambda tool: False
        self.refused = anyio.Event()
        """A call came while the store was away."""

    def tools(self) -> list[HubTool]:
        return self._hub.tools()

    async def call_tool(
        self,
        server: str,
        tool: str,
        arguments: Mapping[str, Any],
        *,
        owner: str | None = None,
        timeout_seconds: float | None = None,
    ) -> CallToolResult:
        self.calls.append(tool)
        if self.away:
            self.refused.set()
            raise ServerUnavailableError(server, "away, says the test")
        answer = await self._hub.call_tool(
            server, tool, arguments, owner=owner, timeout_seconds=timeout_seconds
        )
        if self.lose_answer(tool):
            raise HubError(server, "the answer was lost", outcome_unknown=True)
        return answer


@dataclass
class Bench:
    """What a test holds: the store behind the bot, and the bot."""

    hub: Switchboard

    async def messages(self, conversation_id: str = "telegram:42", owner: str = "ada") -> list[Message]:
        store = RemoteConversationStore(self.hub, owner)
        return (await store.load_conversation(conversation_id, limit=500)).messages

    async def delivery_states(self, conversation_id: str = "telegram:42", owner: str = "ada") -> list[str]:
        """Of each message, in order."""
        return [
            (message.annotations or {}).get("delivery", {}).get("state", "")
            for message in await self.messages(conversation_id, owner)
        ]


def echo(request: ModelRequest) -> Completion:
    """A model that repeats what it was told last."""
    return Completion(text=f"you said: {request.messages[-1].text()}")


def create_config(api: FakeBotApi, people: Mapping[str, str] = PEOPLE) -> Config:
    return Config(bot=BotConfig(people=dict(people), base_url=api.base_url, poll_timeout_seconds=30))


@asynccontextmanager
async def open_bench(directory: Path) -> AsyncGenerator[Bench]:
    """The store and the hub, without a bot."""
    async with open_file_store(directory) as store:
        server = create_server(store, create_operator("operator", delegate=True))
        target = HubServer(
            "conversations", InProcessTarget(server), ours=True, offer_to_model=False
        )
        async with open_hub([target]) as hub:
            await hub.wait_ready(timeout_seconds=5)
            yield Bench(Switchboard(hub))


@asynccontextmanager
async def run_in_background(
    bench: Bench,
    api: FakeBotApi,
    model: LanguageModel | None = None,
    people: Mapping[str, str] = PEOPLE,
) -> AsyncGenerator[None]:
    """The bot runs inside the context; leaving cancels it, which is as abrupt as a kill."""
    coordinator = Coordinator(bench.hub, model or ScriptedModel(echo))
    config = create_config(api, people)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(run_bot, config, bench.hub, coordinator, SecretStr(api.token))
        yield
        tasks.cancel_scope.cancel()
