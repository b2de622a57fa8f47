"""Model text made safe for the Markdown converter, which leaves out what it takes for marks."""

import re
from collections.abc import Iterator, Mapping
from typing import Any, cast

import pyromark

_OPTIONS = (
    pyromark.Options.ENABLE_TABLES
    | pyromark.Options.ENABLE_STRIKETHROUGH
    | pyromark.Options.ENABLE_TASKLISTS
    | pyromark.Options.ENABLE_MATH
)
"""As the converter parses."""
_PASSES = 3
"""Escaping a block of HTML may lay open inline HTML in what it held."""
_OPERATOR = re.compile(rb"(?<!\S)\|\|(?!\S)")

Place = tuple[int, int]


def escape_html(markdown: str) -> str:
    """The same text, with HTML outside of code written so that it is shown: `List<String>`."""
    for _ in range(_PASSES):
        ranges = list(_html_ranges(markdown)) if "<" in markdown else []
        if not ranges:
            break
        markdown = _substitute(markdown, ranges, re.compile(rb"<"), rb"\\<")
    return markdown


def escape_operators(markdown: str) -> str:
    """The same text, with `||` between spaces written so that it hides nothing: `a || b`."""
    if "||" not in markdown:
        return markdown
    return _substitute(markdown, list(_prose_ranges(markdown)), _OPERATOR, rb"\\|\\|")


def _substitute(
    markdown: str, ranges: list[Place], pattern: re.Pattern[bytes], replacement: bytes
) -> str:
    source = markdown.encode("utf-8")
    pieces: list[bytes] = []
    position = 0
    for start, end in ranges:
        pieces += [source[position:start], pattern.sub(replacement, source[start:end])]
        position = end
    return b"".join([*pieces, source[position:]]).decode("utf-8")


def read_events(markdown: str) -> Iterator[tuple[dict[str, Any], Place]]:
    """Those that carry something, with their places in bytes."""
    events = pyromark.events_with_range(markdown, options=_OPTIONS)
    for event, place in cast("list[tuple[Any, dict[str, int]]]", events):
        if isinstance(event, dict):
            yield cast("dict[str, Any]", event), (place["start"], place["end"])


def _html_ranges(markdown: str) -> Iterator[Place]:
    for event, place in read_events(markdown):
        if "Html" in event or "InlineHtml" in event:
            yield place


def _prose_ranges(markdown: str) -> Iterator[Place]:
    """What is text, but not that of blocks of code."""
    in_block = False
    for event, place in read_events(markdown):
        if "CodeBlock" in (name_tag(event, "Start"), name_tag(event, "End")):
            in_block = "Start" in event
        elif "Text" in event and not in_block:
            yield place


def name_tag(event: Mapping[str, Any], kind: str) -> str:
    """Of an event that starts or ends something, what: `Table`; nothing of others."""
    tag = event.get(kind, "")
    return next(iter(cast("dict[str, Any]", tag))) if isinstance(tag, dict) else tag
