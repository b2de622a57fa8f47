"""The conversation server over every transport and in both protocol eras."""

import json
import re
from typing import Any, cast

import pytest
from mcp.shared.exceptions import MCPError
from mcp.types import ResourceTemplateReference, TextContent, TextResourceContents

from servers.access.contract import (
    ClaimResult,
    IdentitiesResult,
    PairingResult,
    RemoveIdentityResult,
)
from servers.conversations.contract import Conversation
from servers.conversations.contract_results import (
    AnnotateResult,
    AppendResult,
    AttachmentsResult,
    AttachmentTextResult,
    ConversationWithStats,
    DeleteResult,
    DeliveriesResult,
    ExportResult,
    ImportResult,
    ListResult,
    LoadResult,
    OwnersResult,
    PutAttachmentResult,
    SaveResult,
    SearchResult,
    StoreStats,
)
from tests.servers.connections import Connections, call, fail

RESULTS = {
    "load_conversation": LoadResult,
    "append_messages": AppendResult,
    "save_conversation": SaveResult,
    "annotate_message": AnnotateResult,
    "delete_conversation": DeleteResult,
    "list_conversations": ListResult,
    "get_conversation": ConversationWithStats,
    "update_conversation": Conversation,
    "list_deliveries": DeliveriesResult,
    "list_owners": OwnersResult,
    "get_stats": StoreStats,
    "fork_conversation": Conversation,
    "merge_conversations": Conversation,
    "export_conversation": ExportResult,
    "import_conversation": ImportResult,
    "put_attachment": PutAttachmentResult,
    "list_attachments": AttachmentsResult,
    "read_attachment": AttachmentTextResult,
    "search_conversations": SearchResult,
    "open_pairing": PairingResult,
    "claim_pairing": ClaimResult,
    "list_identities": IdentitiesResult,
    "remove_identity": RemoveIdentityResult,
}


def user(message_id: str, content: str = "hello") -> dict[str, Any]:
    return {"message_id": message_id, "role": "user", "content": content}


async def test_a_conversation_is_kept_through_all_verbs(connections: Connections) -> None:
    async with connections.connect() as client:
        question = user("q", "2 + 2?") | {"created_at": "2026-01-31T10:30:00+01:00"}
        answer = {
            "message_id": "q/1",
            "role": "assistant",
            "content": [{"type": "text", "text": "4"}, {"type": "of the future", "x": None}],
            "metadata": {"usage": None},
        }
        made = await call(
            client, "append_messages", conversation_id="../é", messages=[question, answer]
        )
        assert made["message_ids"] == ["q", "q/1"]
        assert (made["appended"], made["repeated"]) == (2, 0)
        again = await call(client, "append_messages", conversation_id="../é", messages=[question])
        assert again == made | {"message_ids": ["q"], "appended": 0, "repeated": 1}

        loaded = await call(client, "load_conversation", conversation_id="../é")
        assert loaded.keys() == LoadResult.model_fields.keys()
        first, second = loaded["messages"]
        assert first == question | {"created_at": "2026-01-31T09:30:00.000000Z"}
        assert second == answer | {"created_at": second["created_at"]}

        delivery = {"delivery": {"state": "sent"}}
        annotated = await call(
            client,
            "annotate_message",
            conversation_id="../é",
            message_id="q/1",
            annotations=delivery,
        )
        assert annotated == {"message_id": "q/1", "annotations": delivery}
        renamed = await call(
            client, "update_conversation", conversation_id="../é", title="Sums", tags=["a"]
        )
        assert renamed.keys() == Conversation.model_fields.keys()
        assert (renamed["title"], renamed["tags"]) == ("Sums", ["a"])
        cleared = await call(client, "update_conversation", conversation_id="../é", title=None)
        assert (cleared["title"], cleared["tags"]) == (None, ["a"])
        facts = await call(client, "get_conversation", conversation_id="../é")
        assert facts.keys() == ConversationWithStats.model_fields.keys()
        assert facts["stats"]["messages_by_role"] == {"user": 1, "assistant": 1}
        listed = await call(client, "list_conversations", tag="a")
        assert [one["conversation_id"] for one in listed["conversations"]] == ["../é"]

        saved = await call(
            client,
            "save_conversation",
            conversation_id="../é",
            messages=[question],
            expected_version=facts["version"],
        )
        assert (saved["message_count"], saved["removed"]) == (1, 1)
        assert await call(client, "delete_conversation", conversation_id="../é") == {
            "deleted": True
        }
        gone = await call(client, "load_conversation", conversation_id="../é")
        assert gone == {
            "conversation_id": "../é",
            "messages": [],
            "next_cursor": None,
            "version": 0,
            "damaged": 0,
        }


async def test_every_tool_says_what_it_takes_gives_and_does(connections: Connections) -> None:
    async with connections.connect() as client:
        assert client.server_info is not None
        assert client.server_info.name == "agentic-conversations"
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}
        assert tools.keys() == RESULTS.keys()
        for name, tool in tools.items():
            assert tool.title
            assert tool.description
            assert 1 <= tool.description.count(". ") + 1 <= 3  # sentences
            assert tool.annotations is not None
            assert tool.annotations.open_world_hint is False
            assert tool.annotations.read_only_hint == name.startswith(
                ("load", "list", "get", "export", "search", "read")
            )
            assert tool.input_schema["additionalProperties"] is False
            assert all("description" in each for each in _properties(tool.input_schema))
            assert not re.search(r'"(ge|gt|le|lt)":', json.dumps(tool.input_schema))
            assert tool.output_schema == RESULTS[name].model_json_schema()
        assert tools["load_conversation"].input_schema["required"] == ["conversation_id"]
        limit = tools["load_conversation"].input_schema["properties"]["limit"]
        assert (limit["default"], limit["minimum"], limit["maximum"]) == (50, 1, 500)
        update = tools["update_conversation"].input_schema["properties"]
        assert not any("default" in each for each in update.values())


def _properties(schema: dict[str, Any]) -> list[dict[str, Any]]:
    return list(cast("dict[str, dict[str, Any]]", schema["properties"]).values())


async def test_a_large_page_is_delivered(connections: Connections) -> None:
    async with connections.connect() as client:
        large = user("large", "é" * 250_000)
        await call(
            client,
            "append_messages",
            conversation_id="c",
            messages=[user("a", "a" * 40_000), large],
        )
        result = await client.call_tool("load_conversation", {"conversation_id": "c", "limit": 500})
        page = cast("dict[str, Any]", result.structured_content)
        assert [message["message_id"] for message in page["messages"]] == ["large"]
        [block] = result.content
        assert isinstance(block, TextContent)
        assert "messages: 1" in block.text
        assert len(result.model_dump_json(by_alias=True).encode()) < 700 * 1024
        older = await call(
            client, "load_conversation", conversation_id="c", before=page["next_cursor"]
        )
        assert [message["message_id"] for message in older["messages"]] == ["a"]


@pytest.mark.parametrize("size", [600_000, 2_000_000])
async def test_a_message_that_is_too_large_is_refused_by_name(
    connections: Connections, size: int
) -> None:
    async with connections.connect() as client:
        error = await fail(
            client,
            "append_messages",
            conversation_id="c",
            messages=[user("a"), user("b", "x" * size)],
        )
        assert (error["code"], error["field"]) == ("too_large", "messages[1]")
        assert (await call(client, "load_conversation", conversation_id="c"))["version"] == 0


async def test_a_transcript_is_read_and_an_unknown_one_is_not_found(
    connections: Connections,
) -> None:
    async with connections.connect() as client:
        await call(client, "append_messages", conversation_id="../x", messages=[user("a", "hi!")])
        [resource] = (await client.list_resources()).resources
        assert resource.uri == "conversation://..%2Fx"
        for uri in (resource.uri, "conversation://%2e%2e%2fx"):
            [contents] = (await client.read_resource(uri)).contents
            assert isinstance(contents, TextResourceContents)
            assert (contents.uri, contents.mime_type) == (uri, "text/markdown")
            assert "\n    hi!\n" in contents.text
        with pytest.raises(MCPError) as raised:
            await client.read_resource("conversation://x")
        assert raised.value.code == -32602
        reference = ResourceTemplateReference(uri="conversation://{conversation_id}")
        done = await client.complete(reference, {"name": "conversation_id", "value": "../"})
        assert done.completion.values == ["../x"]
        prompt = await client.get_prompt("continue_conversation", {"conversation_id": "../x"})
        assert isinstance(prompt.messages[0].content, TextContent)
        assert "\n    hi!\n" in prompt.messages[0].content.text
