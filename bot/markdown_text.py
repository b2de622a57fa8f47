"""Markdown as text and formatted stretches of it, in the forms that Telegram takes."""

import logging
import re
import unicodedata
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import accumulate

from bot.markdown_source import escape_html, escape_operators
from bot.markdown_tables import spell_out_tables

_LINK = re.compile(r"(https?|tg)://\S+")
_CODE = ("pre", "code")
_QUOTES = ("blockquote", "expandable_blockquote")
_TAB_COLUMNS = 4
_SPOILER_TAG = "tg-spoiler>"
_RING = re.compile(r".\u030a")
_LEFT_OUT = re.compile("[\u2028\u2029]|[\u202a-\u202e\u0333\u033f\u030a]|[\0-\x09\x0b-\x1f]")
"""What Telegram leaves out of a message or makes a space of: line separators, turns of direction,
three accents, control characters."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Span:
    """A formatted stretch, in characters of the text."""

    kind: str
    start: int
    end: int
    url: str | None = None
    language: str | None = None


def convert_markdown(markdown: str) -> tuple[str, list[Span]]:
    """The text without its marks, and what they mark: nested or apart, sorted by place.

    Nothing in code, no code in links, bold and its like never around code: Telegram would change
    or drop them.
    """
    whole = _clean(markdown.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace"))
    from telegramify_markdown import RenderConfig, convert

    config = RenderConfig.isolated()
    symbols = config.markdown_symbol
    symbols.heading_level_1 = symbols.heading_level_2 = ""
    symbols.heading_level_3 = symbols.heading_level_4 = ""
    symbols.unordered_list_item = "•"
    symbols.task_uncompleted = "⬜"  # its own shows a check mark
    try:
        shown = escape_operators(spell_out_tables(escape_html(whole)))
        text, entities = convert(shown, config=config)
        if _SPOILER_TAG in text and _SPOILER_TAG not in whole:
            # The converter's own stand-in for `||` was not read back: then nothing is hidden.
            text, entities = convert(shown.replace("||", r"\|\|"), config=config)
    except Exception:  # boundary: whatever a model writes must be shown, if need be as it is
        logger.exception("Markdown could not be rendered; it is sent as it is")
        return whole, []
    ends = unit_ends(text)
    spans = [
        Span(
            kind=entity.type,
            start=bisect_right(ends, entity.offset),
            end=bisect_right(ends, entity.offset + entity.length),
            url=entity.url,
            language=entity.language,
        )
        for entity in entities
    ]
    text, spans = _spell_out_other_links(text, _nest(spans))
    return text, _take_out_of_code(spans)


def unit_ends(text: str) -> list[int]:
    """For each character, where it ends in UTF-16 units."""
    return list(accumulate(2 if ord(character) > 0xFFFF else 1 for character in text))


def utf16_units(text: str) -> int:
    """Length as Telegram counts it."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def _clean(markdown: str) -> str:
    """As Telegram would, but before anything is measured, and with less lost."""

    def stand_in(found: re.Match[str]) -> str:
        if found[0] in "\u2028\u2029":
            return "\n"
        return " " if found[0] < " " else ""

    composed = _RING.sub(lambda found: unicodedata.normalize("NFC", found[0]), markdown)
    lines = composed.replace("\r\n", "\n").replace("\r", "\n").expandtabs(_TAB_COLUMNS)
    return _LEFT_OUT.sub(stand_in, lines)


def _nest(spans: list[Span]) -> list[Span]:
    """As Telegram wants them: nested or apart, none within its own kind, nothing within code."""
    kept: list[Span] = []
    around: list[Span] = []
    for span in sorted(spans, key=lambda span: (span.start, -span.end)):
        while around and around[-1].end <= span.start:
            around.pop()
        outer = {other.kind for other in around}
        if (
            span.kind in outer
            or outer & {*_CODE}
            or (span.kind in _QUOTES and outer & {*_QUOTES})
            or (span.kind in (*_CODE, *_QUOTES) and "text_link" in outer)
        ):
            continue
        inner = replace(span, end=min([span.end, *(other.end for other in around[-1:])]))
        if inner.start < inner.end:
            around.append(inner)
            kept.append(inner)
    return kept


def _take_out_of_code(spans: Sequence[Span]) -> list[Span]:
    """Bold and its like end before code and go on behind it."""
    code = [span for span in spans if span.kind in _CODE]
    kept: list[Span] = []
    for span in spans:
        start = span.start
        if span.kind not in (*_CODE, *_QUOTES, "text_link"):
            for hole in code:
                if start <= hole.start and hole.end <= span.end:
                    kept.append(replace(span, start=start, end=hole.start))
                    start = hole.end
        kept.append(replace(span, start=start))
    whole = (span for span in kept if span.start < span.end)
    return sorted(whole, key=lambda span: (span.start, -span.end))


def _spell_out_other_links(text: str, spans: list[Span]) -> tuple[str, list[Span]]:
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
