"""A server's form and page on a terminal: what is shown, what is taken, what is asked again."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

from agentic.cli.question_view import put
from client.asking.forms import parse_form
from client.asking.pages import parse_page
from client.asking.questions import Answer, FormQuestion, PageQuestion, Question

NOW = datetime.now(UTC)
TRIP = {
    "type": "object",
    "properties": {
        "city": {"type": "string", "title": "City\x1b[2J", "minLength": 2},
        "nights": {"type": "integer", "minimum": 1, "maximum": 9, "default": 2},
        "mail": {"type": "string", "format": "email"},
        "day": {"type": "string", "format": "date"},
        "at": {"type": "string", "format": "date-time"},
        "site": {"type": "string", "format": "uri"},
        "share": {"type": "number"},
        "window": {"type": "boolean", "default": False},
        "meal": {"type": "string", "enum": ["v", "m"], "enumNames": ["Vegetables", "Meat"]},
        "seat": {"type": "string", "oneOf": [{"const": "a", "title": "Aisle"}]},
        "bags": {
            "type": "array",
            "items": {"type": "string", "enum": ["s", "l"]},
            "minItems": 1,
            "default": ["s"],
        },
    },
    "required": ["city", "bags"],
}


def form(schema: dict[str, Any] = TRIP, message: str = "Where to?") -> FormQuestion:
    return FormQuestion("travel", "travel__book", parse_form(message, schema), NOW)


async def answer(question: Question, *lines: str | None) -> tuple[Answer, str, Sequence[str]]:
    """What comes of it, what was shown, and which lines were not read."""
    shown: list[str] = []
    left: Iterator[str | None] = iter(lines)

    async def read(prompt: str) -> str | None:
        shown.append(prompt)
        return next(left)

    given = await put(question, shown.append, read)
    return given, "\n".join(shown), [line for line in left if line is not None]


async def test_each_field_is_asked_for_until_it_fits() -> None:
    given, shown, _ = await answer(
        form(),
        *("", "R", "Rome"),
        *("10", "two", "3"),
        *("ada", "ada@example.org"),
        *("29.11.2026", "2026-11-29"),
        *("2026-11-29T14:00:00", "2026-11-29T14:00:00Z"),
        *("no address", "https://example.org"),
        *("1,5", "1.5"),
        *("maybe", "y"),
        *("3", "2"),
        "Aisle?",
        "1",
        *("1 1", "1, 2"),
        *("what", "y"),
    )
    assert given == Answer(
        "accept",
        {
            "city": "Rome",
            "nights": 3,
            "mail": "ada@example.org",
            "day": "2026-11-29",
            "at": "2026-11-29T14:00:00Z",
            "site": "https://example.org",
            "share": 1.5,
            "window": True,
            "meal": "m",
            "seat": "a",
            "bags": ["s", "l"],
        },
    )
    assert "The server travel asks you" in shown
    assert "Write no password" in shown
    assert "1. Vegetables" in shown
    assert "\x1b" not in shown


async def test_enter_takes_a_preset_or_leaves_out_what_may_be_left_out() -> None:
    given, shown, _ = await answer(form(), "Rome", *[""] * 10, "y")
    assert given == Answer("accept", {"city": "Rome"})
    assert form().form.complete(given.values) == {
        "city": "Rome",
        "nights": 2,
        "window": False,
        "bags": ["s"],
    }
    assert "nights: 2" in shown


async def test_it_can_be_written_anew_and_not_be_sent() -> None:
    small = form({"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]})
    given, _, _ = await answer(small, "one", "e", "two", "y")
    assert given == Answer("accept", {"a": "two"})
    assert (await answer(small, "one", "n"))[0] == Answer("decline")
    assert (await answer(small, None))[0] == Answer("decline")


async def test_a_form_without_fields_asks_for_a_yes() -> None:
    nothing = form({"type": "object", "properties": {}}, "Go on?")
    assert (await answer(nothing, "", "y"))[0] == Answer("accept")
    assert (await answer(nothing, "no"))[0] == Answer("decline")


async def test_a_page_is_shown_with_its_host_and_who_wants_it_opened() -> None:
    page = parse_page("Pay\u202e now.", "http://xn--pple-43d.example:8080/pay?order=7")
    question = PageQuestion("shop", "shop__pay", page, NOW)
    given, shown, _ = await answer(question, "", "y")
    assert given == Answer("accept")
    assert "The server shop asks you" in shown
    assert "xn--pple-43d.example  (not encrypted" in shown
    assert "It has not been opened" in shown
    assert "\u202e" not in shown
    assert (await answer(question, "n"))[0] == Answer("decline")
