"""ChatGPT's account exports: the shown branch becomes a conversation of ours."""

from pathlib import Path
from typing import Any

import pytest

from agentic.cli.imports.chatgpt import HIDDEN, OTHER_BRANCHES, UNKNOWN_CONTENT
from agentic.cli.imports.tally import Tally
from tests.agentic.cli.imports.exports import (
    T0,
    Taken,
    chatgpt_conversation,
    chatgpt_message,
    read,
    write_json,
)


def take(folder: Path, *messages: Any, **more: Any) -> tuple[Taken, Tally]:
    path = write_json(folder / "c.json", [chatgpt_conversation(*messages, **more)])
    [taken], tally = read(path)
    assert tally.problems == []
    return taken, tally


def counts(tally: Tally) -> dict[str, int]:
    return {reason: skipped.count for reason, skipped in tally.skipped.items()}


def test_a_conversation_keeps_its_facts_ids_and_times(tmp_path: Path) -> None:
    taken, tally = take(
        tmp_path,
        chatgpt_message("How are roses cut?"),
        chatgpt_message("In spring.", "assistant", metadata={"model_slug": "gpt-5-2"}),
    )
    assert taken.facts == {
        "conversation_id": "chatgpt:67aa-c0de",
        "title": "Garden",
        "tags": ["imported", "chatgpt"],
        "metadata": {"imported_from": "chatgpt"},
        "created_at": "2025-12-14T00:23:10.250000Z",
        "last_updated": "2025-12-14T00:24:10.250000Z",
    }
    assert taken.said() == [("user", "How are roses cut?"), ("assistant", "In spring.")]
    question, answer = taken.messages
    assert (question.message_id, question.created_at) == ("m0", "2025-12-14T00:23:10.250000Z")
    assert answer.metadata == {"imported_from": "chatgpt", "model": "gpt-5-2"}
    assert tally.skipped == {}


def test_the_branch_that_is_shown_is_taken_and_the_others_are_counted(tmp_path: Path) -> None:
    conversation = chatgpt_conversation(
        chatgpt_message("question"), chatgpt_message("first answer", "assistant")
    )
    again = {"id": "m9", **chatgpt_message("second answer", "assistant")}
    conversation["mapping"]["n9"] = {"id": "n9", "message": again, "parent": "n0", "children": []}
    conversation["current_node"] = "n9"
    [taken], tally = read(write_json(tmp_path / "c.json", [conversation]))
    assert taken.said() == [("user", "question"), ("assistant", "second answer")]
    assert counts(tally) == {OTHER_BRANCHES: 1}
    assert tally.skipped[OTHER_BRANCHES].titles == ["Garden"]


@pytest.mark.parametrize("leaf", [None, "gone", 7])
def test_without_a_known_end_the_latest_branch_is_taken(tmp_path: Path, leaf: Any) -> None:
    conversation = chatgpt_conversation(
        chatgpt_message("question"),
        chatgpt_message("late answer", "assistant", create_time=T0 + 9),
        current_node=leaf,
    )
    early = {"id": "m9", **chatgpt_message("early answer", "assistant")}
    conversation["mapping"]["n9"] = {"id": "n9", "message": early, "parent": "n0", "children": []}
    [taken], _ = read(write_json(tmp_path / "c.json", [conversation]))
    assert taken.said()[-1] == ("assistant", "late answer")


def test_a_ring_of_nodes_ends(tmp_path: Path) -> None:
    conversation = chatgpt_conversation(chatgpt_message("a"), chatgpt_message("b", "assistant"))
    conversation["mapping"]["n0"]["parent"] = "n1"
    [taken], _ = read(write_json(tmp_path / "c.json", [conversation]))
    assert taken.said() == [("user", "a"), ("assistant", "b")]


def test_hidden_messages_are_left_out(tmp_path: Path) -> None:
    context = {"content_type": "user_editable_context", "user_profile": "p"}
    hidden = {"is_visually_hidden_from_conversation": True}
    taken, tally = take(
        tmp_path,
        chatgpt_message("", "system"),
        chatgpt_message(context),
        chatgpt_message("not to be seen", "assistant", metadata=hidden),
        chatgpt_message("hello"),
        chatgpt_message("Model switched.", "system"),
    )
    assert taken.said() == [("user", "hello"), ("system", "Model switched.")]
    assert counts(tally) == {HIDDEN: 3}


def test_thoughts_go_to_the_answer_that_follows(tmp_path: Path) -> None:
    thought: dict[str, Any] = {
        "summary": "Looking",
        "content": "It may be so.",
        "chunks": [],
        "finished": True,
    }
    taken, tally = take(
        tmp_path,
        chatgpt_message("why?"),
        chatgpt_message({"content_type": "thoughts", "thoughts": [thought, 5]}, "assistant"),
        chatgpt_message({"content_type": "reasoning_recap", "content": "Thought 8 s"}, "assistant"),
        chatgpt_message("Because.", "assistant"),
        chatgpt_message({"content_type": "thoughts", "thoughts": [thought]}, "assistant"),
    )
    assert taken.said() == [("user", "why?"), ("assistant", "Because.")]
    assert taken.messages[1].thoughts == "Looking\nIt may be so.\n\nThought 8 s"
    assert counts(tally) == {"thoughts without an answer": 1}


@pytest.mark.parametrize(
    "text", ['{"a": 1e999}', '{"a": "\\u0000"}', '{"a": ' + "[" * 98 + "]" * 98 + "}"]
)
def test_arguments_that_can_not_be_stored_are_kept_as_text(tmp_path: Path, text: str) -> None:
    code = {"content_type": "code", "text": text}
    taken, tally = take(tmp_path, chatgpt_message(code, "assistant", recipient="n"))
    assert tally.problems == []
    assert taken.messages[0].content == [
        {"type": "tool_use", "id": "m0", "name": "n", "input": {"input": text}}
    ]


def test_calls_of_tools_go_with_their_results(tmp_path: Path) -> None:
    code = {"content_type": "code", "language": "unknown", "text": '{"q": "roses"}'}
    run = {"content_type": "code", "language": "python", "text": "print(1)"}
    output = {"content_type": "execution_output", "text": "1"}
    page = {"content_type": "tether_quote", "url": "u", "title": "T", "text": "quoted"}
    taken, tally = take(
        tmp_path,
        chatgpt_message("go"),
        chatgpt_message(code, "assistant", recipient="web.search"),
        chatgpt_message(page, "tool", name="web.search"),
        chatgpt_message({"content_type": "novelty", "result": "more"}, "tool", name="web.search"),
        chatgpt_message(run, "assistant", recipient="python"),
        chatgpt_message(output, "tool", name="python"),
        chatgpt_message({"content_type": "code", "text": "x = '```'"}, "assistant"),
        chatgpt_message({"content_type": "system_error", "name": "E", "text": "no"}, "tool"),
    )
    calls = [message.content[0] for message in (taken.messages[1], taken.messages[4])]
    assert calls == [
        {"type": "tool_use", "id": "m1", "name": "web.search", "input": {"q": "roses"}},
        {"type": "tool_use", "id": "m4", "name": "python", "input": {"input": "print(1)"}},
    ]
    results = [taken.messages[n] for n in (2, 3, 5, 7)]
    assert [(m.tool_call_id, m.name, m.content, m.is_error) for m in results] == [
        ("m1", "web.search", "T u\nquoted", None),
        (None, "web.search", "more", None),
        ("m4", "python", "1", None),
        (None, None, "E: no", True),
    ]
    assert taken.messages[6].content == "````\nx = '```'\n````"
    assert tally.skipped == {}


HIDE = {"is_visually_hidden_from_conversation": True}


def call(recipient: str, **more: Any) -> dict[str, Any]:
    code = {"content_type": "code", "language": "json", "text": "{}"}
    return chatgpt_message(code, "assistant", recipient=recipient, **more)


def result(name: str | None, **more: Any) -> dict[str, Any]:
    return chatgpt_message("found", "tool", name=name, **more)


def answered(taken: Taken) -> list[str | None]:
    return [message.tool_call_id for message in taken.messages if message.role == "tool"]


def test_results_go_to_the_open_calls_of_their_tools(tmp_path: Path) -> None:
    taken, _ = take(
        tmp_path,
        call("python"),
        call("web.search"),
        call("python"),
        result("web.search"),
        result("python"),
        result("python"),
        result("python"),
    )
    assert answered(taken) == ["m1", "m0", "m2", None]


@pytest.mark.parametrize(
    ("recipients", "name", "wanted"),
    [
        (["file_search.msearch"], "file_search", "m0"),
        (["web"], "web.run", "m0"),
        (["web", "web.run"], "web.run", "m1"),
        (["canmore.create_textdoc"], "canmore.update_textdoc", None),
        (["python"], "python_user_visible", None),
        (["web"], None, "m0"),
        (["web", "python"], None, None),
    ],
)
def test_a_result_may_name_its_tool_in_part_or_not_at_all(
    tmp_path: Path, recipients: list[str], name: str | None, wanted: str | None
) -> None:
    taken, _ = take(tmp_path, *map(call, recipients), result(name))
    assert answered(taken) == [wanted]


def test_a_result_that_is_left_out_closes_its_call(tmp_path: Path) -> None:
    taken, _ = take(
        tmp_path,
        call("python"),
        result("python", metadata=HIDE),
        result("python"),
        call("web"),
        {**result("web"), "content": None},
        result("web"),
    )
    assert answered(taken) == [None, None]


def test_the_result_of_a_hidden_call_goes_to_no_other(tmp_path: Path) -> None:
    taken, _ = take(
        tmp_path,
        call("python"),
        call("bio", metadata=HIDE),
        result(None),
        result("bio"),
        result(None),
    )
    assert answered(taken) == [None, None, "m0"]


def test_the_next_question_ends_the_wait_for_results(tmp_path: Path) -> None:
    taken, _ = take(tmp_path, call("python"), chatgpt_message("And now?"), result("python"))
    assert answered(taken) == [None]


def test_pictures_and_recordings_become_notes(tmp_path: Path) -> None:
    picture = {"content_type": "image_asset_pointer", "asset_pointer": "s://f", "width": 3}
    parts = [
        picture,
        {**picture, "height": 4},
        {"content_type": "audio_transcription", "text": "spoken", "direction": "in"},
        {"content_type": "audio_asset_pointer"},
        None,
        "What is it?",
    ]
    taken, _ = take(tmp_path, chatgpt_message({"content_type": "multimodal_text", "parts": parts}))
    assert taken.texts() == [
        "[A picture, which the export keeps as a file of its own]",
        "[A picture of 3 by 4, which the export keeps as a file of its own]",
        "spoken",
        "[audio_asset_pointer, which the export keeps as a file of its own]",
        "What is it?",
    ]


def test_attachments_are_noted_but_not_pictures_that_stand_in_the_message(tmp_path: Path) -> None:
    parts = [{"content_type": "image_asset_pointer", "asset_pointer": "sediment://file_1"}, "See."]
    attachments = [
        {"id": "file_1", "name": "pic.png", "mime_type": "image/png", "size": 3},
        {"id": "file-2", "name": "the\nreport.pdf", "mimeType": "application/pdf"},
        {"id": "file-3", "name": "late.png", "mime_type": "image/png"},
    ]
    content = {"content_type": "multimodal_text", "parts": parts}
    taken, _ = take(tmp_path, chatgpt_message(content, metadata={"attachments": attachments}))
    assert taken.messages[0].message_id == "m0"
    assert taken.texts() == [
        "[A picture, which the export keeps as a file of its own]",
        "See.",
        "[Attached “the report.pdf”, which the export keeps as a file of its own]",
        "[Attached “late.png”, which the export keeps as a file of its own]",
    ]


def test_a_message_of_attachments_alone_is_taken(tmp_path: Path) -> None:
    taken, tally = take(tmp_path, chatgpt_message("", metadata={"attachments": [{"name": "a.md"}]}))
    note = "[Attached “a.md”, which the export keeps as a file of its own]"
    assert taken.said() == [("user", note)]
    assert tally.skipped == {}


@pytest.mark.parametrize(
    ("attachments", "notes"),
    [
        ("a.md", 0),
        ({"name": "a.md"}, 0),
        ([None, 3, "a.md", True], 0),
        ([{"id": 3, "name": ["a.md"]}, {}, {"name": " "}], 3),
    ],
)
def test_odd_attachments_cost_themselves(tmp_path: Path, attachments: Any, notes: int) -> None:
    metadata = {"attachments": attachments, "model_slug": "gpt-5-2"}
    taken, _ = take(tmp_path, chatgpt_message("Read.", metadata=metadata))
    note = "[Attached a file, which the export keeps as a file of its own]"
    [message] = taken.messages
    assert message.text() == "\n".join(["Read.", *[note] * notes])
    assert message.metadata == {"imported_from": "chatgpt", "model": "gpt-5-2"}


def test_what_says_nothing_or_is_not_understood_is_counted(tmp_path: Path) -> None:
    taken, tally = take(
        tmp_path,
        chatgpt_message("a"),
        chatgpt_message("", "assistant"),
        chatgpt_message({"content_type": "novelty", "field": 1}, "assistant"),
        chatgpt_message("a", "critic"),
        {"author": 3, "content": []},
        None,
    )
    assert taken.said() == [("user", "a")]
    assert counts(tally) == {"messages without content": 2, UNKNOWN_CONTENT: 2}


@pytest.mark.parametrize("time", [None, float("nan"), -1, 0, 1e300, "soon", True, 10**400])
def test_a_message_without_a_usable_time_has_that_of_its_conversation(
    tmp_path: Path, time: Any
) -> None:
    taken, _ = take(tmp_path, chatgpt_message("a", create_time=time), create_time=T0)
    assert taken.messages[0].created_at in (
        "2025-12-14T00:23:10.250000Z",
        "1970-01-01T00:00:01.000000Z",
    )
    taken, _ = take(tmp_path, chatgpt_message("a", create_time=None), create_time=time)
    assert taken.facts["created_at"] in (None, "1970-01-01T00:00:01.000000Z")


def test_odd_and_missing_ids_are_the_same_at_each_import(tmp_path: Path) -> None:
    messages = [
        chatgpt_message(f"text {n}") | {"id": wanted}
        for n, wanted in enumerate([None, "", "x\ny", "z" * 300, "same", "same", 12])
    ]
    odd = {"id": None, "conversation_id": None, "title": "a\nb" * 400}
    first, _ = take(tmp_path, *messages, **odd)
    second, _ = take(tmp_path, *messages, **odd)
    ids = [message.message_id for message in first.messages]
    assert ids == [message.message_id for message in second.messages]
    assert first.conversation_id == second.conversation_id
    assert first.conversation_id.startswith("chatgpt:made-")
    assert len(set(ids)) == 7
    assert all(name and len(name) <= 256 and name.isprintable() for name in ids)
    assert ids[4:6] == ["same", "same~2"]
    assert len(first.facts["title"]) == 500


def test_a_message_larger_than_512_kib_is_cut_into_several(tmp_path: Path) -> None:
    text = "0123456789é\n" * 60_000
    thoughts = {"content_type": "thoughts", "thoughts": [{"content": "t" * 700_000}]}
    taken, tally = take(
        tmp_path,
        chatgpt_message(thoughts, "assistant"),
        chatgpt_message(text, "assistant"),
        chatgpt_message("end"),
    )
    parts = taken.messages[:-1]
    assert "".join(str(part.content) for part in parts) == text
    assert [part.message_id for part in parts] == [
        "m1",
        *(f"m1~{n}" for n in range(2, len(parts) + 1)),
    ]
    assert len(parts[0].thoughts or "") == 65_534
    assert tally.cut == 1
    assert counts(tally) == {"ends of very long thoughts": 1}


def test_characters_that_nobody_can_store_are_replaced_and_counted(tmp_path: Path) -> None:
    path = tmp_path / "c.json"
    text = "a\0b \ud800 \U0001f600"
    taken, tally = take(tmp_path, chatgpt_message(text))
    assert taken.said() == [("user", "ab \N{REPLACEMENT CHARACTER} \U0001f600")]
    assert tally.cleaned == 1
    written = path.read_bytes().replace(b"a\\u0000b", b"\xff")
    path.write_bytes(written)
    [taken], tally = read(path)
    assert str(taken.messages[0].content).startswith("\N{REPLACEMENT CHARACTER} ")
    assert tally.cleaned == 2
