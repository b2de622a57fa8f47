"""Documents at the tools: what is taken, what is refused, and how that is said."""

import json
from typing import Any, cast

import pytest

from tests.servers.connections import Connections, call, fail
from tests.servers.conversations.test_server_arguments import nested

HELLO = {"role": "user", "content": "hello"}


def document(**changes: Any) -> dict[str, Any]:
    return {
        "format": "agentic-conversation/1",
        "conversation": {"conversation_id": "c", "title": "T"},
        "messages": [HELLO],
    } | changes


def with_second(**message: Any) -> dict[str, Any]:
    return document(messages=[HELLO, {"role": "user", **message}])


def of(**facts: Any) -> dict[str, Any]:
    return document(conversation={"conversation_id": "c", **facts})


async def test_a_document_is_imported_once_however_it_is_passed(connections: Connections) -> None:
    async with connections.connect() as client:
        given = document(conversation={"conversation_id": "../é", "owner": "bob", "version": 7})
        first = await call(client, "import_conversation", document=given)
        expected = {"conversation_id": "../é", "appended": 1, "repeated": 0, "skipped": 0}
        assert first == expected
        again = await call(client, "import_conversation", document=json.dumps(given))
        assert again == expected | {"appended": 0, "repeated": 1}
        other = await call(client, "import_conversation", document=given, conversation_id="other")
        assert other == expected | {"conversation_id": "other"}


@pytest.mark.parametrize(
    ("given", "code", "field"),
    cast(
        "list[tuple[object, str, str]]",
        [
            (None, "invalid", "document"),
            ([], "invalid", "document"),
            ("{", "invalid", "document"),
            ("[]", "invalid", "document"),
            ("[" * 100_000, "invalid", "document"),
            ({}, "invalid", "document.format"),
            (document(format=1), "invalid", "document.format"),
            (document(format="ChatGPT"), "invalid", "document.format"),
            (document(format="agentic-conversation/0"), "invalid", "document.format"),
            (document(format="agentic-conversation/2"), "unsupported", "document.format"),
            (document(format="agentic-conversation/2", new=1), "unsupported", "document.format"),
            (document(conversation=None), "invalid", "document.conversation"),
            (document(messages=None), "invalid", "document.messages"),
            (document(messages={}), "invalid", "document.messages"),
            (document(messages=[HELLO] * 1_001), "invalid", "document.messages"),
            (
                document(messages=[{"role": "user", "content": "x" * 500_000}] * 7),
                "too_large",
                "document.messages",
            ),
            (document(colour="red"), "invalid", "document.colour"),
            (of(colour="red"), "invalid", "document.conversation.colour"),
            (of(conversation_id=""), "invalid", "document.conversation.conversation_id"),
            (of(conversation_id=None), "invalid", "document.conversation.conversation_id"),
            (of(title="t" * 501), "invalid", "document.conversation.title"),
            (of(title=5), "invalid", "document.conversation.title"),
            (of(tags=["a", ""]), "invalid", "document.conversation.tags[1]"),
            (of(tags=["t"] * 51), "invalid", "document.conversation.tags"),
            (of(metadata=[]), "invalid", "document.conversation.metadata"),
            (of(metadata={"k": "\0"}), "invalid", "document.conversation.metadata"),
            (of(metadata={"k": "v" * 20_000}), "too_large", "document.conversation.metadata"),
            (of(created_at="then"), "invalid", "document.conversation.created_at"),
            (of(last_updated=5), "invalid", "document.conversation.last_updated"),
            (of(expires_at="2026-01-31"), "invalid", "document.conversation.expires_at"),
            (with_second(), "invalid", "document.messages[1].content"),
            (with_second(content="x", role="robot"), "invalid", "document.messages[1].role"),
            (with_second(content="x", sender="me"), "invalid", "document.messages[1].sender"),
            (with_second(content="a\0"), "invalid", "document.messages[1]"),
            (with_second(content="\ud800"), "invalid", "document.messages[1]"),
            (with_second(content="x" * 600_000), "too_large", "document.messages[1]"),
            (
                with_second(content="x", created_at="9999-12-31T23:59:59-12:00"),
                "invalid",
                "document.messages[1].created_at",
            ),
            (with_second(content="x", metadata=nested(150)), "invalid", "document"),
        ],
    ),
)
async def test_a_wrong_document_is_refused_whole_and_named(
    in_memory: Connections, given: object, code: str, field: str
) -> None:
    async with in_memory.connect() as client:
        forms = [given] if isinstance(given, str) else [given, json.dumps(given)]
        for form in forms:
            error = await fail(client, "import_conversation", document=form)
            assert (error["code"], error["field"]) == (code, field)
            assert len(error["message"]) < 300
        assert (await call(client, "list_conversations"))["conversations"] == []


async def test_a_document_may_hold_what_can_be_stored(in_memory: Connections) -> None:
    deep: dict[str, Any] = {"role": "user", "content": "x", "message_id": "deep"}
    deep["metadata"] = nested(97)
    async with in_memory.connect() as client:
        await call(client, "append_messages", conversation_id="c", messages=[deep])
        facts: dict[str, Any] = {"message_id": "deep", "annotations": nested(99)}
        await call(client, "annotate_message", conversation_id="c", **facts)
        deep["annotations"] = nested(99)
        given = document(messages=[deep])
        done = await call(client, "import_conversation", document=given)
        assert done["repeated"] == 1
        done = await call(client, "import_conversation", document=given, conversation_id="d")
        assert done["appended"] == 1


async def test_what_is_exported_can_be_imported_as_it_came(connections: Connections) -> None:
    async with connections.connect() as client:
        said = [HELLO | {"message_id": f"m{n}", "content": "é" * 120_000} for n in range(5)]
        await call(client, "append_messages", conversation_id="c", messages=said)
        cursor: dict[str, str] = {}
        counts: list[int] = []
        while True:
            page = await call(client, "export_conversation", conversation_id="c", **cursor)
            assert page.keys() == {"document", "next_cursor"}
            done = await call(
                client,
                "import_conversation",
                document=page["document"],
                conversation_id="copy",
            )
            counts.append(done["appended"])
            if page["next_cursor"] is None:
                break
            cursor = {"cursor": page["next_cursor"]}
        assert counts == [2, 2, 1]
        both = [
            await call(client, "load_conversation", conversation_id=name, limit=2)
            for name in ("c", "copy")
        ]
        assert both[0]["messages"] == both[1]["messages"]
        text = await call(client, "export_conversation", conversation_id="c", format="markdown")
        assert text["document"].startswith("# Conversation `c`\n")
