"""Ids of conversations: which are taken, and how they are shown."""

import json
import os
import subprocess

import pytest

from agentic.cli.conversation_ids import check_id, render_id
from agentic.cli.failures import UsageError
from servers.conversations.file_store import open_file_store
from tests.agentic.cli.real_command import RealCommand
from tests.servers.conversations.messages import users

PLAIN = ["default", "telegram:-100:1.2", "ask-20261123-1200-ab12", "a/b_c@d", "日本語", "é😀"]
ODD = [
    " ",
    "  ",
    "a b",
    "it's",
    "$HOME",
    "~",
    "x (y)",
    "$'x'",
    "a\x01",
    "a\x02",
    "a\nb",
    "\x1b[31mred",
    "\x85'\\",
    "a\u202eb",
    "\u200b",
    "\u3000",
    "\U000e0041",
]


def test_ordinary_ids_are_shown_as_they_are() -> None:
    assert [render_id(each) for each in PLAIN] == PLAIN


@pytest.mark.parametrize("odd", ODD)
def test_an_odd_id_is_shown_as_it_can_be_pasted_into_a_shell(odd: str) -> None:
    shown = render_id(odd)
    assert shown != odd
    assert shown.isprintable()
    said = subprocess.run(
        ["bash", "-c", f"printf %s {shown}"],
        env={"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"},
        capture_output=True,
        check=True,
        timeout=30,
    )
    assert said.stdout.decode() == odd


@pytest.mark.slow
async def test_the_list_tells_ids_apart_that_look_alike(command: RealCommand) -> None:
    command.configure("owner: ada\nconversations: {directory: kept}")
    async with open_file_store(command.home / "kept") as store:
        for conversation_id in ("a\x01", "a\x02", " "):
            await store.append_messages("ada", conversation_id, users(2))
    listed = await command.run("conversations", "list")
    assert [line.partition("messages  ")[2] for line in listed.output.splitlines()] == [
        "' '",
        r"$'a\u0002'",
        r"$'a\u0001'",
    ]
    exact = await command.run("conversations", "list", "--json")
    assert [each["conversation_id"] for each in json.loads(exact.output)] == [" ", "a\x02", "a\x01"]


@pytest.mark.parametrize(
    ("verb", "conversation_id"),
    [("show", ""), ("export", "x" * 1_025), ("delete", os.fsdecode(b"\xff"))],
)
async def test_what_can_be_no_id_is_refused_before_a_server_starts(
    command: RealCommand, verb: str, conversation_id: str
) -> None:
    command.configure("conversations: {directory: kept}")
    ended = await command.run("conversations", verb, conversation_id)
    assert ended.exit_code == 2
    assert "The id of a conversation" in ended.notes
    assert not (command.home / "kept").exists()


@pytest.mark.parametrize("wrong", ["", "x" * 1_025, os.fsdecode(b"\xff")])
def test_what_is_no_id_is_refused_wherever_one_is_given(wrong: str) -> None:
    with pytest.raises(UsageError, match="The id of a conversation"):
        check_id(wrong)


def test_an_id_holds_no_nul() -> None:
    with pytest.raises(UsageError, match="NUL"):
        check_id("a\0b")
