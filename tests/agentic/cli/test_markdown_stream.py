"""Markdown in pieces: each block once, when it is finished, and drawn safely at any width."""

import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from agentic.cli.markdown_stream import MarkdownStream, RenderedMarkdown

REPLY = """# A title

A paragraph with `List<String>` and <b>tags</b>
of two lines.

- one

  still one
- two

| a | b |
|---|---|
| 日本語 | 2 |

```python
def f():

    return 1
```

Done.
"""


def _draw(source: str, *, width: int = 60, last_lines: int | None = None) -> str:
    output = io.StringIO()
    console = Console(file=output, width=width, force_terminal=True, color_system="truecolor")
    console.print(RenderedMarkdown(source, last_lines=last_lines))
    return output.getvalue()


def _blocks(reply: str, size: int) -> list[str]:
    stream = MarkdownStream()
    blocks: list[str] = []
    for start in range(0, len(reply), size):
        stream.feed(reply[start : start + size])
        blocks.append(stream.take_finished())
    return [block for block in [*blocks, stream.take_rest()] if block]


@pytest.mark.parametrize("size", [1, 3, 7, 1_000])
def test_the_blocks_are_the_reply_however_it_is_cut(size: int) -> None:
    assert "".join(_blocks(REPLY, size)) == REPLY


def test_a_block_is_given_when_the_next_one_began_and_not_before() -> None:
    assert [block.split()[0] for block in _blocks(REPLY, 1)] == [
        "#",
        "A",
        "-",
        "|",
        "```python",
        "Done.",
    ]


@settings(max_examples=60, deadline=None)
@given(st.text(alphabet="#*-_`|>[]()<&;\n \t1.a日\x1b\u202e\\~=", max_size=80))
def test_any_text_is_drawn_at_any_width_without_a_sequence_of_its_own(source: str) -> None:
    for width in (1, 20):
        drawn = _draw(source, width=width)
        assert "\u202e" not in drawn
        assert drawn.count("\x1b") == drawn.count("\x1b[")
    assert "".join(_blocks(source, 5)) == "".join(_blocks(source, 1_000))


@pytest.mark.parametrize(
    "source", ["&#8238;x", "&#x1b;[31mx", "\x1b[31mx", "[x](https://a.example/\x1b)"]
)
def test_entities_and_addresses_bring_no_sequence(source: str) -> None:
    drawn = _draw(source)
    assert "\u202e" not in drawn
    assert "\x1b[31m" not in drawn
    assert "\x1b]8" not in drawn


def test_what_looks_like_html_is_shown_and_links_show_where_they_lead() -> None:
    drawn = _draw("Use List<String> and [this](https://a.example).\n\n<div>x</div>")
    assert "List<String>" in drawn
    assert "<div>x</div>" in drawn
    assert "https://a.example" in drawn


def test_only_the_end_of_a_long_block_is_drawn_while_it_is_live() -> None:
    drawn = _draw("\n".join(f"{number}. item" for number in range(1, 100)), last_lines=3)
    assert len(drawn.splitlines()) == 3
    assert "99" in drawn
