"""The fake Bot API server reads formatting as the real one does."""

from typing import Any

import pytest

from tests.fakes.telegram.formatting import format_caption, format_text
from tests.fakes.telegram.refusals import MisusedError, RefusedError


def entity(kind: str, offset: int, length: int, **fields: Any) -> dict[str, Any]:
    return {"type": kind, "offset": offset, "length": length, **fields}


def show(text: str, *entities: dict[str, Any]) -> tuple[str, list[tuple[str, int, int]]]:
    shown = format_text({"text": text, "entities": list(entities)})
    return shown.text, [(e["type"], e["offset"], e["length"]) for e in shown.entities]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "message text is empty"),
        (" \n\u200b\u200d ", "text must be non-empty"),
        ("😀" * 2_049, "message is too long"),
        ("x" * 32_769, "text is too long"),
        ("\ud800", "strings must be encoded in UTF-8"),
    ],
)
def test_texts_have_limits(text: str, complaint: str) -> None:
    with pytest.raises(RefusedError, match=complaint):
        format_text({"text": text})


def test_captions_are_shorter_and_may_be_empty() -> None:
    assert format_caption({}).text == ""
    with pytest.raises(RefusedError, match="message caption is too long"):
        format_caption({"caption": "x" * 1_025})


@pytest.mark.parametrize(
    ("text", "entities", "complaint"),
    [
        ("x", [entity("bold", 0, 2)], "offset 0 ends after the end of the text"),
        ("x", [entity("bold", 2, 1)], "begins after the end of the text"),
        ("😀", [entity("bold", 1, 1)], "begins in a middle of a UTF-16 symbol"),
        ("😀", [entity("bold", 0, 1)], "ends in a middle of a UTF-16 symbol"),
        ("x", [entity("loud", 0, 1)], "unsupported type 'loud'"),
        ("x", [entity("bold", -1, 1)], "incorrect offset -1"),
    ],
)
def test_entities_are_refused(text: str, entities: list[dict[str, Any]], complaint: str) -> None:
    with pytest.raises(RefusedError, match=complaint):
        show(text, *entities)


@pytest.mark.parametrize(
    ("text", "entities", "complaint"),
    [
        ("abc", [entity("code", 0, 2), entity("code", 1, 2)], "overlap"),
        ("abc", [entity("blockquote", 0, 2), entity("code", 1, 2)], "overlap"),
        ("a b", [entity("bold", 1, 1)], "nothing but space"),
        ("abc", [entity("text_link", 0, 1, url="mailto:a@b.c")], "text_link to 'mailto"),
        ("x" * 202, [entity("bold", n, 1) for n in range(0, 202, 2)], "101 entities"),
    ],
)
def test_what_would_be_dropped_in_silence_is_a_mistake(
    text: str, entities: list[dict[str, Any]], complaint: str
) -> None:
    with pytest.raises(MisusedError, match=complaint):
        show(text, *entities)


def test_text_is_cleaned_and_trimmed_and_entities_move_along() -> None:
    shown = show(" \ta\tb\r\nc\u202ed \n", entity("bold", 2, 1), entity("italic", 7, 4))
    assert shown == ("a b\ncd", [("bold", 0, 1), ("italic", 4, 2)])


def test_bold_that_crosses_others_is_split_and_code_is_never_bold() -> None:
    assert show("abcdef", entity("bold", 0, 3), entity("italic", 2, 2))[1] == [
        ("bold", 0, 3),
        ("italic", 2, 2),
    ]
    assert show("abcdef", entity("bold", 0, 6), entity("code", 2, 2))[1] == [
        ("bold", 0, 2),
        ("code", 2, 2),
        ("bold", 4, 2),
    ]


@pytest.mark.parametrize(
    ("mode", "text", "shown"),
    [
        ("HTML", "<b>a <i>b</i></b> &lt;c&gt; &#128512;", "a b <c> 😀"),
        ("HTML", '<pre><code class="language-py">x = 1</code></pre>', "x = 1"),
        ("HTML", "<a href='http://x.y'>l</a><span class=\"tg-spoiler\">s</span>", "ls"),
        ("MarkdownV2", r"*a _b_* `c*` ||s|| a\.b", "a b c* s a.b"),
        ("MarkdownV2", "```py\nx = 1```", "x = 1"),
        ("MarkdownV2", ">quoted\n>too\nnot", "quoted\ntoo\nnot"),
    ],
)
def test_marks_are_read(mode: str, text: str, shown: str) -> None:
    formatted = format_text({"text": text, "parse_mode": mode})
    assert formatted.text == shown
    assert formatted.entities


@pytest.mark.parametrize(
    ("mode", "text", "complaint"),
    [
        ("HTML", "<b>a", "Can't find end tag corresponding to start tag b"),
        ("HTML", "é<x>", 'Unsupported start tag "x" at byte offset 2'),
        ("HTML", "</b>", "Unexpected end tag at byte offset 0"),
        ("HTML", "<b>a</i>", 'Unmatched end tag at byte offset 4, expected "</b>", found "</i>"'),
        ("HTML", "a < b", "Unclosed start tag at byte offset 2"),
        ("HTML", "<span>x</span>", 'Tag "span" must have class "tg-spoiler"'),
        ("MarkdownV2", "a.b", r"Character '.' is reserved and must be escaped"),
        ("MarkdownV2", "é*b", "Can't find end of Bold entity at byte offset 2"),
        ("MarkdownV2", "[a](http://x", "Can't find end of a URL at byte offset 4"),
        ("loud", "x", "unsupported parse_mode"),
    ],
)
def test_marks_that_make_no_sense_are_refused(mode: str, text: str, complaint: str) -> None:
    with pytest.raises(RefusedError, match=complaint.replace(".", r"\.")):
        format_text({"text": text, "parse_mode": mode})
