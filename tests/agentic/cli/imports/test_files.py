"""Files as people have them: zips, several shapes, and everything that can be wrong with one."""

import json
import struct
import zipfile
import zlib
from pathlib import Path
from random import Random
from typing import Any

import pytest

from agentic.cli.failures import UsageError
from agentic.cli.imports.source import Source
from tests.agentic.cli.imports.exports import (
    chatgpt_conversation,
    chatgpt_message,
    claude_conversation,
    claude_message,
    marked,
    own_document,
    read,
    write_json,
    write_zip,
)


def chat(name: str) -> dict[str, Any]:
    return chatgpt_conversation(chatgpt_message(name), id=name, conversation_id=name, title=name)


def talk(name: str) -> dict[str, Any]:
    return claude_conversation(claude_message("human", name), uuid=name, name=name)


def ids_of(path: Path) -> list[str]:
    taken, tally = read(path)
    assert tally.problems == []
    return [conversation.conversation_id for conversation in taken]


def test_the_zip_is_read_as_it_came(tmp_path: Path) -> None:
    path = write_zip(
        tmp_path / "export.zip",
        {
            "user.json": {"email": "x"},
            "data/conversations-001.json": [chat("c")],
            "data/conversations-000.json": [chat("a"), chat("b")],
            "../../conversations.json": [talk("d")],
            "__MACOSX/conversations.json": b"\0\1",
            "shared_conversations.json": [{"id": 1}],
        },
    )
    assert ids_of(path) == ["claude:d", "chatgpt:a", "chatgpt:b", "chatgpt:c"]
    assert [entry.name for entry in tmp_path.iterdir()] == ["export.zip"]


def test_conversations_are_found_in_every_shape_of_file(tmp_path: Path) -> None:
    path = tmp_path / "c.json"
    for value in ([chat("a"), talk("b")], {"x": 1, "conversations": [chat("a"), talk("b")]}):
        assert ids_of(write_json(path, value)) == ["chatgpt:a", "claude:b"]
    assert ids_of(write_json(path, chat("a"))) == ["chatgpt:a"]
    assert ids_of(write_json(path, [])) == []
    documents = [own_document(2, conversation_id=name) for name in ("one", "two")]
    assert ids_of(write_json(path, documents)) == ["one", "two"]
    path.write_text("\ufeff" + "\n".join(json.dumps(document) for document in documents), "utf-8")
    assert ids_of(path) == ["one", "two"]


def test_our_own_document_is_taken_without_loss(tmp_path: Path) -> None:
    document = own_document(3)
    for value in (document, [document]):
        [taken], _ = read(write_json(tmp_path / "c.json", value))
        given = document["conversation"]
        assert taken.facts == {
            name: given[name] for name in given if name not in ("owner", "version", "message_count")
        }
        assert [message.to_wire() for message in taken.messages] == marked(document["messages"])


def test_our_own_message_without_id_has_the_same_one_each_time(tmp_path: Path) -> None:
    document = own_document(2)
    for message in document["messages"]:
        del message["message_id"]
        message["content"] = "the same"
    path = write_json(tmp_path / "c.json", document)
    first, second = ([m.message_id for m in read(path)[0][0].messages] for _ in range(2))
    assert first == second
    assert len(set(first)) == 2


def test_only_the_wanted_format_is_taken(tmp_path: Path) -> None:
    path = write_json(tmp_path / "c.json", [chat("a"), talk("b"), own_document()])
    taken, tally = read(path, "claude")
    assert [conversation.conversation_id for conversation in taken] == ["claude:b"]
    assert {reason: skipped.count for reason, skipped in tally.skipped.items()} == {
        "conversations of the format chatgpt": 1,
        "conversations of the format agentic": 1,
    }
    assert tally.problems == []


def test_what_came_before_the_end_of_a_cut_file_is_taken(tmp_path: Path) -> None:
    for value, most in (([chat("a"), chat("b")], 1), (own_document(9), 8)):
        messages = 0
        path = write_json(tmp_path / "c.json", value)
        whole = path.read_bytes()
        for end in range(2, len(whole), 97):
            path.write_bytes(whole[:end])
            taken, tally = read(path)
            messages = sum(len(conversation.messages) for conversation in taken)
            assert messages <= most
            assert len(tally.problems) == 1
            assert f"breaks off in the middle, after {end:,} bytes" in tally.problems[0]
        assert messages == most


def test_one_damaged_conversation_costs_itself(tmp_path: Path) -> None:
    path = tmp_path / "c.json"
    deep = '{"mapping": ' + "[" * 100_000 + "]" * 100_000 + "}"
    odd = ["3", "null", '{"a": 1}', '{"mapping": 3}', '{"chat_messages": {}}', "[,]", deep, "nope"]
    text = ",".join([json.dumps(chat("a")), *odd, json.dumps(chat("b"))])
    path.write_text(f"[{text}]", "utf-8")
    taken, tally = read(path)
    assert [conversation.conversation_id for conversation in taken] == ["chatgpt:a", "chatgpt:b"]
    assert len(tally.problems) == len(odd)
    assert f"number 2 in {path}: left out a conversation that is no JSON object" in str(
        tally.problems
    )
    assert "nested too deeply" in str(tally.problems)


def test_of_two_members_of_one_name_the_last_counts(tmp_path: Path) -> None:
    path = tmp_path / "c.json"
    path.write_text(json.dumps(talk("a"))[:-1] + ', "uuid": "b"}', "utf-8")
    assert ids_of(path) == ["claude:b"]


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"format": "agentic-conversation/2"}, "newer version"),
        ({"conversation": 3}, "without its `conversation`"),
        ({"conversation": {"conversation_id": ""}}, "without a usable conversation_id"),
        ({"conversation": {"conversation_id": 7}}, "without a usable conversation_id"),
        ({"messages": [{"role": "king", "content": "x"}]}, "message 1: role: must be 'user', "),
        ({"messages": [7]}, "message 1: must be an object."),
        ({"messages": [{"role": "user", "content": ""}]}, "message 1: the content of a user"),
        (
            {"messages": [{"role": "user", "content": ["x"], "annotations": {"a": float("nan")}}]},
            "message 1",
        ),
    ],
)
def test_what_is_wrong_with_a_document_of_ours_is_told(
    tmp_path: Path, change: dict[str, Any], problem: str
) -> None:
    _, tally = read(write_json(tmp_path / "c.json", own_document() | change))
    assert problem in tally.problems[0]


def test_facts_have_to_come_before_messages(tmp_path: Path) -> None:
    document = own_document()
    turned = {name: document[name] for name in ("format", "messages", "conversation")}
    taken, tally = read(write_json(tmp_path / "c.json", turned))
    assert taken == []
    assert "has to stand before `messages`" in tally.problems[0]


def test_facts_that_are_nested_too_deeply_are_told_as_that(tmp_path: Path) -> None:
    text = json.dumps(own_document(metadata="DEEP"))
    path = tmp_path / "c.json"
    path.write_text(text.replace('"DEEP"', '{"a":' * 5_000 + "1" + "}" * 5_000), "utf-8")
    taken, tally = read(path)
    assert taken == []
    assert tally.problems == [
        f"number 1 in {path}: left out a conversation that is nested too deeply."
    ]


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"", "is empty"),
        (b" \n", "is empty"),
        (b"\x89PNG\r\n", "byte 0 on: it is no JSON"),
        (b'"text"', "it is no JSON array or object of conversations"),
        ("[]".encode("utf-16"), "UTF-16"),
        (b"[] tail", "byte 3 on"),
        (b"PK\x03\x04 and no zip", "cut off or damaged"),
    ],
)
def test_a_file_of_another_kind_is_named(tmp_path: Path, data: bytes, problem: str) -> None:
    path = tmp_path / "some\x1b[31m.json"
    path.write_bytes(data)
    taken, tally = read(path)
    assert taken == []
    assert problem in tally.problems[0]
    assert "\x1b" not in tally.problems[0]


def test_a_zip_without_conversations_says_what_it_looked_for(tmp_path: Path) -> None:
    _, tally = read(write_zip(tmp_path / "e.zip", {"user.json": {}, "chat.html": {}}))
    assert "no conversations.json in it, among 2 files" in tally.problems[0]


def test_an_encrypted_zip_is_named(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "e.zip", {"conversations.json": [chat("a")]})
    data = bytearray(path.read_bytes())
    data[6] |= 1  # the flag in the file's own header, and in the directory
    data[data.rindex(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(data)
    _, tally = read(path)
    assert "is encrypted" in tally.problems[0]


def test_a_damaged_member_costs_what_comes_after_the_damage(tmp_path: Path) -> None:
    random = Random(1)
    many = [chat(random.randbytes(2_000).hex()) for _ in range(500)]
    path = write_zip(
        tmp_path / "e.zip", {"conversations-0.json": many, "conversations-1.json": [chat("z")]}
    )
    data = bytearray(path.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 64] = b"\xff" * 64
    path.write_bytes(data)
    taken, tally = read(path)
    assert 100 < len(taken) < 400
    assert taken[-1].conversation_id == "chatgpt:z"
    assert "conversations-0.json in " in tally.problems[0]
    assert "cut off or damaged, after " in tally.problems[0]


@pytest.mark.parametrize("packing", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_damage_is_told_of_every_way_of_packing(tmp_path: Path, packing: int) -> None:
    random = Random(1)
    many = [chat(random.randbytes(200).hex()) for _ in range(50)]
    path = tmp_path / "e.zip"
    with zipfile.ZipFile(path, "w", packing) as archive:
        archive.writestr("conversations.json", json.dumps(many))
    whole = path.read_bytes()
    for place in (50, len(whole) // 2):
        path.write_bytes(whole[:place] + b"\xff" * 4 + whole[place + 4 :])
        taken, tally = read(path)
        assert len(taken) < 50
        assert "the zip is cut off or damaged" in tally.problems[0]


def test_a_name_in_a_zip_that_is_no_text_is_told(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "e.zip", {"conversations.json": [chat("a")], "ä.txt": b"x"})
    path.write_bytes(path.read_bytes().replace("ä.txt".encode(), b"\xff\xfe.txt"))
    taken, tally = read(path)
    assert taken == []
    assert "the zip is cut off or damaged" in tally.problems[0]


def test_a_zip_bomb_is_stopped(tmp_path: Path) -> None:
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    packed = b"".join(packer.compress(b'["' if n == 0 else b"x" * 2**20) for n in range(64))
    packed += packer.flush()
    path = tmp_path / "e.zip"
    name = b"conversations.json"
    sizes = struct.pack("<LLLHH", 0, len(packed), 2**31, len(name), 0)
    local = b"PK\3\4" + struct.pack("<HHHHH", 20, 0, 8, 0, 0) + sizes + name
    entry = b"PK\1\2" + struct.pack("<HHHHHH", 20, 20, 0, 8, 0, 0) + sizes
    entry += struct.pack("<HHHLL", 0, 0, 0, 0, 0) + name
    end = struct.pack("<HHHHLLH", 0, 0, 1, 1, len(entry), len(local) + len(packed), 0)
    path.write_bytes(local + packed + entry + b"PK\5\6" + end)
    assert zipfile.is_zipfile(path)
    taken, tally = read(path)
    assert taken == []
    assert "more than 150 times as large as it is in the zip" in tally.problems[0]


def test_a_conversation_too_large_to_be_held_is_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "c.json"
    with path.open("w", encoding="utf-8") as file:
        file.write(f'[{json.dumps(chat("a"))}, {{"mapping": {{"n": "')
        for _ in range(65):
            file.write("x" * 2**20)
        file.write(f'"}}}}, {json.dumps(chat("b"))}]')
    taken, tally = read(path)
    assert [conversation.conversation_id for conversation in taken] == ["chatgpt:a", "chatgpt:b"]
    assert "number 2 in" in tally.problems[0]
    assert "larger than 64 MiB" in tally.problems[0]


@pytest.mark.parametrize("in_array", [True, False])
def test_a_conversation_of_too_many_values_is_passed_over(tmp_path: Path, in_array: bool) -> None:
    """Each would take hundreds of times its bytes; commas in texts are none."""
    commas = chatgpt_conversation(chatgpt_message("," * 1_600_000), conversation_id="commas")
    half = ",".join(["0"] * 800_000)
    many = f'{{"x": [{half}], "y": [{half}], "chat_messages": []}}'
    texts = [json.dumps(commas), many, json.dumps(chat("b"))]
    path = tmp_path / "c.json"
    path.write_text(f"[{','.join(texts)}]" if in_array else "\n".join(texts), "utf-8")
    taken, tally = read(path)
    assert [conversation.conversation_id for conversation in taken] == [
        "chatgpt:commas",
        "chatgpt:b",
    ]
    assert tally.problems == [
        f"number 2 in {path}: left out a conversation that is of more than 1,500,000 values."
    ]


def test_what_is_no_file_is_refused_before_anything_begins(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is a folder"):
        Source(tmp_path).check()
    with pytest.raises(UsageError, match="no file"):
        Source(tmp_path / "missing").check()
    with pytest.raises(UsageError, match="can't be read: File name too long"):
        Source(tmp_path / ("x" * 300)).check()
