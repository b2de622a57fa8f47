"""The largest answers there can be, over HTTP to the official client: it takes 1 MiB an event."""

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
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
from servers.conversations.contract_attachments import MAX_NAME_CHARACTERS, MAX_PART_BYTES
from servers.conversations.contract_uris import AttachmentUri
from servers.conversations.file_store import open_file_store
from servers.conversations.resources import to_uri
from servers.conversations.store import ConversationStore
from servers.conversations.store_values import ConversationUpdate
from tests.servers.connections import call, meta_for
from tests.servers.http_serving import ALL_SCOPES, LIMIT_SECONDS, serving

ATTACHMENT = "a"
MAX_BYTES = 1024 * 1024
ADA = meta_for("ada")
FACTS = {"x": "\x01" * ((MAX_FACTS_BYTES - 32) // 6), "delivery": "pending"}
"""Control characters take six times their size in JSON."""
COUNT = 110
"""Of conversations as large as can be: many more than one page of them holds."""

LARGEST: dict[str, Callable[[str], dict[str, Any]]] = {
    "load_conversation": lambda id_: {"conversation_id": id_, "limit": MAX_LOAD_LIMIT},
    "get_conversation": lambda id_: {"conversation_id": id_},
    "list_conversations": lambda _: {"limit": MAX_LIST_LIMIT},
    "list_deliveries": lambda _: {"state": "pending"},
    "list_owners": lambda _: {},
    "get_stats": lambda _: {},
    "search_conversations": lambda _: {"query": "hello", "limit": 100},
    "export_conversation": lambda id_: {"conversation_id": id_},
    "list_attachments": lambda id_: {"conversation_id": id_},
    "read_attachment": lambda id_: {"uri": AttachmentUri(id_, ATTACHMENT).render()},
    "list_identities": lambda _: {},
}
"""Each tool that reads → how it is asked for the most. Whoever adds one says here how."""
FOR_NOBODY = {"get_stats", "list_identities", "list_owners"}


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
    await store.put_attachment(
        "ada",
        conversation_id,
        b'"' * MAX_PART_BYTES,
        name='"' * MAX_NAME_CHARACTERS,
        mime_type="text/plain",
        attachment_id=ATTACHMENT,
    )


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
async def over_http(home: Path) -> AsyncGenerator[Client]:
    """A client of the older era, who may ask for everything, for the owner it names."""
    async with serving(home) as served:
        token = served.create_token("all", "operator", ALL_SCOPES)
        headers = {"authorization": f"Bearer {token}"}
        async with (
            httpx2.AsyncClient(headers=headers, timeout=LIMIT_SECONDS) as http,
            Client(
                streamable_http_client(served.urls["conversations"], http_client=http),
                mode="legacy",
            ) as client,
        ):
            yield client


def size_of(result: BaseModel) -> int:
    return len(result.model_dump_json(by_alias=True, exclude_none=True).encode())


@pytest.mark.slow  # many megabytes are written and read
async def test_no_answer_is_larger_than_a_client_takes(tmp_path: Path) -> None:
    async with open_file_store(tmp_path / "conversations", durability="interval") as store:
        for number in range(COUNT):
            await fill(store, id_of(number), largest("hello " + "\x01" * 400))
        for conversation_id, content in CONTENTS.items():
            await fill(store, conversation_id, *[largest(content, number) for number in range(3)])
        await fill(store, "many", *[largest("hello", number) for number in range(150)])
    async with over_http(tmp_path) as client:
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}
        reading = {
            name
            for name, tool in tools.items()
            if tool.annotations and tool.annotations.read_only_hint
        }
        assert reading <= LARGEST.keys(), "a new tool that reads: say how it is asked for the most"
        sizes: dict[str, int] = {}
        for name in reading:
            for conversation_id in (id_of(0), "many", *CONTENTS):
                asked = LARGEST[name](conversation_id)
                meta = None if name in FOR_NOBODY else ADA
                result = await client.call_tool(name, asked, meta=meta)
                assert not result.is_error, result.structured_content
                sizes[f"{name} {conversation_id[:10]}"] = size_of(result)
        for conversation_id in (*CONTENTS, "many"):
            uri = to_uri(conversation_id)
            sizes[uri[:24]] = size_of(await client.read_resource(uri, meta=ADA))
            markdown = {"conversation_id": conversation_id, "format": "markdown"}
            exported = await client.call_tool("export_conversation", markdown, meta=ADA)
            sizes[f"markdown {conversation_id[:10]}"] = size_of(exported)
            prompt = await client.get_prompt(
                "continue_conversation", {"conversation_id": conversation_id}, meta=ADA
            )
            sizes[f"prompt {conversation_id[:10]}"] = size_of(prompt)
        sizes["resources"] = size_of(await client.list_resources(meta=ADA))
        sizes["completion"] = size_of(await complete(client))
        too_large = {what: size for what, size in sizes.items() if size >= MAX_BYTES}
        assert not too_large
        assert max(sizes.values()) > MAX_BYTES // 2


async def complete(client: Client) -> CompleteResult:
    request = CompleteRequest(
        params=CompleteRequestParams(
            ref=ResourceTemplateReference(uri="conversation://{conversation_id}"),
            argument=CompletionArgument(name="conversation_id", value=""),
            _meta=ADA,
        )
    )
    return await client.session.send_request(request, CompleteResult)


async def test_the_ids_of_a_batch_fit_into_its_answer(tmp_path: Path) -> None:
    async with over_http(tmp_path) as client:
        messages = [
            largest("x", number).model_dump(include={"message_id", "role", "content"})
            for number in range(1_000)
        ]
        result = await call(
            client, "append_messages", acting_for="ada", conversation_id="c", messages=messages
        )
        assert len(result["message_ids"]) == 1_000
