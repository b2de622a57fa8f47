"""Markdown becomes messages that Telegram takes, with nothing of the text lost."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.long_code import CodeFile
from bot.rendering import MAX_PART_UNITS, Part, mark_possible_repeat, render_parts
from tests.fakes.telegram.formatting import format_text, utf16_units

PIECES = [
    *["**", "*", "_", "__", "`", "```\n", "```py\n", "\n", "\n\n", "# ", "- ", "> ", "|", "||"],
    *["~~", "[a](http://x.y)", "[b](foo)", "[", "](", "😀", "👩‍👩‍👧", "é", "e\u0301", "a b c "],
    *["<b>", "</b>", "$x$", r"\(", "1. ", "\t", "    ", "\u200d", "<", "&amp;", "~", "\u202e"],
    *["![i](http://i.j)", "word " * 300, "x" * 2_500, "\ud800", "\0", "| a | b |\n|---|---|\n"],
]


def check(parts: list[Part]) -> None:
    """As the strict fake does, also when the part is sent again."""
    for part in parts:
        if part.file is not None:
            continue
        assert utf16_units(part.text) <= MAX_PART_UNITS
        for shown in (part, mark_possible_repeat(part)):
            entities = [entity.to_dict() for entity in shown.entities]
            format_text({"text": shown.text, "entities": entities})


@given(st.lists(st.sampled_from(PIECES), max_size=60).map("".join))
@settings(max_examples=300, deadline=None)
def test_whatever_a_model_writes_is_sendable(markdown: str) -> None:
    check(render_parts(markdown))


@pytest.mark.parametrize(
    "markdown",
    [
        ">" * 5_000 + "x",
        "[" * 20_000,
        "**b** " * 1_500,
        "||a||" * 1_000,
        "👩‍👩‍👧" * 2_000,
        "😀" * 4_096,
        "a" * 20_000,
        "**" + "a" * 9_000 + "**",
        "```py\n" + "x = 1\n" * 3_000 + "```",
        "\u202e" + "אבג " * 2_000,
    ],
)
def test_nasty_markdown_is_sendable(markdown: str) -> None:
    parts = render_parts(markdown)
    assert parts
    check(parts)


@pytest.mark.parametrize("nothing", ["", "   \n", "\u200b\u200d", "** **"[2:3]])
def test_what_nobody_could_see_is_no_message(nothing: str) -> None:
    assert render_parts(nothing) == []


@pytest.mark.parametrize(
    ("markdown", "text"),
    [
        ("use List<String> here", "use List<String> here"),
        ("<div>\nhello <i>you</i>\n</div>\n\nbye", "<div>\nhello <i>you</i>\n</div>\n\nbye"),
        ("`a<b>` and <https://x.y>", "a<b> and https://x.y"),
        ("```\n<x>\n```", "<x>"),
        ("[mail](mailto:a@b.c) or [web](https://b.c)", "mail (mailto:a@b.c) or web"),
        ("snake_case_name and 2*3*4", "snake_case_name and 234"),
        ("if a || b then c || d, ||hidden||", "if a || b then c || d, hidden"),
        ("`a || b` and `c || d`", "a || b and c || d"),
        ("```\nif:\n\tx\n\t\ty\n```", "if:\n    x\n        y"),
        ("A\u030angstrom", "Ångstrom"),
        ("# Title\n\ntext", "Title\n\ntext"),
        ("- [x] done\n- [ ] to do\n- other", "✅ done\n⬜ to do\n• other"),
    ],
)
def test_nothing_that_was_written_is_left_out(markdown: str, text: str) -> None:
    (part,) = render_parts(markdown)
    assert part.text == text


def formats_of(part: Part) -> list[tuple[str, str]]:
    units = part.text.encode("utf-16-le")
    return [
        (e.type, units[2 * e.offset : 2 * (e.offset + e.length)].decode("utf-16-le"))
        for e in part.entities
    ]


def test_formats_are_such_as_telegram_keeps() -> None:
    (part,) = render_parts("**bold `code` bold** [a `code` link](http://x.y) ** b **\n\n>q\n>>r")
    assert formats_of(part) == [
        ("bold", "bold"),
        ("code", "code"),
        ("bold", "bold"),
        ("text_link", "a code link"),
        ("blockquote", "q\nr"),
    ]


def test_a_narrow_table_has_columns_and_another_is_a_list_that_keeps_its_formats() -> None:
    (narrow,) = render_parts("| a | b |\n|---|---|\n| 1 | **2** |")
    assert formats_of(narrow) == [("pre", "a | b\n--+--\n1 | 2")]
    wide = "| Name | Where it can be found | What it is for |\n|---|---|---|\n"
    (listed,) = render_parts(f"{wide}| one | [here](http://x.y) | **all** |\n| two | | - |")
    assert listed.text == (
        "• Name: one\nWhere it can be found: here\nWhat it is for: all\n"
        "• Name: two\nWhat it is for: -"
    )
    assert formats_of(listed) == [("text_link", "here"), ("bold", "all")]


def test_parts_end_between_paragraphs_and_not_in_a_code_block() -> None:
    prose, code = "Some words. " * 250, "```py\n" + "x = 1\n" * 300 + "```"
    first, second = render_parts(f"{prose}\n\n{code}")
    assert first.text == prose.strip()
    assert [(e.type, e.language) for e in second.entities] == [("pre", "py")]
    assert second.entities[0].length == utf16_units(second.text)


def test_a_code_block_longer_than_a_message_is_a_file_and_begins_in_the_text() -> None:
    code = "\n".join(f"line {number}" for number in range(1_000))
    text, file = render_parts(f"before\n\n> quoted\n\n```python\n{code}\n```\n\n**after**")
    assert file == Part("", file=CodeFile("code-1.py", code))
    assert text.text.startswith("before\n\nquoted\n\nline 0\n")
    assert "line 11\n(All 1,000 lines are in code-1.py.)" in text.text
    assert "line 12" not in text.text
    shown = "\n".join(code.split("\n")[:12])
    assert formats_of(text) == [("blockquote", "quoted"), ("pre", shown), ("bold", "after")]


def test_a_quote_around_long_code_ends_where_it_did() -> None:
    text, file = render_parts("> ```\n> " + "x😀" * 2_000 + "\n> ```\n> q\n\nafter")
    assert file.file == CodeFile("code-1.txt", "x😀" * 2_000)
    (_, quoted), (_, shown) = formats_of(text)
    assert shown == ("x😀" * 267)[:-1]
    assert quoted == f"{shown}\n(All of it is in code-1.txt.)\nq"
    assert text.text == f"{quoted}\n\nafter"


def test_a_joined_emoji_is_not_torn_apart() -> None:
    family = "👩‍👩‍👧"
    parts = render_parts(family * 1_200)
    assert all(part.text == family * (len(part.text) // len(family)) for part in parts)
