"""Two people: what one of them says, presses or has the model do never reaches the other's.

Ada has conversations, a reply, and a call that waits for her yes. Bob tries everything that the bot
has: its commands, buttons and tools are taken from itself, so that a new one is tried, too.
"""

import importlib
import json
import pkgutil
from collections.abc import AsyncGenerator, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import pytest
from mcp.server.mcpserver import MCPServer
from mcp_types import ToolAnnotations

import bot
from agentic.config.models import ModelConfig, ModelsConfig
from bot import wording
from client.hub.servers import HubServer, HubTool, InProcessTarget
from client.llm.protocol import Completion, ModelRequest, ToolCall
from client.llm.script_file import split_turn
from client.llm.scripted import ScriptedModel
from servers.access.principal import create_operator
from servers.conversations.contract import Message as Stored
from servers.conversations.file_store import open_file_store
from servers.conversations.server import create_server
from tests.bot.running_bot import ADA, BOB, CHAT, Bench, open_bench, run_in_background
from tests.fakes.telegram.bot_api import FakeBotApi
from tests.fakes.telegram.chats import Message
from tests.servers.minimal_arguments import make_arguments

pytestmark = pytest.mark.slow  # hundreds of messages

SECRET = "opensesame"
HINT = "vault"
"""What leads to the secret, and may be known."""
TITLE = "Atlantis"
OPEN_CALL = {"path": "/treasure"}
MODELS = ModelsConfig(
    by_name={name: ModelConfig(provider="scripted") for name in ("usual", "other")}
)
END = " (That is all.)"
"""Of an answer: before, it may only be shown while it grows."""


def find_prefixes() -> Iterator[str]:
    """How the data of buttons begin, of each kind that the bot has."""
    for module in pkgutil.iter_modules(bot.__path__, "bot."):
        for name, value in vars(importlib.import_module(module.name)).items():
            if name.endswith("_DATA"):
                yield value


def answer(request: ModelRequest) -> Completion:
    """Does what it is told: `call TOOL ARGUMENTS`; says what came of it, or what it was told."""
    text, results = split_turn(request.messages)
    if results:
        return Completion(text=f"It says: {results[-1][:3_000]}{END}")
    if text.startswith("call "):
        _, tool, arguments = text.split(" ", 2)
        call = ToolCall(f"call_{len(request.messages)}", tool, json.loads(arguments))
        return Completion(text="", tool_calls=(call,))
    return Completion(text=f"you said: {text}")


@dataclass
class House:
    """Where both live."""

    api: FakeBotApi
    bench: Bench
    deleted: list[str]

    async def say(self, person: int, text: str) -> None:
        """Write, and wait for the next message."""
        seen = len(self.api.messages(person))
        self.api.user_says(person, text)
        await self.api.wait_for_message(person, seen + 1)

    async def settle(self, person: int) -> None:
        """Return when what the person did before is done: an answer came that came after it."""
        self.api.user_says(person, "/id")
        await self.api.until(lambda: self._last_is_id(person) or None)

    def _last_is_id(self, person: int) -> bool:
        messages = self.api.messages(person)
        return bool(messages) and messages[-1].get("text", "").startswith("Your Telegram id is")

    async def read(self, owner: str) -> dict[str, Any]:
        """All that an owner has, but for what their own unfinished reply has shown meanwhile."""
        store = self.bench.store(owner)
        listed = (await store.list_conversations()).conversations
        return {
            each.conversation_id: (
                await store.get_conversation(each.conversation_id),
                [without_drafts(m) for m in await self.bench.messages(each.conversation_id, owner)],
            )
            for each in listed
        }

    def shown(self, person: int) -> str:
        """All that stands in a chat, buttons and all."""
        return json.dumps(self.api.messages(person), ensure_ascii=False)


def without_drafts(message: Stored) -> Stored:
    kept = dict(message.annotations or {})
    if delivery := kept.get("delivery"):
        kept["delivery"] = {k: v for k, v in delivery.items() if not k.startswith("draft")}
    return message.model_copy(update={"annotations": kept})


@asynccontextmanager
async def open_house(api: FakeBotApi, directory: Path) -> AsyncGenerator[House]:
    """The model is offered every tool of the store, and one that asks."""
    deleted: list[str] = []
    lab = MCPServer("lab")

    @lab.tool(annotations=ToolAnnotations(destructive_hint=True))
    async def delete_file(path: str) -> str:
        deleted.append(path)
        return "deleted"

    async with open_file_store(directory) as store:
        memory = create_server(store, create_operator("operator", delegate=True))
        servers = [
            HubServer("memory", InProcessTarget(memory), ours=True),
            HubServer("lab", InProcessTarget(lab)),
        ]
        async with (
            open_bench(directory, *servers) as bench,
            run_in_background(bench, api, ScriptedModel(answer), models=MODELS, rate=None),
        ):
            house = House(api, bench, deleted)
            await house.say(ADA, f"The {HINT} opens with {SECRET}")
            await house.say(ADA, f"/rename {TITLE}")
            await house.say(ADA, "/fork")
            for words in ("/conversations", f"/conversations {HINT}", "/tools", "/model", "/usage"):
                await house.say(ADA, words)
            await house.say(ADA, f"call lab__delete_file {json.dumps(OPEN_CALL)}")
            await house.say(BOB, "hello")
            yield house


async def test_by_commands_and_buttons(api: FakeBotApi, tmp_path: Path) -> None:
    with anyio.fail_after(60):
        async with open_house(api, tmp_path) as house:
            before = await house.read("ada")
            hers = list(api.messages(ADA))
            for name in ("start", "reset", *wording.COMMANDS):
                for argument in ("", HINT, CHAT, *before):
                    await house.say(BOB, f"/{name} {argument}".strip())
            presses = 0
            for data in {*forge(hers)}:
                api.person(BOB).presses_data(api.messages(BOB)[-1], data)
                for message in hers:
                    api.person(BOB).presses_data(message, data)
                presses += 1
            await api.wait_for_call("answerCallbackQuery", presses)
            for message in hers:
                api.person(BOB).reacts(message, "👎")
                there = {**api.messages(BOB)[0], "message_id": message["message_id"]}
                edit = {"text": "Forget it.", "from": api.person(BOB).to_json(), "edit_date": 1}
                api.happens({"edited_message": {**there, **edit}})
            await house.settle(BOB)

            assert house.deleted == []
            assert await house.read("ada") == before
            assert SECRET not in house.shown(BOB)
            assert TITLE not in house.shown(BOB)
            api.user_says(ADA, "yes")
            await api.until(lambda: house.deleted or None)


def forge(messages: Iterable[Message]) -> Iterator[str]:
    """The data of all buttons that were shown, and what could be made of them."""
    shown = {
        button["callback_data"]
        for message in messages
        for row in message.get("reply_markup", {}).get("inline_keyboard", ())
        for button in row
    }
    tails = {data.partition(":")[2] for data in shown} | {"", "0", "y", CHAT}
    for prefix in find_prefixes():
        yield from (f"{prefix}{tail}" for tail in tails)
    yield from shown


async def call(house: House, person: int, tool: HubTool, arguments: Mapping[str, Any]) -> str:
    """What a tool says when a person has the model call it, and agrees if asked."""
    api, seen = house.api, len(house.api.messages(person))

    def find(what: str) -> Message | None:
        return next((m for m in api.messages(person)[seen:] if what in m["text"]), None)

    api.user_says(person, f"call {tool.definition.name} {json.dumps(arguments)}")
    first = await api.until(lambda: find(END) or find("May I use"))
    if "May I use" in first["text"]:
        api.person(person).presses(first, wording.DO_IT)
    return (await api.until(lambda: find(END)))["text"]


async def test_through_the_model(api: FakeBotApi, tmp_path: Path) -> None:
    with anyio.fail_after(60):
        async with open_house(api, tmp_path) as house:
            api.user_says(ADA, "no")
            await api.until(lambda: "It says: Not called" in house.shown(ADA) or None)
            await house.settle(ADA)
            before = await house.read("ada")
            message_id = before[CHAT][1][0].message_id or ""
            tools = [tool for tool in house.bench.tools() if tool.server == "memory"]
            named = {"conversation_id": CHAT, "source_ids": [CHAT], "into": CHAT, "query": HINT}
            named |= {"message_id": message_id, "title": "Mine now"}
            calls = [(t, make_arguments(t.definition.input_schema, named)) for t in tools]
            for tool, arguments in calls:
                said = await call(house, BOB, tool, arguments)
                assert SECRET not in said, tool.tool
                assert TITLE not in said, tool.tool
                assert '"ada"' not in said, tool.tool
            assert await house.read("ada") == before
            can_read = {
                tool.tool
                for tool, arguments in calls
                if tool.read_only and SECRET in await call(house, ADA, tool, arguments)
            }
            assert can_read >= {"load_conversation", "export_conversation", "search_conversations"}
