"""YAML as it is read here: YAML 1.2, bounded, and never silent."""

import time

import pytest

from agentic.config.yaml_text import YamlTextError, parse_yaml


def fail(text: str) -> str:
    with pytest.raises(YamlTextError) as caught:
        parse_yaml(text)
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", None),
        ("# only a comment", None),
        ("~", None),
        ("true", True),
        ("False", False),
        ("no", "no"),
        ("on", "on"),
        ("12:30", "12:30"),
        ("2026-01-02", "2026-01-02"),
        ("010", "010"),
        ("0", 0),
        ("-7", -7),
        ("0x1F", 31),
        ("0o17", 15),
        ("1e3", 1000.0),
        ("1.50", 1.5),
        ("1.", 1.0),
        (".inf", ".inf"),
        ("1e999", "1e999"),
        ("9" * 30, "9" * 30),
        ("'5'", "5"),
        ("!!str 5", "5"),
        ("|\n  two\n  lines\n", "two\nlines\n"),
        ("{1: a, on: b, 0x1: c}", {"1": "a", "on": "b", "0x1": "c"}),
        ("[&x {a: 1}, *x]", [{"a": 1}, {"a": 1}]),
        ("base: &b {a: 1, c: 2}\nmine: {<<: *b, a: 3}",
         {"base": {"a": 1, "c": 2}, "mine": {"a": 3, "c": 2}}),
        ("{<<: [{a: 1}, {a: 2, b: 3}]}", {"a": 1, "b": 3}),
        ('{"<<": 1}', {"<<": 1}),
        ("a: 1\r\nb: 2\r\n", {"a": 1, "b": 2}),
    ],
)  # fmt: skip
def test_values_are_what_yaml_1_2_says(text: str, value: object) -> None:
    tree = parse_yaml(text).tree
    assert tree == value
    assert type(tree) is type(value)


@pytest.mark.parametrize(
    ("text", "place", "what"),
    [
        ("a: b: c", "line 1, column 5", "quotes"),
        ("a:\n\tb: c", "line 2, column 1", "tabs"),
        ("a: @x", "line 1, column 4", "quote text that starts with @"),
        ("a: [1\nb: 2", "line 1, column 4", "comma"),
        ("a: {b", "line 1, column 4", "}"),
        ("a: 1\nb: 'x\nc: 2", "line 2, column 4", "not closed"),
        ("  a: 1\n b: 2", "line 2, column 2", "indentation"),
        ("a: 1\nb\nc: 2", "line 2, column 1", "key: value"),
        ("a: 1\nb: 2\na: 3", "line 3, column 1", "the key a stands on line 1 already"),
        ("x: {a: 1, 'a': 2}", "line 1, column 11", "stands on line 1 already"),
        ("1: a\n1: b", "line 2, column 1", "stands on line 1 already"),
        ("a: 1\n---\nb: 2", "line 2, column 1", "second document"),
        ("a: *gone", "line 1, column 4", "an alias without its anchor"),
        ("a: &a [*a]", "line 1, column 8", "an alias without its anchor"),
        ("a: !!python/object:os.system x", "line 1, column 4", "tags"),
        ("a: !secret x", "line 1, column 4", "tags"),
        ("a: !!int x", "line 1, column 4", "tags"),
        ("? [a]\n: b", "line 1, column 3", "a key must be plain text"),
        ("*x : b", "line 1, column 1", "a key must be plain text"),
        ("<<: 5", "line 1, column 5", "<< takes a mapping"),
        ("a: \x01", "line 1", "character"),
        ('a: "C:\\path"', "line 1, column 4", "single quotes"),
        ("a: 1\nb: \ufffe", "line 2", "character"),
        ("a: \ud800", "line 1", "character"),
    ],
)
def test_what_cannot_be_read_says_where_and_what_to_do(text: str, place: str, what: str) -> None:
    told = fail(text)
    assert told.startswith(place)
    assert what in told


@pytest.mark.parametrize(
    "text", ["a: *hunter2", "a: !hunter2 x", "a: [hunter2", "hunter2: b: c", "a: 'hunter2"]
)
def test_an_error_never_shows_a_value(text: str) -> None:
    assert "hunter2" not in fail(text)


def laugh(first: str, again: str) -> str:
    """Lines that each name the one before more than once."""
    lines = [again.format(mine=number, before=number - 1) for number in range(1, 40)]
    return "\n".join([f"a0: &a0 {first}", *lines])


@pytest.mark.parametrize(
    "text",
    [
        "[" * 100_000,
        "{a: " * 100_000,
        "- " * 100_000,
        "- x\n" * 100_000,
        laugh("[x]", "a{mine}: &a{mine} [" + "*a{before}, " * 10 + "]"),
        laugh("{x: 1}", "a{mine}: &a{mine} {{l: *a{before}, r: *a{before}}}"),
    ],
    ids=["lists", "mappings", "items", "long", "laughs in lists", "laughs in mappings"],
)
def test_a_text_that_grows_without_end_is_refused_soon(text: str) -> None:
    started = time.process_time()
    assert "more than" in fail(text)
    assert time.process_time() - started < 5


def test_the_lines_of_keys_and_items_are_known() -> None:
    lines = parse_yaml("a:\n  b:\n    - x\n    - y\n").lines
    assert lines == {("a",): 1, ("a", "b"): 2, ("a", "b", 0): 3, ("a", "b", 1): 4}
