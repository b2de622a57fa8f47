"""YAML text → plain values: safe, bounded, and loud where YAML itself would be silent.

Read by the rules of YAML 1.2, so `no`, `on`, `12:30` and `010` stay text. Keys are text as written.
Refused: a key that stands twice, tags (other than `!!str`, `!!map`, `!!seq`), and aliases that
multiply without end.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NoReturn

import yaml

from agentic.config.findings import KeyPath, printable

Scalar = str | int | float | bool | None
Tree = Scalar | list["Tree"] | dict[str, "Tree"]

MAX_DEPTH = 50
MAX_VALUES = 50_000
"""Counted after aliases are followed: a kilobyte of them can name a billion values."""

_LOADER: "type[yaml.SafeLoader | yaml.CSafeLoader]" = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_WHOLE = re.compile(r"[-+]?(?:0|[1-9][0-9]{0,17})|0x[0-9a-fA-F]{1,15}|0o[0-7]{1,20}")
"""Longer ones, and those that start with 0, are ids rather than amounts: they stay text."""
_FRACTION = re.compile(
    r"[-+]?[0-9]{1,18}(?:\.[0-9]{0,18}(?:[eE][-+]?[0-9]{1,2})?|[eE][-+]?[0-9]{1,2})"
)
_WORDS: dict[str, Scalar] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_TAGS = (None, "!", *(f"tag:yaml.org,2002:{name}" for name in ("str", "map", "seq")))
_HINTS = (
    ("mapping values are not allowed", "text that holds a colon and a space belongs in quotes"),
    (
        "cannot start any token",
        "indent with spaces, not tabs; quote text that starts with @, % or `",
    ),
    ("could not find expected ':'", "this is no `key: value`, or its indentation is off"),
    ("escape", r"a \ starts an escape here: put text that holds one in single quotes"),
    ("while scanning a quoted scalar", "the quote that opens here is not closed"),
    ("while parsing a flow sequence", "the list that opens here lacks a comma or its ]"),
    ("while parsing a flow mapping", "the mapping that opens here lacks a comma or its }"),
    ("<document start>", "the indentation doesn't match the lines above"),
    ("while parsing a block", "the indentation doesn't match the lines above"),
)


class YamlTextError(Exception):
    """The text can't be read; says where, what, and what would be right. Holds no value."""


@dataclass(frozen=True, slots=True)
class YamlDocument:
    """What a text says, and on which line each key and list item stands."""

    tree: Tree
    lines: dict[KeyPath, int]


def parse_yaml(text: str, *, max_values: int = MAX_VALUES) -> YamlDocument:
    """Read one document; an empty text is `None`.

    Raises:
        YamlTextError: It is no YAML, or YAML that is refused here.
    """
    try:
        reader = _Reader(yaml.parse(text, Loader=_LOADER), max_values)
        return YamlDocument(reader.read_document(), reader.lines)
    except yaml.MarkedYAMLError as error:
        raise YamlTextError(_explain(error)) from None
    except (yaml.YAMLError, UnicodeError):
        raise YamlTextError(f"line {_line_of_bad_character(text)}: a forbidden character") from None


def _explain(error: yaml.MarkedYAMLError) -> str:
    told = f"{error.context} {error.problem}"
    hint = next((hint for sign, hint in _HINTS if sign in told), "this is not YAML")
    mark = error.problem_mark
    if error.context_mark is not None and "block" not in told:
        mark = error.context_mark  # where the quote or bracket opens; of a block it's the far start
    return hint if mark is None else f"line {mark.line + 1}, column {mark.column + 1}: {hint}"


def _line_of_bad_character(text: str) -> int:
    bad = yaml.reader.Reader.NON_PRINTABLE.search(text)
    return text.count("\n", 0, bad.start() if bad else 0) + 1


def _resolve(text: str) -> Scalar:
    """The value of a plain scalar."""
    if text in _WORDS:
        return _WORDS[text]
    if _WHOLE.fullmatch(text):
        return int(text, 0)
    return float(text) if _FRACTION.fullmatch(text) else text


@dataclass(slots=True)
class _Reader:
    """Builds values from the parser's events.

    PyYAML's own composer recurses in C without a limit: many `[` crash the interpreter.
    """

    events: Iterator[yaml.Event]
    max_values: int
    lines: dict[KeyPath, int] = field(default_factory=dict[KeyPath, int])
    anchored: dict[str, tuple[Tree, int]] = field(default_factory=dict[str, tuple[Tree, int]])
    """Values that aliases can name, with how many values each holds."""
    count: int = 0

    def read_document(self) -> Tree:
        next(self.events)  # the stream's start
        if isinstance(next(self.events), yaml.StreamEndEvent):
            return None
        tree = self.read_value(next(self.events), ())
        next(self.events)  # the document's end
        after = next(self.events)
        if not isinstance(after, yaml.StreamEndEvent):
            _refuse(after, "a second document (after ---) is not read: keep one")
        return tree

    def read_value(self, event: yaml.Event, path: KeyPath) -> Tree:
        before = self.count
        self.add(1, event)
        if len(path) > MAX_DEPTH:
            _refuse(event, f"nested more than {MAX_DEPTH} levels deep")
        match event:
            case yaml.AliasEvent():
                return self.follow(event)
            case yaml.NodeEvent() if getattr(event, "tag", None) not in _TAGS:
                _refuse(event, "tags are not read; put text that starts with ! in quotes")
            case yaml.ScalarEvent():
                value = _resolve(event.value) if event.implicit[0] else event.value
            case yaml.SequenceStartEvent():
                value = self.read_list(path)
            case _:
                value = self.read_mapping(path)
        if (anchor := getattr(event, "anchor", None)) is not None:
            self.anchored[anchor] = value, self.count - before
        return value

    def read_list(self, path: KeyPath) -> list[Tree]:
        values: list[Tree] = []
        while not isinstance(event := next(self.events), yaml.SequenceEndEvent):
            here = (*path, len(values))
            self.lines[here] = _place_of(event)[0]
            values.append(self.read_value(event, here))
        return values

    def read_mapping(self, path: KeyPath) -> dict[str, Tree]:
        values: dict[str, Tree] = {}
        merged: dict[str, Tree] = {}
        while not isinstance(event := next(self.events), yaml.MappingEndEvent):
            if not isinstance(event, yaml.ScalarEvent):
                _refuse(
                    event, "a key must be plain text; put text that starts with *, [ or { in quotes"
                )
            key: str = event.value
            here = (*path, key)
            if key == "<<" and event.implicit[0]:
                merged = {**self.read_merged(here), **merged}
                continue
            if key in values:
                name = printable(key[:80])
                _refuse(
                    event, f"the key {name} stands on line {self.lines[here]} already: keep one"
                )
            self.lines[here] = _place_of(event)[0]
            values[key] = self.read_value(next(self.events), here)
        return {**merged, **values}

    def read_merged(self, path: KeyPath) -> dict[str, Tree]:
        """The value of `<<`: a mapping, or a list of them of which the first wins."""
        event = next(self.events)
        value = self.read_value(event, path)
        merged: dict[str, Tree] = {}
        for source in value if isinstance(value, list) else [value]:
            if not isinstance(source, dict):
                _refuse(event, "<< takes a mapping, or a list of mappings")
            merged = {**source, **merged}
        return merged

    def follow(self, event: yaml.AliasEvent) -> Tree:
        if event.anchor not in self.anchored:
            _refuse(event, "an alias without its anchor; put text that starts with * in quotes")
        value, size = self.anchored[event.anchor]
        self.add(size, event)
        return value

    def add(self, size: int, event: yaml.Event) -> None:
        self.count += size
        if self.count > self.max_values:
            _refuse(event, f"more than {self.max_values:,} values, counting what aliases name")


def _place_of(event: yaml.Event) -> tuple[int, int]:
    mark = event.start_mark
    return (mark.line + 1, mark.column + 1) if mark is not None else (1, 1)


def _refuse(event: yaml.Event, message: str) -> NoReturn:
    line, column = _place_of(event)
    raise YamlTextError(f"line {line}, column {column}: {message}")
