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
    read = to_excerpt(page, "When does the museum open?", 40)
    assert read.splitlines() == [
        "The museum of ships.",
        "Many people like the sea.",
        "Opening hours: 9 to 17, closed on Sundays.",
    ]


@pytest.mark.parametrize(
    ("text", "most"),
    [
        ("x" * 9_000, 210),
        ("some words " * 2_000, 610),
        ("\n".join(map(str, range(10_000, 15_000))), 130),
        (json.dumps([{"n": n, "at": "2026-11-29"} for n in range(1_000)]), 250),
    ],
)
def test_no_text_takes_more_than_its_room_and_digits_take_more_of_it(text: str, most: int) -> None:
    """Each digit is a token to this model, a word is one or two."""
    assert most // 2 < len(to_excerpt(text, "a word", 120)) < most


def test_of_lines_that_tell_nothing_the_first_are_read() -> None:
    read = to_excerpt("\n".join(f"Item {number} of it" for number in range(99)), "Why?", 16)
    assert read == "Item 0 of it\nItem 1 of it\nItem 2 of it\n[…]"


def test_the_question_itself_is_no_answer_to_it() -> None:
    """A search for what it asks finds it before all else: it was stored a moment ago."""
    echo = "hit 1, today: Where does the **boat** lie in winter?"
    said = "hit 2, in May: The **boat** lies in Kiel."
    others = [f"hit {number}, in June: Nobody sails now." for number in (3, 4)]
    text = "\n".join(["4 hits", echo, *others, said])
    read = to_excerpt(text, "Where does the boat lie in winter?", 25).splitlines()
    assert read == ["4 hits", "[…]", said]
    assert echo in to_excerpt(text, "Where does the boat lie in winter?", 200)
