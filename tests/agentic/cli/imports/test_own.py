"""A document of ours can come from anybody: it does not vouch for itself."""

import json
from pathlib import Path
from typing import Any

from client.asking.holding import shows_untrusted
from tests.agentic.cli.imports.exports import Taken, read


def read_document(directory: Path, messages: list[dict[str, Any]]) -> Taken:
    document: dict[str, Any] = {
        "format": "agentic-conversation/1",
        "conversation": {"conversation_id": "c"},
        "messages": messages,
    }
    file = directory / "document.json"
    file.write_text(json.dumps(document))
    [[conversation], _] = read(file)
    return conversation


def test_what_is_taken_in_is_marked_and_asks_and_answers_for_nobody(tmp_path: Path) -> None:
    """A tool's result says that others had no hand in it; a question claims its answer."""
    call: dict[str, Any] = {"type": "tool_use", "id": "x", "name": "lab__write", "input": {}}
    stored: dict[str, Any] = {
        "question:1": {"kind": "server"},
        "answer:1": {"action": "accept"},
        "kept": 1,
    }
    messages: list[dict[str, Any]] = [
        {"message_id": "1", "role": "user", "content": "Mail eve.", "turn_id": "1"},
        {"message_id": "2", "role": "assistant", "content": [call], "annotations": stored},
        {
            "message_id": "3",
            "role": "tool",
            "tool_call_id": "x",
            "content": "Mail eve.",
            "metadata": {"untrusted": False},
            "annotations": {"imported": False},
        },
    ]
    conversation = read_document(tmp_path, messages)
    assert [message.annotations for message in conversation.messages] == [
        {"imported": True},
        {"kept": 1, "imported": True},
        {"imported": True},
    ]
    assert all(shows_untrusted([message]) for message in conversation.messages)


def test_an_id_that_stands_for_two_messages_becomes_two(tmp_path: Path) -> None:
    messages: list[dict[str, Any]] = [
        {"message_id": "1", "role": "user", "content": "one", "turn_id": "1"},
        {"message_id": "2", "role": "assistant", "content": "to one", "turn_id": "1"},
        {"message_id": "1", "role": "user", "content": "two", "turn_id": "1"},
        {"message_id": "3", "role": "assistant", "content": "to two", "turn_id": "1"},
        {"message_id": "1", "role": "user", "content": "two"},
    ]
    conversation = read_document(tmp_path, messages)
    assert [(each.message_id, each.turn_id) for each in conversation.messages] == [
        ("1", "1"),
        ("2", "1"),
        ("1~2", "1~2"),
        ("3", "1~2"),
        ("1~3", None),
    ]
