"""YAML text → plain values: safe, bounded, and loud where YAML itself would be silent.

Read by the rules of YAML 1.2, so `no`, `on` and `12:30` stay text. Keys are text as it was written. Refused:
a key that stands twice, tags (other than `!!str`, `!!map`, `!!seq`), and aliases that multiply without end.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NoReturn

import yaml

from agentic.config.findings import KeyPath

Scalar = str | int | float | bool | None
Tree = Scalar | list["Tree"] | dict[str, "Tree"]

MAX_DEPTH = 50
MAX_VALUES = 50_000
"""Counted after aliases are followed: a kilobyte of them can name a billion values."""

_LOADER: type[yaml.SafeLoader | yaml.CSafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_WHOLE = re.compile(r"[-+]?(?:0|[1-9][0-9]{0,17})|0x[0-9a-fA-F]{1,15}|0o[0-7]{1,20}")
"""Longer ones, and those that start with 0, are ids rather than amounts: they stay as they are written."""
_FRACTION = re.compile(r"[-+]?[0-9]{1,18}(?:\.[0-9]{0,18})?(?:[eE][-+]?[0-9]{1,2})?")
_WORDS: dict[str, Scalar] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_HINTS = (
    (
        "mapping values are not allowed",
        "a colon after a space-less key starts a value: put text that holds ': ' in quotes",
    ),
    (
        "cannot start any token",
        "indent with spaces, not tabs; put text that starts with @, % or a backtick in quotes",
    ),
    ("could not find expected ':'", "this line is no `key: value`; is the indentation right?"),
    ("while scanning a quoted scalar", "a quote is opened here and not closed"),
    ("while parsing a flow sequence", "a list in [ ] opened here lacks a comma or its ]"),
    ("while parsing a flow mapping", "a mapping in { } opened here lacks a comma or its }"),
    ("document start", "the indentation doesn't match the lines above"),
    ("while parsing a block", "the indentation doesn't match the lines above"),
)


class YamlTextError(Exception):
    """The text can't be read; says where, what, and what would be right. Holds no content of the text."""

    def __init__(self, message: str, mark: yaml.Mark | None = None) -> None:
        where = "" if mark is None else f"line {mark.line + 1}, column {mark.column + 1}: "
        super().__init__(where + message)
        self.line = None if mark is None else mark.line + 1


@dataclass(frozen=True, slots=True)
class YamlDocument:
    """What a text says, and on which line each value's key (or list item) stands."""

    tree: Tree
    lines: dict[KeyPath, int]


def parse_yaml(text: str) -> YamlDocument:
    """Read one document; an empty text is `None`.

    Raises:
        YamlTextError: It is no YAML, or YAML that is refused here.
    """
    reader = _Reader(yaml.parse(text, Loader=_LOADER))
    try:
        return YamlDocument(reader.read_document(), reader.lines)
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise YamlTextError(f"line {line}: a character that YAML does not allow") from None
    except yaml.MarkedYAMLError as error:
        raise YamlTextError(_explain(error), error.problem_mark) from None


def _explain(error: yaml.MarkedYAMLError) -> str:
    told = f"{error.context or ''} {error.problem or ''}"
    return next((hint for sign, hint in _HINTS if sign in told), "this is not YAML")


def _resolve(text: str) -> Scalar:
    """The value of a plain scalar."""
    if text in _WORDS:
        return _WORDS[text]
    if _WHOLE.fullmatch(text):
        return int(text, 0)
    if _FRACTION.fullmatch(text) and not text.isdigit():
        return float(text)
    return text


@dataclass(frozen=True, slots=True)
class _Anchored:
    value: Tree
    size: int


@dataclass(slots=True)
class _Reader:
    """Builds values from the parser's events.

    PyYAML's own composer recurses in C without a limit: a few kilobytes of `[` crash the interpreter.
    """

    events: Iterator[yaml.Event]
    lines: dict[KeyPath, int] = field(default_factory=dict[KeyPath, int])
    anchors: dict[str, _Anchored] = field(default_factory=dict[str, _Anchored])
    count: int = 0

    def read_document(self) -> Tree:
        next(self.events)  # the stream's start
        if isinstance(next(self.events), yaml.StreamEndEvent):
            return None
        tree = self.read_value(next(self.events), ())
        next(self.events)  # the document's end
        after = next(self.events)
        if not isinstance(after, yaml.StreamEndEvent):
            self.refuse(after, "a second document (after ---) is not read: keep one")
        return tree

    def read_value(self, event: yaml.Event, path: KeyPath) -> Tree:
        if isinstance(event, yaml.AliasEvent):
            return self.follow(event)
        before = self.count
        self.add(1, event)
        if len(path) > MAX_DEPTH:
            self.refuse(event, f"nested more than {MAX_DEPTH} levels deep")
        self.check_tag(event)
        match event:
            case yaml.ScalarEvent():
                value: Tree = _resolve(event.value) if event.implicit[0] else event.value
            case yaml.SequenceStartEvent():
                value = self.read_list(path)
            case yaml.MappingStartEvent():
                value = self.read_mapping(path)
            case _:
                self.refuse(event, "this is not YAML")
        if event.anchor is not None:
            self.anchors[event.anchor] = _Anchored(value, self.count - before)
        return value

    def read_list(self, path: KeyPath) -> list[Tree]:
        values: list[Tree] = []
        while not isinstance(event := next(self.events), yaml.SequenceEndEvent):
            here = (*path, len(values))
            self.lines[here] = event.start_mark.line + 1
            values.append(self.read_value(event, here))
        return values

    def read_mapping(self, path: KeyPath) -> dict[str, Tree]:
        values: dict[str, Tree] = {}
        merged: dict[str, Tree] = {}
        own_lines: dict[str, int] = {}
        while not isinstance(event := next(self.events), yaml.MappingEndEvent):
            if not isinstance(event, yaml.ScalarEvent):
                self.refuse(event, "a key must be plain text")
            key, line = event.value, event.start_mark.line + 1
            if key == "<<" and event.implicit[0]:
                merged = {**self.read_merge(path), **merged}
                continue
            if key in own_lines:
                self.refuse(
                    event, f"the key stands on line {own_lines[key]} already: keep one of the two"
                )
            own_lines[key] = self.lines[*path, key] = line
            values[key] = self.read_value(next(self.events), (*path, key))
        return {**merged, **values}

    def read_merge(self, path: KeyPath) -> dict[str, Tree]:
        """The value of `<<`: a mapping, or a list of them of which the first wins."""
        event = next(self.events)
        value = self.read_value(event, (*path, "<<"))
        merged: dict[str, Tree] = {}
        for source in value if isinstance(value, list) else [value]:
            if not isinstance(source, dict):
                self.refuse(event, "<< takes a mapping, or a list of mappings")
            merged = {**source, **merged}
        return merged

    def follow(self, event: yaml.AliasEvent) -> Tree:
        anchored = self.anchors.get(event.anchor or "")
        if anchored is None:
            self.refuse(event, "an alias without its anchor; put text that starts with * in quotes")
        self.add(anchored.size, event)
        return anchored.value

    def add(self, size: int, event: yaml.Event) -> None:
        self.count += size
        if self.count > MAX_VALUES:
            self.refuse(event, f"more than {MAX_VALUES} values, aliases included")

    def check_tag(self, event: yaml.Event) -> None:
        tag = getattr(event, "tag", None)
        if tag not in (None, "!", *(f"tag:yaml.org,2002:{name}" for name in ("str", "map", "seq"))):
            self.refuse(event, "tags are not read; put text that starts with ! in quotes")

    def refuse(self, event: yaml.Event, message: str) -> NoReturn:
        raise YamlTextError(message, event.start_mark)
