"""What the tools refuse, and how they say it."""

import json
from typing import Any, cast

import pytest
from mcp.shared.exceptions import MCPError

from tests.servers.connections import Connections, call, fail

ID_TOOLS: dict[str, dict[str, Any]] = {
    "load_conversation": {},
    "append_messages": {"messages": []},
    "save_conversation": {"messages": []},
    "annotate_message": {"message_id": "m", "annotations": {}},
    "delete_conversation": {},
    "get_conversation": {},
    "update_conversation": {"title": "t"},
    "export_conversation": {},
    "fork_conversation": {},
}
SHARED: dict[str, Any] = {"conversation_id": "c"}


def message(**fields: object) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": "fine"}, {"role": "user", **fields}]}


def nested(levels: int) -> dict[str, Any]:
    facts: dict[str, Any] = {}
    for _ in range(levels):
        facts = {"deeper": facts}
    return facts


@pytest.mark.parametrize("tool", ID_TOOLS)
@pytest.mark.parametrize(
    "conversation_id", ["", "x" * 1_025, "x" * 2_000, "é" * 513, "a\0b", "\ud800", 5, None, ["c"]]
)
async def test_what_cannot_be_an_id_is_invalid(
    in_memory: Connections, tool: str, conversation_id: Any
) -> None:
    async with in_memory.connect() as client:
        arguments = ID_TOOLS[tool] | {"conversation_id": conversation_id}
        error = await fail(client, tool, **arguments)
        assert (error["code"], error["field"]) == ("invalid", "conversation_id")


@pytest.mark.parametrize(
    "conversation_id",
    ["👩‍👩‍👧", "../../etc/passwd", "x" * 1_024, "é" * 512, " ", "\n\x1b[31m", "A"],
)
async def test_any_text_of_up_to_1024_bytes_is_an_id_of_its_own(
    in_memory: Connections, conversation_id: str
) -> None:
    async with in_memory.connect() as client:
        await call(client, "append_messages", conversation_id="a", **message(content="other"))
        await call(
            client, "append_messages", conversation_id=conversation_id, **message(content="this")
        )
        loaded = await call(client, "load_conversation", conversation_id=conversation_id)
        assert loaded["conversation_id"] == conversation_id
        assert [each["content"] for each in loaded["messages"]] == ["fine", "this"]


@pytest.mark.parametrize("where", ["arguments", "message", "metadata"])
async def test_names_by_the_thousand_are_refused_before_each_is_looked_at(
    in_memory: Connections, where: str
) -> None:
    """Else the server would do nothing else for seconds."""
    many: dict[str, Any] = {f"k{number}": 1 for number in range(100_001)}
    asked: dict[str, tuple[str, dict[str, Any]]] = {
        "arguments": ("list_conversations", many),
        "message": ("append_messages", SHARED | message(content="x", **many)),
        "metadata": ("update_conversation", SHARED | {"metadata": many}),
    }
    tool, arguments = asked[where]
    async with in_memory.connect() as client:
        result = await client.call_tool(tool, arguments)
    told = json.dumps(result.structured_content)
    assert '"code": "invalid"' in told
    assert "more than 100,000 names" in told


@pytest.mark.parametrize("tool", ["list_conversations", *ID_TOOLS])
async def test_an_unknown_argument_is_invalid_and_named(in_memory: Connections, tool: str) -> None:
    arguments: dict[str, Any] = {} if tool == "list_conversations" else SHARED | ID_TOOLS[tool]
    async with in_memory.connect() as client:
        error = await fail(client, tool, **arguments, colour="red")
        assert (error["code"], error["field"]) == ("invalid", "colour")
        error = await fail(client, tool, **arguments, owner="bob")
        assert (error["code"], error["field"]) == ("invalid", "owner")
        made_up: dict[str, Any] = {"\x1b" + "x" * 5_000: 1}
        error = await fail(client, tool, **arguments, **made_up)
        assert error["code"] == "invalid"
        assert len(error["message"]) < 200
        assert "\x1b" not in error["message"]


@pytest.mark.parametrize("tool", ID_TOOLS)
async def test_a_missing_argument_is_invalid_and_named(in_memory: Connections, tool: str) -> None:
    async with in_memory.connect() as client:
        error = await fail(client, tool, **ID_TOOLS[tool])
        assert (error["code"], error["field"]) == ("invalid", "conversation_id")


@pytest.mark.parametrize(
    ("tool", "field", "values"),
    cast(
        "list[tuple[str, str, list[object]]]",
        [
            ("load_conversation", "limit", [0, -1, 501, 2**63, "5", 5.5, True, None, [5]]),
            ("load_conversation", "before", ["", "not a cursor", "\0", 5]),
            ("fork_conversation", "up_to_message_id", ["", "m" * 257, "a\nb", 5]),
            ("fork_conversation", "new_conversation_id", ["", "x" * 1_025, "\0", 5]),
            ("export_conversation", "format", ["html", "", None, 5]),
            ("export_conversation", "cursor", ["", "\0", 5]),
            ("append_messages", "expected_version", [-1, "0", False, 1.5]),
            ("save_conversation", "expected_version", [-1, "0", False]),
            ("annotate_message", "annotations", [None, [], "x", {"k": "\0"}, {"k": "\ud800"}]),
            ("annotate_message", "message_id", ["", "m" * 257, "a\nb", 5]),
            ("update_conversation", "title", ["t" * 501, 5, "\0"]),
            ("update_conversation", "tags", [None, "a", ["t"] * 51]),
            ("update_conversation", "tags[1]", [["a", ""], ["a", "t" * 65], ["a", 5], ["a", "\0"]]),
            ("update_conversation", "metadata", [None, [], {"k": "\0"}, nested(200)]),
            (
                "update_conversation",
                "expires_at",
                ["tomorrow", "2026-01-31", "2026-01-31T09:00:00", 5],
            ),
        ],
    ),
)
async def test_a_value_of_the_wrong_kind_is_invalid_and_named(
    in_memory: Connections, tool: str, field: str, values: list[Any]
) -> None:
    async with in_memory.connect() as client:
        for value in values:
            name = field.partition("[")[0]
            error = await fail(client, tool, **SHARED | ID_TOOLS[tool] | {name: value})
            assert (error["code"], error["field"]) == ("invalid", field), value


@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("limit", [0, 1_001, 2**63, "5", True]),
        ("offset", [-1, 10**9 + 1, 2**63, "0"]),
        ("cursor", ["", "not a cursor", "\0"]),
        ("tag", ["", "t" * 65, 5]),
    ],
)
async def test_a_listing_is_asked_for_within_its_limits(
    in_memory: Connections, field: str, values: list[Any]
) -> None:
    async with in_memory.connect() as client:
        for value in values:
            error = await fail(client, "list_conversations", **{field: value})
            assert (error["code"], error["field"]) == ("invalid", field), value
        error = await fail(client, "list_conversations", offset=1, cursor="x")
        assert (error["code"], error["field"]) == ("invalid", "cursor")


@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("query", ["", "*", "\0", "\ud800", "x" * 1_001, 5, None]),
        ("limit", [0, 101, "5"]),
        ("conversation_id", ["", "\0", 5]),
        ("role", ["robot", 5]),
        ("since", ["yesterday", "2026-01-31", 5]),
    ],
)
async def test_a_search_is_asked_for_within_its_limits(
    in_memory: Connections, field: str, values: list[Any]
) -> None:
    async with in_memory.connect() as client:
        for value in values:
            arguments: dict[str, Any] = {"query": "word", field: value}
            error = await fail(client, "search_conversations", **arguments)
            assert (error["code"], error["field"]) == ("invalid", field), value


async def test_an_integer_may_be_written_with_a_point(in_memory: Connections) -> None:
    async with in_memory.connect() as client:
        await call(
            client, "append_messages", **SHARED, **message(content="x"), expected_version=0.0
        )
        loaded = await call(client, "load_conversation", **SHARED, limit=1.0)
        assert [each["content"] for each in loaded["messages"]] == ["x"]
        listed = await call(client, "list_conversations", limit=50.0, offset=1.0)
        assert listed["conversations"] == []
        error = await fail(client, "load_conversation", **SHARED, limit=1e300)
        assert (error["code"], error["field"]) == ("invalid", "limit")


async def test_refusals_say_in_the_words_of_json_what_is_expected(in_memory: Connections) -> None:
    refused: list[tuple[dict[str, Any], str, str]] = [
        (message(content=5), "messages[1].content", "must be a string or an array"),
        (message(content="x", is_error="no"), "messages[1].is_error", "must be true or false"),
        (
            message(content=[{"type": "image", "data": ""}]),
            "messages[1].content",
            "a block of type image needs mimeType, a string",
        ),
        ({"messages": ["x"]}, "messages[0]", "must be an object"),
        ({"messages": [], "expected_version": "1"}, "expected_version", "must be an integer"),
    ]
    async with in_memory.connect() as client:
        for given, place, words in refused:
            error = await fail(client, "append_messages", **SHARED, **given)
            assert error["message"] == f"{place}: {words}"


@pytest.mark.parametrize("tool", ["append_messages", "save_conversation"])
@pytest.mark.parametrize(
    ("bad", "code", "field"),
    cast(
        "list[tuple[dict[str, Any], str, str | None]]",
        [
            ({"content": ""}, "invalid", "messages[1]"),
            ({"content": []}, "invalid", "messages[1]"),
            ({}, "invalid", "messages[1].content"),
            ({"content": 5}, "invalid", "messages[1].content"),
            ({"content": None}, "invalid", "messages[1].content"),
            ({"content": ["text"]}, "invalid", "messages[1].content[0]"),
            ({"content": [{"type": []}]}, "invalid", "messages[1].content"),
            ({"content": [{"text": "typeless"}]}, "invalid", "messages[1].content"),
            ({"content": [{"type": "tool_use", "id": "1", "name": "n"}]}, "invalid", None),
            ({"content": "a\0"}, "invalid", "messages[1]"),
            ({"content": "\ud800"}, "invalid", "messages[1]"),
            ({"content": [{"type": "new", "deep": {"k": "\ud800"}}]}, "invalid", "messages[1]"),
            ({"content": "x" * 2_000_000}, "too_large", "messages[1]"),
            (
                {"content": "x", "metadata": {"k": "v" * 16_384}},
                "too_large",
                "messages[1].metadata",
            ),
            ({"content": "x", "metadata": nested(150)}, "invalid", "messages"),
            ({"content": "x", "message_id": ""}, "invalid", "messages[1].message_id"),
            ({"content": "x", "message_id": "é" * 257}, "invalid", "messages[1].message_id"),
            ({"content": "x", "created_at": "now"}, "invalid", "messages[1].created_at"),
            ({"content": "x", "created_at": 1_700_000_000}, "invalid", "messages[1].created_at"),
            ({"content": "x", "is_error": "yes"}, "invalid", "messages[1].is_error"),
            ({"content": "x", "role": "robot"}, "invalid", "messages[1].role"),
            ({"content": "x", "name": 5}, "invalid", "messages[1].name"),
            ({"content": "x", "sender": "me"}, "invalid", "messages[1].sender"),
        ],
    ),
)
async def test_one_bad_message_refuses_the_whole_list(
    in_memory: Connections, tool: str, bad: dict[str, Any], code: str, field: str | None
) -> None:
    async with in_memory.connect() as client:
        error = await fail(client, tool, **SHARED, **message(**bad))
        assert error["code"] == code
        assert error["field"] == field or (field is None and "tool_use" in error["message"])
        assert (await call(client, "load_conversation", **SHARED))["version"] == 0


async def test_too_many_messages_are_invalid_and_too_many_bytes_too_large(
    in_memory: Connections,
) -> None:
    async with in_memory.connect() as client:
        small = {"role": "user", "content": "x"}
        error = await fail(client, "append_messages", **SHARED, messages=[small] * 1_001)
        assert (error["code"], error["field"]) == ("invalid", "messages")
        assert error["message"] == "messages: must have at most 1000 items, not 1001"
        error = await fail(client, "save_conversation", **SHARED, messages=[small] * 1_001)
        assert (error["code"], error["field"]) == ("invalid", "messages")
        large = {"role": "user", "content": "x" * 500_000}
        for tool in ("append_messages", "save_conversation"):
            error = await fail(client, tool, **SHARED, messages=[large] * 7)
            assert (error["code"], error["field"]) == ("too_large", "messages")
        made = await call(client, "append_messages", **SHARED, messages=[small] * 1_000)
        assert made["appended"] == 1_000


async def test_a_message_nested_as_deep_as_is_allowed_can_be_read_again(
    connections: Connections,
) -> None:
    async with connections.connect() as client:
        deep = message(content="x", metadata=nested(96))
        await call(client, "append_messages", **SHARED, **deep)
        loaded = await call(client, "load_conversation", **SHARED)
        assert loaded["messages"][1]["metadata"] == nested(96)
        await call(client, "append_messages", **SHARED, messages=[])


async def test_only_a_cursor_as_it_was_given_is_one(in_memory: Connections) -> None:
    async with in_memory.connect() as client:
        for conversation_id in ("c", "d"):
            messages = message(content="x")
            await call(client, "append_messages", conversation_id=conversation_id, **messages)
        asked: list[tuple[str, str, dict[str, Any]]] = [
            ("load_conversation", "before", SHARED | {"limit": 1}),
            ("list_conversations", "cursor", {"limit": 1}),
        ]
        for tool, name, arguments in asked:
            cursor = (await call(client, tool, **arguments))["next_cursor"]
            await call(client, tool, **arguments | {name: cursor})
            for ending in ("=", "==", "\n", "g", "IA", "ICA", "ICAg", ".", "A===="):
                error = await fail(client, tool, **arguments | {name: cursor + ending})
                assert (error["code"], error["field"]) == ("invalid", name), ending
            error = await fail(client, tool, **arguments | {name: cursor[:4] + "." + cursor[4:]})
            assert (error["code"], error["field"]) == ("invalid", name)


async def test_absent_and_null_differ_in_an_update(in_memory: Connections) -> None:
    async with in_memory.connect() as client:
        await call(client, "append_messages", **SHARED, **message(content="x"))
        later = "2030-01-01T00:00:00+02:00"
        facts: dict[str, Any] = {"title": "T", "tags": ["b", "a"], "metadata": {"k": 1, "l": 2}}
        first = await call(client, "update_conversation", **SHARED, **facts, expires_at=later)
        assert first["expires_at"] == "2029-12-31T22:00:00.000000Z"
        second = await call(client, "update_conversation", **SHARED, metadata={"k": None, "m": 3})
        assert second["metadata"] == {"l": 2, "m": 3}
        assert (second["title"], second["tags"]) == ("T", ["b", "a"])
        assert second["expires_at"] == first["expires_at"]
        third = await call(client, "update_conversation", **SHARED, title=None, expires_at=None)
        assert (third["title"], third["expires_at"], third["tags"]) == (None, None, ["b", "a"])
        assert third["last_updated"] == first["last_updated"]
        same = await call(client, "update_conversation", **SHARED)
        assert same == third


async def test_a_conflict_names_the_current_version(in_memory: Connections) -> None:
    async with in_memory.connect() as client:
        made = await call(client, "append_messages", **SHARED, **message(content="x"))
        error = await fail(
            client, "append_messages", **SHARED, **message(content="y"), expected_version=0
        )
        assert error["code"] == "conflict"
        assert error["current_version"] == made["version"]


async def test_an_unknown_tool_is_a_protocol_error(in_memory: Connections) -> None:
    async with in_memory.connect() as client:
        with pytest.raises(MCPError) as raised:
            await client.call_tool("no_such_tool", {})
        assert raised.value.code == -32602


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({}, "source_ids"),
        ({"source_ids": "c"}, "source_ids"),
        ({"source_ids": []}, "source_ids"),
        ({"source_ids": ["c"] * 101}, "source_ids"),
        ({"source_ids": ["c", ""]}, "source_ids[1]"),
        ({"source_ids": ["c", 5]}, "source_ids[1]"),
        ({"source_ids": ["c"], "into": ""}, "into"),
        ({"source_ids": ["c"], "into": None}, "into"),
        ({"source_ids": ["c"], "colour": 1}, "colour"),
    ],
)
async def test_what_is_merged_is_checked(
    in_memory: Connections, given: dict[str, Any], field: str
) -> None:
    async with in_memory.connect() as client:
        error = await fail(client, "merge_conversations", **{"into": "new", **given})
        assert (error["code"], error["field"]) == ("invalid", field)


async def test_a_fork_or_merge_onto_what_is_there_is_a_conflict(in_memory: Connections) -> None:
    async with in_memory.connect() as client:
        for conversation_id in ("c", "d"):
            await call(
                client, "append_messages", conversation_id=conversation_id, **message(content="x")
            )
        error = await fail(client, "fork_conversation", **SHARED, new_conversation_id="d")
        assert (error["code"], error["field"]) == ("conflict", "new_conversation_id")
        error = await fail(client, "merge_conversations", source_ids=["c"], into="d")
        assert (error["code"], error["field"]) == ("conflict", "into")
        error = await fail(client, "merge_conversations", source_ids=["c", "e"], into="f")
        assert (error["code"], error["field"]) == ("not_found", "source_ids[1]")
        error = await fail(client, "fork_conversation", **SHARED, up_to_message_id="no")
        assert (error["code"], error["field"]) == ("not_found", "up_to_message_id")
