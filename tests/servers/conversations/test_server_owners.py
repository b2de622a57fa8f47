"""Who may do what: owners are confined, delegates name one, scopes are needed."""

from typing import Any, cast

import pytest
from mcp import Client
from mcp.shared.exceptions import MCPError
from mcp.types import (
    CompleteRequest,
    CompleteRequestParams,
    CompleteResult,
    CompletionArgument,
    ResourceTemplateReference,
)

from servers.access.contract import (
    OWNER_META_KEY,
    SCOPE_CONVERSATIONS_READ,
    SCOPE_CONVERSATIONS_WRITE,
    SCOPE_DELEGATE,
)
from servers.access.principal import Principal
from tests.servers.connections import Connections, call, fail, meta_for

HELLO: list[dict[str, Any]] = [{"message_id": "m", "role": "user", "content": "hello"}]
CALLS: dict[str, dict[str, Any]] = {
    "load_conversation": {"conversation_id": "c"},
    "append_messages": {"conversation_id": "c", "messages": HELLO},
    "save_conversation": {"conversation_id": "c", "messages": HELLO},
    "annotate_message": {"conversation_id": "c", "message_id": "m", "annotations": {}},
    "delete_conversation": {"conversation_id": "c"},
    "list_conversations": {},
    "search_conversations": {"query": "hello"},
    "get_conversation": {"conversation_id": "c"},
    "update_conversation": {"conversation_id": "c", "title": "t"},
    "fork_conversation": {"conversation_id": "c", "new_conversation_id": "d"},
    "merge_conversations": {"source_ids": ["c"], "into": "c"},
    "export_conversation": {"conversation_id": "c"},
    "list_attachments": {"conversation_id": "c"},
    "read_attachment": {"uri": "conversation://c/attachments/a"},
    "import_conversation": {
        "document": {
            "format": "agentic-conversation/1",
            "conversation": {"conversation_id": "c"},
            "messages": HELLO,
        }
    },
    "put_attachment": {
        "conversation_id": "c",
        "attachment_id": "a",
        "name": "n",
        "mime_type": "text/plain",
        "data": "YQ==",
    },
}
CREATING = {"append_messages", "save_conversation", "import_conversation", "put_attachment"}
WRITING = {
    *CREATING,
    "annotate_message",
    "delete_conversation",
    "fork_conversation",
    "merge_conversations",
    "update_conversation",
}


async def complete(client: Client, owner: str | None) -> list[str]:
    request = CompleteRequest(
        params=CompleteRequestParams(
            ref=ResourceTemplateReference(uri="conversation://{conversation_id}"),
            argument=CompletionArgument(name="conversation_id", value=""),
            _meta=meta_for(owner),
        )
    )
    return (await client.session.send_request(request, CompleteResult)).completion.values


@pytest.fixture(params=["memory", "stdio"])
def delegating(request: pytest.FixtureRequest, in_memory: Connections) -> Connections:
    """What can be started for a delegate, in both eras."""
    return Connections(in_memory.directory, request.param, in_memory.era)


async def test_a_delegate_acts_for_the_owner_it_names_and_meets_no_other(
    delegating: Connections,
) -> None:
    async with delegating.connect(delegate=True) as client:
        for owner in ("ada", "bob"):
            await call(client, "append_messages", acting_for=owner, **CALLS["append_messages"])
        for owner in ("ada", "bob"):
            [listed] = (await call(client, "list_conversations", acting_for=owner))["conversations"]
            assert (listed["owner"], listed["conversation_id"]) == (owner, "c")
            [resource] = (await client.list_resources(meta=meta_for(owner))).resources
            await client.read_resource(resource.uri, meta=meta_for(owner))
            await client.get_prompt(
                "summarize_conversation", {"conversation_id": "c"}, meta=meta_for(owner)
            )
            assert await complete(client, owner) == ["c"]
        await call(client, "delete_conversation", acting_for="bob", conversation_id="c")
        kept = await call(client, "load_conversation", acting_for="ada", conversation_id="c")
        assert [message["content"] for message in kept["messages"]] == ["hello"]


@pytest.mark.parametrize("tool", CALLS)
async def test_a_delegate_that_names_no_owner_is_refused_by_every_tool(
    in_memory: Connections, tool: str
) -> None:
    async with in_memory.connect(delegate=True) as client:
        error = await fail(client, tool, **CALLS[tool])
        assert error["code"] == "forbidden"
        assert OWNER_META_KEY in error["message"]
        for owner in ("", "a\nb", "x" * 257):
            error = await fail(client, tool, acting_for=owner, **CALLS[tool])
            assert error["code"] == "forbidden"


async def test_a_delegate_that_names_no_owner_is_refused_everywhere_else(
    in_memory: Connections,
) -> None:
    async with in_memory.connect(delegate=True) as client:
        for attempt in (
            lambda: client.list_resources(),
            lambda: client.read_resource("conversation://c"),
            lambda: client.get_prompt("summarize_conversation", {"conversation_id": "c"}),
            lambda: complete(client, None),
        ):
            with pytest.raises(MCPError, match=OWNER_META_KEY) as raised:
                await attempt()
            assert cast("dict[str, Any]", raised.value.data)["error"]["code"] == "forbidden"
        assert (await client.list_tools()).tools
        assert (await client.list_prompts()).prompts


async def test_nobody_but_a_delegate_acts_for_another(connections: Connections) -> None:
    async with connections.connect() as client:
        for tool, arguments in CALLS.items():
            assert (await fail(client, tool, acting_for="bob", **arguments))["code"] == "forbidden"
        for attempt in (
            lambda: client.list_resources(meta=meta_for("bob")),
            lambda: client.read_resource("conversation://c", meta=meta_for("bob")),
            lambda: client.get_prompt(
                "continue_conversation", {"conversation_id": "c"}, meta=meta_for("bob")
            ),
            lambda: complete(client, "bob"),
        ):
            with pytest.raises(MCPError, match="delegate"):
                await attempt()
        assert (await fail(client, "list_deliveries", state="pending"))["code"] == "forbidden"
        assert (await fail(client, "list_owners"))["code"] == "forbidden"
        await call(client, "append_messages", acting_for="ada", **CALLS["append_messages"])
        assert await complete(client, None) == ["c"]


async def test_anothers_conversation_and_an_unknown_one_give_the_same_answers(
    in_memory: Connections,
) -> None:
    async with in_memory.connect(delegate=True) as client:
        await call(client, "append_messages", acting_for="ada", **CALLS["append_messages"])
        await call(client, "put_attachment", acting_for="ada", **CALLS["put_attachment"])

        async def everything(owner: str) -> list[str]:
            answers: list[str] = []
            for tool in CALLS.keys() - CREATING:
                result = await client.call_tool(tool, CALLS[tool], meta=meta_for(owner))
                answers.append(result.model_dump_json())
            for attempt in (
                lambda: client.read_resource("conversation://c", meta=meta_for(owner)),
                lambda: client.read_resource(
                    "conversation://c/attachments/a", meta=meta_for(owner)
                ),
                lambda: client.get_prompt(
                    "continue_conversation", {"conversation_id": "c"}, meta=meta_for(owner)
                ),
            ):
                with pytest.raises(MCPError) as raised:
                    await attempt()
                answers.append(raised.value.error.model_dump_json())
            return [*answers, *await complete(client, owner)]

        others = await everything("bob")
        await call(client, "delete_conversation", acting_for="ada", conversation_id="c")
        assert others == await everything("bob")


async def test_deliveries_are_those_of_all_owners_or_of_the_one_named(
    in_memory: Connections,
) -> None:
    async with in_memory.connect(delegate=True) as client:
        for owner in ("ada", "bob"):
            waiting = HELLO[0] | {"annotations": {"delivery": {"state": "pending"}}}
            await call(
                client, "append_messages", acting_for=owner, conversation_id="c", messages=[waiting]
            )
        everybody = await call(client, "list_deliveries", state="pending")
        assert [each["owner"] for each in everybody["deliveries"]] == ["ada", "bob"]
        assert everybody["deliveries"][0] == {
            "owner": "ada",
            "conversation_id": "c",
            "message_id": "m",
            "state": "pending",
            "annotations": {"delivery": {"state": "pending"}},
        }
        one = await call(client, "list_deliveries", acting_for="bob", state="pending")
        assert [each["owner"] for each in one["deliveries"]] == ["bob"]
        assert (await call(client, "list_deliveries", state="sent"))["deliveries"] == []


async def test_a_delegate_learns_who_has_conversations(in_memory: Connections) -> None:
    async with in_memory.connect(delegate=True) as client:
        assert await call(client, "list_owners") == {"owners": [], "next_cursor": None}
        for owner in ("bob", "ada"):
            await call(client, "append_messages", acting_for=owner, **CALLS["append_messages"])
        listed = await call(client, "list_owners")
        assert sorted(listed["owners"]) == ["ada", "bob"]
        assert (await fail(client, "list_owners", cursor="x"))["field"] == "cursor"


@pytest.mark.parametrize("tool", ["list_owners", "get_stats"])
async def test_a_call_for_one_owner_learns_nothing_of_all(
    in_memory: Connections, tool: str
) -> None:
    async with in_memory.connect(delegate=True) as client:
        await call(client, "append_messages", acting_for="bob", **CALLS["append_messages"])
        error = await fail(client, tool, acting_for="ada")

    assert error["code"] == "forbidden"
    assert "must not name an owner" in error["message"]


async def test_each_verb_needs_its_scope(in_memory: Connections) -> None:
    reader = Principal("reader", "ada", frozenset({SCOPE_CONVERSATIONS_READ}))
    writer = Principal("writer", "ada", frozenset({SCOPE_CONVERSATIONS_WRITE}))
    delegate = Principal("delegate", "ada", frozenset({SCOPE_DELEGATE}))
    for principal, allowed in ((reader, CALLS.keys() - WRITING), (writer, WRITING)):
        async with in_memory.connect(principal) as client:
            for tool, arguments in CALLS.items():
                result = await client.call_tool(tool, arguments)
                error = cast("dict[str, Any]", result.structured_content).get("error", {})
                assert (error.get("code") == "forbidden") == (tool not in allowed), tool
    for principal in (writer, delegate):
        async with in_memory.connect(principal) as client:
            with pytest.raises(MCPError, match=SCOPE_CONVERSATIONS_READ):
                await client.list_resources(meta=meta_for("ada"))
            with pytest.raises(MCPError, match=SCOPE_CONVERSATIONS_READ):
                await client.get_prompt(
                    "continue_conversation", {"conversation_id": "c"}, meta=meta_for("ada")
                )
