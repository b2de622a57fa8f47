import pytest
from hypothesis import given
from hypothesis import strategies as st

from client.response_parser import Piece, ResponseParser


@pytest.mark.parametrize(
    ("text", "content", "thoughts"),
    [
        ("<thinking>a</thinking>b", "b", "a"),
        ("x <think>y</think> z", "x  z", "y"),
        ("<THINKING>loud</Thinking>quiet", "quiet", "loud"),
        ("<reasoning>one</reasoning>two<thoughts>three</thoughts>", "two", "onethree"),
        ("<thinking>never closed", "", "never closed"),
        ("a < b and <thin and <thinkingx>", "a < b and <thin and <thinkingx>", None),
        ("`<think>` is a tag <think>q</think>ok", "`<think>` is a tag ok", "q"),
        ("```\n<think>code</think>\n```\nend", "```\n<think>code</think>\n```\nend", None),
        ("an `open tick\n<think>t</think>end", "an `open tick\nend", "t"),
        ("<think>a</thinking>b</think>c", "c", "a</thinking>b"),
        ("", "", None),
        ("  spaces stay  ", "  spaces stay  ", None),
    ],
)
def test_thoughts_are_taken_apart(text: str, content: str, thoughts: str | None) -> None:
    parsed = ResponseParser.parse_response(text)
    assert (parsed.content, parsed.thoughts) == (content, thoughts)


def test_shown_thinking_stays_in_the_content() -> None:
    parsed = ResponseParser.parse_response("<think>a</think>b", show_thinking=True)
    assert (parsed.content, parsed.thoughts) == ("<think>a</think>b", "a")


def test_nothing_is_taken_apart_unless_asked() -> None:
    parsed = ResponseParser.parse_response("<think>a</think>b", extract_thoughts=False)
    assert (parsed.content, parsed.thoughts) == ("<think>a</think>b", None)


fragments = st.sampled_from(
    ["<think>", "</think>", "<thinking>", "</thinking>", "`", "```", "\n", "<", "thin", "a b", ">"]
)


@given(st.lists(fragments | st.text(max_size=5)), st.lists(st.integers(1, 7), min_size=1))
def test_a_stream_gives_the_same_wherever_it_is_cut(parts: list[str], sizes: list[int]) -> None:
    text = "".join(parts)
    whole, streamed = ResponseParser(), ResponseParser()
    expected = [*whole.feed(text), *whole.finish()]
    pieces: list[Piece] = []
    position = turn = 0
    while position < len(text):
        size = sizes[turn % len(sizes)]
        pieces.extend(streamed.feed(text[position : position + size]))
        position, turn = position + size, turn + 1
    pieces.extend(streamed.finish())
    for kind in ("content", "thoughts"):
        assert "".join(p.text for p in pieces if p.kind == kind) == "".join(
            p.text for p in expected if p.kind == kind
        )


def test_text_is_given_on_as_soon_as_it_is_certain() -> None:
    parser = ResponseParser()
    assert [piece.text for piece in parser.feed("Hello <")] == ["Hello "]
    assert [piece.text for piece in parser.feed("3 you")] == ["<3 you"]
