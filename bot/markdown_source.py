"""Model text made safe for the Markdown converter, which leaves out whatever looks like HTML."""

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


def escape_html(markdown: str) -> str:
    """The same text, with HTML outside of code written so that it is shown: `List<String>`."""
    for _ in range(_PASSES):
        ranges = _html_ranges(markdown)
        if not ranges:
            break
        source = markdown.encode("utf-8")
        pieces: list[bytes] = []
        position = 0
        for start, end in ranges:
            pieces += [source[position:start], source[start:end].replace(b"<", b"\\<")]
            position = end
        markdown = b"".join([*pieces, source[position:]]).decode("utf-8")
    return markdown


def _html_ranges(markdown: str) -> list[tuple[int, int]]:
    if "<" not in markdown:
        return []
    events = cast(
        "list[tuple[Any, dict[str, int]]]", pyromark.events_with_range(markdown, options=_OPTIONS)
    )
    return [
        (place["start"], place["end"])
        for event, place in events
        if isinstance(event, dict) and ("Html" in event or "InlineHtml" in event)
    ]
