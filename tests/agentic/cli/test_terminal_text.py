"""Text of others can't steer a terminal."""

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from agentic.cli.terminal_text import TextCleaner, clean, one_line, to_json

ATTACKS = {
    "\x1b[31mred\x1b[0m": "red",
    "\x1b]0;new title\x07text": "text",
    "\x1b]8;;https://evil.example\x1b\\shown\x1b]8;;\x1b\\": "shown",
    "\x1bP1$r0m\x1b\\text": "text",
    "\x1bc\x1b7text": "text",
    "\x9b2Jtext": "2Jtext",
    "a\rb\x08c\x00d\x7f": "abcd",
    "user\u202egnp.exe": "usergnp.exe",
    "a\U000e0041\U000e0042b": "ab",
    "lone \ud800": "lone ",
    "tab\tline\nnext": "tab\tline\nnext",
    "日本語 🙂 e\u0301 \u05d0\u200f": "日本語 🙂 e\u0301 \u05d0\u200f",
}


@pytest.mark.parametrize(("text", "shown"), ATTACKS.items())
def test_sequences_and_controls_are_removed_and_text_stays(text: str, shown: str) -> None:
    assert clean(text) == shown


@pytest.mark.parametrize(("text", "shown"), ATTACKS.items())
def test_a_sequence_that_arrives_in_pieces_is_removed_as_well(text: str, shown: str) -> None:
    cleaner = TextCleaner()
    assert "".join(map(cleaner.feed, text)) + cleaner.finish() == shown


@given(st.lists(st.text(alphabet="\x1b[]0;3m\\\x07\x9bPA.é\n\u202e ")))
@example(["1\x1b\x1b1.", "1"])
def test_whatever_comes_nothing_unsafe_gets_through_and_nothing_else_is_lost(
    pieces: list[str],
) -> None:
    cleaner = TextCleaner()
    shown = "".join(map(cleaner.feed, pieces)) + cleaner.finish()
    assert not set(shown) & set("\x1b\x07\x9b\u202e")
    assert shown == clean("".join(pieces))


def test_a_sequence_without_an_end_holds_back_no_more_than_a_little() -> None:
    cleaner = TextCleaner()
    shown = cleaner.feed("\x1b]0;" + "x" * 10_000)
    assert shown.count("x") == 10_000


def test_json_loses_nothing_and_is_safe_to_show() -> None:
    value = {"a\x1b": ["\x9b31m", "\u202e", "\U000e0041", "é"]}
    text = to_json(value)
    assert json.loads(text) == value
    assert "é" in text
    assert not set(text) & set("\x1b\x9b\u202e\U000e0041")


@pytest.mark.parametrize(
    ("text", "width", "shown"),
    [
        ("a\nb\t c", 10, "a b c"),
        ("abcdefg", 7, "abcdefg"),
        ("abcdefgh", 7, "abcdef…"),
        ("日本語日本語", 7, "日本語…"),
        ("", 3, ""),
    ],
)
def test_one_line_is_as_wide_as_was_said(text: str, width: int, shown: str) -> None:
    assert one_line(text, width) == shown
