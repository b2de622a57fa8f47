"""What the embedded model reads of a tool's result."""

import json

import pytest

from client.llm.local.excerpts import to_excerpt

UUID = "8f14e45f-ceea-467f-a9b0-9f3b7c1f0a11"
HIT = {
    "message_id": UUID,
    "created_at": "2026-11-29T10:33:12.123456Z",
    "snippet": "the **boiler** leaks",
    "score": 1.5,
    "title": None,
}
READ_HIT = "hits: created_at: 2026-11-29 10:33 UTC; snippet: the **boiler** leaks; score: 1.5"


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("It is Sunday.\n\n  Or not. ", "It is Sunday.\nOr not."),
        ("", ""),
        (json.dumps({"hits": [HIT], "truncated": False}), f"truncated: false\n{READ_HIT}"),
        (json.dumps({"hits": []}), "hits: none"),
        (json.dumps([1, 2.5, True, "a\nb", None, {"c": {"d": "e"}}]), "1, 2.5, true, a b\nc: d: e"),
        ('{"kept": "as {it} is"} and more', '{"kept": "as {it} is"} and more'),
        ("[not JSON", "[not JSON"),
    ],
)
def test_what_is_short_is_read_whole_and_json_without_its_ids(text: str, read: str) -> None:
    assert to_excerpt(text, "boiler", 600) == read


def test_json_that_was_cut_is_read_as_far_as_it_goes() -> None:
    whole = json.dumps([{"title": "one", "id": UUID}, {"title": "two", "id": UUID}])
    left_out = "[123 more characters left out]"
    assert to_excerpt(f"{whole[:-40]}\n{left_out}", "?", 600) == (
        f"title: one\ntitle: two\n{left_out}"
    )


def test_of_a_long_text_the_beginning_and_what_was_asked_for_are_read() -> None:
    filler = "Many people like the sea. " * 100
    page = f"The museum of ships. {filler}\nOpening hours: 9 to 17, closed on Sundays. {filler}"
    read = to_excerpt(page, "When does the museum open?", 120)
    first, *_, asked_for, _ = read.splitlines()
    assert first == "The museum of ships."
    assert asked_for == "Opening hours: 9 to 17, closed on Sundays."
    assert len(read) < 150


@pytest.mark.parametrize("text", ["x" * 9_000, "word " * 2_000, "a\n" * 5_000, "[" * 9_000])
def test_no_text_takes_more_than_its_room(text: str) -> None:
    assert 200 < len(to_excerpt(text, "a word", 600)) < 700


def test_of_lines_that_tell_nothing_the_first_are_read() -> None:
    read = to_excerpt("\n".join(f"Item {number} of it" for number in range(99)), "Why?", 50)
    assert read == "Item 0 of it\nItem 1 of it\nItem 2 of it\n[…]"
