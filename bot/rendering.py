"""A reply as Telegram messages: Markdown becomes text and entities, cut at sensible places."""

import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from telegram import MessageEntity

from bot.long_code import CodeFile, put_aside_long_code
from bot.markdown_text import Span, convert_markdown, unit_ends
from bot.media import ToolFile

MAX_PART_UNITS = 4_000
"""In UTF-16 units. Telegram allows 4,096; the rest is room for the mark of a possible repeat."""
MAX_PART_ENTITIES = 100
_REPEAT_MARK = "(Possibly a repeat) "
_SEPARATORS = ("\n\n", "\n", ". ", "! ", "? ", " ")
_JOINS_BEFORE = re.compile(r"[\u0300-\u036f\u200d\ufe00-\ufe0f\u20e3\U0001f3fb-\U0001f3ff]")
"""Characters that change the one before them: an accent, a joiner, a skin tone."""
_MAX_STEPS_BACK = 40


@dataclass(frozen=True, slots=True)
class Button:
    """Something to press below a message; `data` (64 bytes at most) is what the bot hears."""

    label: str
    data: str


@dataclass(frozen=True, slots=True)
class Part:
    """One Telegram message."""

    text: str
    entities: tuple[MessageEntity, ...] = ()
    buttons: tuple[tuple[Button, ...], ...] = ()
    """In rows."""
    file: CodeFile | None = None
    """A document, which the text is the caption of."""
    returned: ToolFile | None = None
    """Something that has its caption; the text stands before that."""


def render_parts(markdown: str) -> list[Part]:
    """The messages that show a reply, in order; none if nothing of it can be seen.

    Each has at most 4,000 UTF-16 units and 100 entities, and is never cut inside a character;
    inside something formatted only if that is longer than a message. Code that is so long follows
    whole, in files, behind all texts. The same text gives the same parts.
    """
    text, spans, files = put_aside_long_code(*convert_markdown(markdown), MAX_PART_UNITS)
    parts: list[Part] = []
    for start, end, inside in _cut(text, spans):
        part = _part(text, inside, start, end)
        if any(map(_is_visible, part.text)):
            parts.append(part)
    return [*parts, *(Part("", file=file) for file in files)]


def mark_possible_repeat(part: Part) -> Part:
    """The same, beginning with words that say that it may have been sent before."""
    shift = len(_REPEAT_MARK)
    moved = tuple(
        MessageEntity(e.type, e.offset + shift, e.length, url=e.url, language=e.language)
        for e in part.entities
    )
    return replace(part, text=_REPEAT_MARK + part.text, entities=moved)


def _cut(text: str, spans: Sequence[Span]) -> Iterator[tuple[int, int, Sequence[Span]]]:
    """Where each part begins and ends, and the spans that it touches."""
    ends = unit_ends(text)
    start = 0
    while start < len(text):
        before = ends[start - 1] if start else 0
        furthest = bisect_right(ends, before + MAX_PART_UNITS)
        inside = [span for span in spans if span.end > start and span.start < furthest]
        if len(inside) > MAX_PART_ENTITIES and inside[MAX_PART_ENTITIES].start > start:
            furthest = inside[MAX_PART_ENTITIES].start
        end = furthest if furthest == len(text) else _find_cut(text, inside, start, furthest)
        yield start, end, inside
        start = end


def _find_cut(text: str, spans: Sequence[Span], start: int, furthest: int) -> int:
    """The best place in (start, furthest]: outside of spans if possible, at a strong separator."""
    for inside_spans, earliest in ((False, start + (furthest - start) // 8), (True, start)):
        for separator in _SEPARATORS:
            end = furthest
            while (found := text.rfind(separator, earliest, end)) >= 0:
                cut = found + len(separator)
                if inside_spans or not any(span.start < cut < span.end for span in spans):
                    return cut
                end = found + len(separator) - 1
        if not inside_spans:
            crossing = [span.start for span in spans if span.start < furthest < span.end]
            if crossing and min(crossing) > earliest:
                return min(crossing)
            if not crossing:
                return _between_characters(text, start, furthest)
    return _between_characters(text, start, furthest)


def _between_characters(text: str, start: int, end: int) -> int:
    """`end`, or a little before it, so that no accent or joined emoji is torn off."""
    for cut in range(end, max(start, end - _MAX_STEPS_BACK), -1):
        if not _JOINS_BEFORE.match(text[cut]) and text[cut - 1] != "\u200d":
            return cut
    return end


def _part(text: str, spans: Sequence[Span], start: int, end: int) -> Part:
    while start < end and text[start].isspace():
        start += 1
    while end > start and text[end - 1].isspace():
        end -= 1
    ends = unit_ends(text[start:end])

    def units(index: int) -> int:
        return ends[index - start - 1] if index > start else 0

    clipped = [_clip(text, span, start, end) for span in spans]
    entities = tuple(
        MessageEntity(
            span.kind,
            units(span.start),
            units(span.end) - units(span.start),
            url=span.url,
            language=span.language,
        )
        for span in clipped
        if span.start < span.end
    )
    return Part(text[start:end], entities[:MAX_PART_ENTITIES])


def _clip(text: str, span: Span, start: int, end: int) -> Span:
    """What of it is in this stretch, without space around, which Telegram would not mark."""
    start, end = max(span.start, start), min(span.end, end)
    while start < end and not _is_visible(text[start]):
        start += 1
    while end > start and not _is_visible(text[end - 1]):
        end -= 1
    return replace(span, start=start, end=end)


def _is_visible(character: str) -> bool:
    return character.isprintable() and not character.isspace()
