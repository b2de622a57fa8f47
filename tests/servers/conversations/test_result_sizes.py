"""The largest answers there can be, over HTTP to the official client: it takes 1 MiB an event."""

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from mcp import Client
from mcp.types import (
    CompleteRequest,
    CompleteRequestParams,
    CompleteResult,
    CompletionArgument,
    ResourceTemplateReference,
)
from pydantic import BaseModel

from servers.conversations.contract import (
    MAX_FACTS_BYTES,
    MAX_LIST_LIMIT,
    MAX_LOAD_LIMIT,
    MAX_MESSAGE_ID_CHARACTERS,
    MAX_TAG_CHARACTERS,
    MAX_TAGS,
    MAX_TITLE_CHARACTERS,
    Message,
)
from servers.conversations.file_store import open_file_store
from servers.conversations.resources import to_uri
from servers.conversations.store import ConversationStore, ConversationUpdate
from tests.servers.connections import Connections, call

MAX_BYTES = 1024 * 1024
FACTS = {"x": "\x01" * ((MAX_FACTS_BYTES - 32) // 6), "delivery": "pending"}
"""Control characters take six times their size in JSON."""
COUNT = 60
"""Of conversations as large as can be: many more than one page of them holds."""

LARGEST: dict[str, Callable[[str], dict[str, Any]]] = {
    "load_conversation": lambda id_: {"conversation_id": id_, "limit": MAX_LOAD_LIMIT},
    "get_conversation": lambda id_: {"conversation_id": id_},
    "list_conversations": lambda _: {"limit": MAX_LIST_LIMIT},
    "list_deliveries": lambda _: {"state": "pending"},
}
"""Each tool that reads → how it is asked for the most. Whoever adds one says here how."""
SUCH_AS_HAVE_A_TEST_OF_THEIR_OWN = {"list_deliveries"}
"""Needs a delegate, which only stdio starts without a token."""


def id_of(number: int) -> str:
    return f"{number}:".ljust(1_024, "\x01")


def tag_of(number: int) -> str:
    return f"{number}:".ljust(MAX_TAG_CHARACTERS, "🙂")


async def fill(store: ConversationStore, conversation_id: str, *messages: Message) -> None:
    await store.append_messages("ada", conversation_id, messages)
    update = ConversationUpdate(
        title='"' * MAX_TITLE_CHARACTERS,
        metadata=FACTS,
        tags=[tag_of(number) for number in range(MAX_TAGS)],
    )
    await store.update_conversation("ada", conversation_id, update)


def largest(content: str | list[dict[str, Any]], number: int = 0) -> Message:
    message_id = f"{number}:".ljust(MAX_MESSAGE_ID_CHARACTERS, "🙂")
    return Message(message_id=message_id, role="user", content=content, annotations=FACTS)


CONTENTS: dict[str, str | list[dict[str, Any]]] = {
    "controls": "\x01" * 87_000,
    "quotes": '"' * 174_000,
    "lines": "\n" * 262_000,
    "emoji": "🙂" * 131_000,
    "calls".ljust(1_024, " "): [
        {"type": "tool_use", "id": "i", "name": "n", "input": {"x": '"' * 262_000}}
    ],
}
"""Much in a message, or in its transcript: there a quote in a tool's argument takes four bytes."""


@asynccontextmanager
async def over_http(directory: Path) -> AsyncGenerator[Client]:
    async with Connections(directory, "http", "legacy").connect() as client:
        yield client


def size_of(result: BaseModel) -> int:
    return len(result.model_dump_json(by_alias=True, exclude_none=True).encode())


async def test_no_answer_is_larger_than_a_client_takes(tmp_path: Path) -> None:
    directory = tmp_path / "conversations"
    async with open_file_store(directory, durability="interval") as store:
        for number in range(COUNT):
            await fill(store, id_of(number), largest("hello"))
        for conversation_id, content in CONTENTS.items():
            await fill(store, conversation_id, *[largest(content, number) for number in range(3)])
        await fill(store, "many", *[largest("hello", number) for number in range(150)])
    async with over_http(directory) as client:
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}
        reading = {
            name
            for name, tool in tools.items()
            if tool.annotations and tool.annotations.read_only_hint
        }
        assert reading == LARGEST.keys(), "a new tool that reads: say how it is asked for the most"
        sizes: dict[str, int] = {}
        for name in reading - SUCH_AS_HAVE_A_TEST_OF_THEIR_OWN:
            for conversation_id in (id_of(0), "many", *CONTENTS):
                result = await client.call_tool(name, LARGEST[name](conversation_id))
                assert not result.is_error, result.structured_content
                sizes[f"{name} {conversation_id[:10]}"] = size_of(result)
        for conversation_id in (*CONTENTS, "many"):
            uri = to_uri(conversation_id)
            sizes[uri[:24]] = size_of(await client.read_resource(uri))
            prompt = await client.get_prompt(
                "continue_conversation", {"conversation_id": conversation_id}
            )
            sizes[f"prompt {conversation_id[:10]}"] = size_of(prompt)
        sizes["resources"] = size_of(await client.list_resources())
        sizes["completion"] = size_of(await complete(client))
        too_large = {what: size for what, size in sizes.items() if size >= MAX_BYTES}
        assert not too_large
        assert max(sizes.values()) > MAX_BYTES // 2


async def complete(client: Client) -> CompleteResult:
    request = CompleteRequest(
        params=CompleteRequestParams(
            ref=ResourceTemplateReference(uri="conversation://{conversation_id}"),
            argument=CompletionArgument(name="conversation_id", value=""),
        )
    )
    return await client.session.send_request(request, CompleteResult)


async def test_the_ids_of_a_batch_fit_into_its_answer(tmp_path: Path) -> None:
    async with over_http(tmp_path / "conversations") as client:
        messages = [
            largest("x", number).model_dump(include={"message_id", "role", "content"})
            for number in range(1_000)
        ]
        result = await call(client, "append_messages", conversation_id="c", messages=messages)
        assert len(result["message_ids"]) == 1_000
