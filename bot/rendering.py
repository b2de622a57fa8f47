"""A reply as Telegram messages: Markdown becomes text and entities, cut at sensible places."""

import logging
import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate

from telegram import MessageEntity

from bot.markdown_source import escape_html

MAX_PART_UNITS = 4_000
"""In UTF-16 units. Telegram allows 4,096; the rest is room for the mark of a possible repeat."""
MAX_PART_ENTITIES = 100
_REPEAT_MARK = "(Possibly a repeat) "
_SEPARATORS = ("\n\n", "\n", ". ", "! ", "? ", " ")
_LINK = re.compile(r"(https?|tg)://\S+")
_JOINS_BEFORE = re.compile(r"[\u0300-\u036f\u200d\ufe00-\ufe0f\u20e3\U0001f3fb-\U0001f3ff]")
"""Characters that change the one before them: an accent, a joiner, a skin tone."""
_MAX_STEPS_BACK = 40

logger = logging.getLogger(__name__)


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


@dataclass(frozen=True, slots=True)
class _Span:
    """A formatted stretch, in characters of the text."""

    kind: str
    start: int
    end: int
    url: str | None = None
    language: str | None = None


def render_parts(markdown: str) -> list[Part]:
    """The messages that show a reply, in order; none if nothing of it can be seen.

    Each has at most 4,000 UTF-16 units and 100 entities, and is never cut inside a character;
    inside something formatted only if that is longer than a message. The same text gives the same
    parts.
    """
    text, spans = _convert(markdown)
    parts: list[Part] = []
    for start, end, inside in _cut(text, spans):
        part = _part(text, inside, start, end)
        if any(c.isprintable() and not c.isspace() for c in part.text):
            parts.append(part)
    return parts


def mark_possible_repeat(part: Part) -> Part:
    """The same, beginning with words that say that it may have been sent before."""
    shift = len(_REPEAT_MARK)
    moved = tuple(
        MessageEntity(e.type, e.offset + shift, e.length, url=e.url, language=e.language)
        for e in part.entities
    )
    return replace(part, text=_REPEAT_MARK + part.text, entities=moved)


def _convert(markdown: str) -> tuple[str, list[_Span]]:
    whole = markdown.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    from telegramify_markdown import RenderConfig, convert

    try:
        text, entities = convert(escape_html(whole), config=RenderConfig.isolated())
    except Exception:  # boundary: whatever a model writes must be shown, if need be as it is
        logger.exception("Markdown could not be rendered; it is sent as it is")
        return whole, []
    ends = _unit_ends(text)
    spans = [
        _Span(
            kind=entity.type,
            start=bisect_right(ends, entity.offset),
            end=bisect_right(ends, entity.offset + entity.length),
            url=entity.url,
            language=entity.language,
        )
        for entity in entities
    ]
    return _spell_out_other_links(text, _nested(spans))


def _unit_ends(text: str) -> list[int]:
    """For each character, where it ends in UTF-16 units."""
    return list(accumulate(2 if ord(character) > 0xFFFF else 1 for character in text))


def _nested(spans: list[_Span]) -> list[_Span]:
    """As Telegram wants them: nested or apart, none within its own kind, nothing within code."""
    kept: list[_Span] = []
    around: list[_Span] = []
    for span in sorted(spans, key=lambda span: (span.start, -span.end)):
        while around and around[-1].end <= span.start:
            around.pop()
        if any(outer.kind in (span.kind, "pre", "code") for outer in around):
            continue
        inner = replace(span, end=min([span.end, *(outer.end for outer in around[-1:])]))
        if inner.start < inner.end:
            around.append(inner)
            kept.append(inner)
    return kept


def _spell_out_other_links(text: str, spans: list[_Span]) -> tuple[str, list[_Span]]:
    """Telegram refuses links to anything but the web: those are written behind their words."""
    for index in reversed(range(len(spans))):
        span = spans[index]
        if span.kind != "text_link" or _LINK.fullmatch(span.url or ""):
            continue
        del spans[index]
        if not span.url or span.url in text[span.start : span.end]:
            continue
        addition = f" ({span.url})"
        text = text[: span.end] + addition + text[span.end :]
        spans[:] = [
            replace(
                other,
                start=other.start + (len(addition) if other.start >= span.end else 0),
                end=other.end + (len(addition) if other.end > span.end else 0),
            )
            for other in spans
        ]
    return text, spans


def _cut(text: str, spans: Sequence[_Span]) -> Iterator[tuple[int, int, Sequence[_Span]]]:
    """Where each part begins and ends, and the spans that it touches."""
    ends = _unit_ends(text)
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


def _find_cut(text: str, spans: Sequence[_Span], start: int, furthest: int) -> int:
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


def _part(text: str, spans: Sequence[_Span], start: int, end: int) -> Part:
    while start < end and text[start].isspace():
        start += 1
    while end > start and text[end - 1].isspace():
        end -= 1
    ends = _unit_ends(text[start:end])

    def units(index: int) -> int:
        return ends[index - start - 1] if index > start else 0

    clipped = [
        replace(span, start=max(span.start, start), end=min(span.end, end)) for span in spans
    ]
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
