"""A whole bot in one process: real PTB, hub, conversation server and files; a scripted model."""

from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from functools import partial
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
from mcp_types import CallToolResult, ReadResourceResult
from pydantic import SecretStr

from agentic.config.bot import BotConfig
from agentic.config.models import Config, ModelsConfig
from bot.pace import Pace
from bot.telegram_bot import run_bot
from client.conversations import RemoteConversationStore
from client.coordinator.coordinator import Coordinator
from client.hub.elicitation import Answerer, Resumption
from client.hub.errors import HubError, ServerUnavailableError
from client.hub.hub import Hub, open_hub
from client.hub.servers import HubServer, HubTool, InProcessTarget, ServerStatus
from client.llm.protocol import Completion, LanguageModel, ModelRequest
from client.llm.scripted import ScriptedModel
from client.spool.folder import SpoolFolder
from client.spool.spool import Spool
from servers.access.people import open_people
from servers.access.principal import create_operator
from servers.conversations.contract import Message
from servers.conversations.file_store import open_file_store
from servers.conversations.server import create_server
from servers.records.sqlite_store import open_sqlite_records

if TYPE_CHECKING:  # bots in processes of their own import this, and have no need of aiogram
    from tests.fakes.telegram.bot_api import FakeBotApi

TOKEN = "7000000001:AAF-test_token_of_thirty_five_char"
ADA, BOB, STRANGER = 42, 43, 99
UNHURRIED = (30, 1.0)
"""Messages in a chat, and seconds: tests need not wait as people have to."""
PEOPLE = {"42": "ada", "43": "bob"}
CHAT = "telegram:42"


class Bench:
    """The hub as the bot meets it, with a hand on the line to the store, and a look behind it."""

    def __init__(self, hub: Hub, directory: Path) -> None:
        self._hub = hub
        self.spool = directory.with_name(f"{directory.name}.spool")
        self.calls: list[str] = []
        self.away = False
        """Every call fails as if the store's server were down."""
        self.lose_answer: Callable[[str, Mapping[str, Any]], bool] = lambda tool, arguments: False
        """Whether the answer to this call never comes, though it took effect. It may raise too."""
        self._changed = anyio.Event()

    def tools(self) -> list[HubTool]:
        return self._hub.tools()

    def status(self) -> list[ServerStatus]:
        return self._hub.status()

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
    ) -> CallToolResult:
        self.calls.append(tool)
        try:
            if self.away:
                raise ServerUnavailableError(server, "away, says the test")
            answer = await self._hub.call_tool(
                server,
                tool,
                arguments,
                owner=owner,
                timeout_seconds=timeout_seconds,
                answerer=answerer,
                resumption=resumption,
            )
            if self.lose_answer(tool, arguments):
                raise HubError(server, "lost, says the test", outcome_unknown=True)
            return answer
        finally:
            self._changed.set()
            self._changed = anyio.Event()

    async def read_resource(
        self,
        server: str,
        uri: str,
        *,
        owner: str | None = None,
        timeout_seconds: float | None = None,
    ) -> ReadResourceResult:
        if self.away:
            raise ServerUnavailableError(server, "away, says the test")
        return await self._hub.read_resource(
            server, uri, owner=owner, timeout_seconds=timeout_seconds
        )

    def store(self, owner: str = "ada") -> RemoteConversationStore:
        """The conversations, whether the bot can reach them or not."""
        return RemoteConversationStore(self._hub, owner)

    def create_spool(self) -> Spool:
        """What a process on this machine has."""
        return Spool(self, SpoolFolder(self.spool), retry_seconds=0)

    async def messages(self, conversation_id: str = CHAT, owner: str = "ada") -> list[Message]:
        page = await self.store(owner).load_conversation(conversation_id, limit=500)
        return page.messages

    async def wait_for_calls(self, *tools: str) -> None:
        """Wait until the bot's calls contain these, in this order."""
        while True:
            calls = iter(self.calls)
            if all(tool in calls for tool in tools):
                return
            await self._changed.wait()

    async def wait_for_states(
        self, *states: str, conversation_id: str = CHAT, owner: str = "ada"
    ) -> list[Message]:
        """Wait until the messages of a conversation have these states of delivery."""
        while True:
            changed = self._changed
            messages = await self.messages(conversation_id, owner)
            if tuple(state_of(message) for message in messages) == states:
                return messages
            await changed.wait()


def state_of(message: Message) -> str:
    """The state of delivery, or nothing."""
    return (message.annotations or {}).get("delivery", {}).get("state", "")


def told(request: ModelRequest) -> list[str]:
    """What the person wrote since the model spoke last."""
    last = takewhile(lambda message: message.role == "user", reversed(request.messages))
    return [message.text() for message in last][::-1]


def echo(request: ModelRequest) -> Completion:
    """A model that repeats what it was told last."""
    return Completion(text=f"you said: {' + '.join(told(request))}")


def create_config(
    api: "FakeBotApi",
    people: Mapping[str, str] = PEOPLE,
    models: ModelsConfig | None = None,
    **settings: Any,
) -> Config:
    """`settings` are those of the section `bot:`."""
    known = {"base_url": api.base_url, "poll_timeout_seconds": 30}
    bot = BotConfig.model_validate({"people": dict(people), **known, **settings})
    return Config(bot=bot, models=models or ModelsConfig())


@asynccontextmanager
async def open_bench(directory: Path, *others: HubServer) -> AsyncGenerator[Bench]:
    """The store and the hub, with servers beside, without a bot."""
    records = partial(open_sqlite_records, directory.with_name(f"{directory.name}.people"))
    async with open_file_store(directory) as store, open_people(records) as people:
        server = create_server(store, create_operator("operator", delegate=True), people)
        target = HubServer(
            "conversations", InProcessTarget(server), ours=True, offer_to_model=False
        )
        async with open_hub([target, *others], can_ask=True) as hub:
            await hub.wait_ready(timeout_seconds=5)
            yield Bench(hub, directory)


@asynccontextmanager
async def run_in_background(
    bench: Bench,
    api: "FakeBotApi",
    model: LanguageModel | None = None,
    *,
    people: Mapping[str, str] = PEOPLE,
    models: ModelsConfig | None = None,
    silence_seconds: float = 120,
    busy_seconds: float = 600,
    more_seconds: float = 600,
    **settings: Any,
) -> AsyncGenerator[None]:
    """The bot runs inside the context. Leaving cancels it: turns stop where they are."""
    spool = bench.create_spool()
    coordinator = Coordinator(bench, model or ScriptedModel(echo), spool=spool)
    config = create_config(api, people, models, **settings)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(spool.run)
        run = partial(
            run_bot,
            pace=Pace(in_chat=UNHURRIED),
            silence_seconds=silence_seconds,
            busy_seconds=busy_seconds,
            more_seconds=more_seconds,
        )
        tasks.start_soon(run, config, bench, coordinator, SecretStr(api.token), spool)
        yield
        tasks.cancel_scope.cancel()
