"""Claude's account exports, of the older and the newer shapes."""

import json
from pathlib import Path
from typing import Any

import pytest

from agentic.cli.imports.claude import OTHER_BRANCHES
from tests.agentic.cli.imports.exports import (
    Taken,
    claude_conversation,
    claude_message,
    read,
    write_json,
)


def take(folder: Path, *messages: Any, **more: Any) -> Taken:
    [taken], tally = read(write_json(folder / "c.json", [claude_conversation(*messages, **more)]))
    assert tally.problems == []
    return taken


def test_a_conversation_keeps_its_facts_ids_and_times(tmp_path: Path) -> None:
    taken = take(
        tmp_path,
        claude_message("human", "Which tree?", uuid="q"),
        claude_message("assistant", "A birch.", uuid="a", created_at="never"),
        summary="About trees.",
    )
    assert taken.facts == {
        "conversation_id": "claude:5b1e-aaaa",
        "title": "Trees",
        "tags": ["imported", "claude"],
        "metadata": {"imported_from": "claude", "summary": "About trees."},
        "created_at": "2025-05-01T09:59:59.000000Z",
        "last_updated": "2025-05-01T10:01:00.000000Z",
    }
    assert [(m.message_id, m.role, m.content, m.created_at) for m in taken.messages] == [
        ("q", "user", "Which tree?", "2025-05-01T10:00:00.123456Z"),
        ("a", "assistant", "A birch.", "2025-05-01T09:59:59.000000Z"),
    ]


def test_text_is_taken_where_there_is_no_content_and_the_other_way_round(tmp_path: Path) -> None:
    old = {"uuid": "q", "sender": "human", "text": "old", "created_at": None}
    new = claude_message("assistant", "new")
    del new["text"]
    assert take(tmp_path, old, new).said() == [("user", "old"), ("assistant", "new")]


def test_thoughts_calls_and_results_become_messages_of_their_own(tmp_path: Path) -> None:
    answer = claude_message(
        "assistant",
        {"type": "thinking", "thinking": "Hm.", "summaries": []},
        "Let me look.",
        {"type": "tool_use", "id": "toolu_1", "name": "search", "input": {"q": "birch"}},
        {
            "type": "tool_result",
            "tool_use_id": "toolu_1",
            "name": "search",
            "content": [
                {"type": "text", "text": "bark"},
                {"type": "knowledge", "title": "T", "url": "u"},
                {"type": "image", "source": {}},
            ],
            "is_error": False,
        },
        {"type": "tool_use", "name": "repl", "input": "1+1"},
        {"type": "tool_result", "name": "repl", "content": "it broke", "is_error": True},
        {"type": "token_budget"},
        "White.",
        uuid="a",
    )
    taken = take(tmp_path, claude_message("human", "Colour?", uuid="q"), answer)
    assert [(m.message_id, m.role, m.tool_call_id) for m in taken.messages] == [
        ("q", "user", None),
        ("a", "assistant", None),
        ("a~2", "tool", "toolu_1"),
        ("a~3", "assistant", None),
        ("a~4", "tool", "a~call2"),
        ("a~5", "assistant", None),
    ]
    said, result, second, broke, last = taken.messages[1:]
    assert said.thoughts == "Hm."
    assert said.content == [
        {"type": "text", "text": "Let me look."},
        {"type": "tool_use", "id": "toolu_1", "name": "search", "input": {"q": "birch"}},
    ]
    assert result.content == "bark\n\nT u\n\n[image, which is not text]"
    assert second.content[0]["input"] == {"input": "1+1"}  # type: ignore[index]
    assert (broke.content, broke.is_error) == ("it broke", True)
    assert last.content == "White."


def test_attachments_are_quoted_and_files_are_noted(tmp_path: Path) -> None:
    taken = take(
        tmp_path,
        claude_message(
            "human",
            "Read this.",
            attachments=[
                {"file_name": "a.md", "file_size": 3, "extracted_content": "one\n```\ntwo"},
                {"file_name": "", "extracted_content": "pasted"},
            ],
            files=[{"file_name": "photo\n.jpg"}, {"file_name": "a.md"}, 3],
        ),
    )
    assert taken.texts() == [
        "Read this.",
        "Attached “a.md”:\n````\none\n```\ntwo\n````",
        "Attached a text:\n```\npasted\n```",
        "[Attached “photo .jpg”, which is not in the export]",
    ]


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ('{"a": 1e999}', "holds a number that JSON has not (NaN or infinite)"),
        ('{"a": ' + "[" * 98 + "]" * 98 + "}", "is nested more than 98 levels deep"),
        ('{"a": ' + "[" * 600 + '"\\u0000"' + "]" * 600 + "}", "nested"),
    ],
    ids=["number", "deep", "deeper"],
)
def test_an_input_that_can_not_be_stored_costs_itself(
    tmp_path: Path, given: str, reason: str
) -> None:
    call = {"type": "tool_use", "id": "i", "name": "n", "input": "GIVEN"}
    said = claude_message("assistant", call, "important answer")
    path = tmp_path / "c.json"
    text = json.dumps([claude_conversation(said)]).replace('"GIVEN"', given)
    path.write_text(text, "utf-8")
    taken, tally = read(path)
    [problem] = tally.problems
    assert reason in problem
    if reason != "nested":  # which json gives up at
        assert problem == f"Trees: left out the input of a tool's call, which {reason}."
        assert taken[0].messages[0].content == [
            {"type": "tool_use", "id": "i", "name": "n", "input": {}},
            {"type": "text", "text": "important answer"},
        ]


def test_of_branches_the_last_is_taken(tmp_path: Path) -> None:
    def at(name: str, parent: str, sender: str) -> dict[str, Any]:
        return claude_message(sender, name, uuid=name, parent_message_uuid=parent)

    conversation = claude_conversation(
        at("q", "root", "human"), at("a1", "q", "assistant"), at("a2", "q", "assistant")
    )
    [taken], tally = read(write_json(tmp_path / "c.json", [conversation]))
    assert taken.said() == [("user", "q"), ("assistant", "a2")]
    assert tally.skipped[OTHER_BRANCHES].count == 1
    conversation["current_leaf_message_uuid"] = "a1"
    [taken], _ = read(write_json(tmp_path / "c.json", [conversation]))
    assert taken.said()[-1] == ("assistant", "a1")


def test_a_conversation_without_messages_is_counted(tmp_path: Path) -> None:
    path = write_json(
        tmp_path / "c.json", [claude_conversation(), claude_conversation(7, name=None)]
    )
    taken, tally = read(path)
    assert taken == []
    assert tally.skipped["conversations without messages"].titles == ["Trees", "claude:5b1e-aaaa"]
