"""How well a text matches what is looked for, and the piece of it that shows why."""

import re
from collections.abc import Sequence
from typing import NamedTuple

from servers.conversations.search_query import Term
from servers.conversations.search_text import Word, find_words
from servers.conversations.transcript_text import NOT_SHOWN

HIT_MARK = "**"

_SNIPPET_CHARACTERS = 200
_BEFORE_HIT_CHARACTERS = 50
_MAX_HITS = 1_000
_TYPICAL_WORDS = 50
_SATURATION = 1.2
_LENGTH_WEIGHT = 0.75
_RECENCY_WEIGHT = 0.4
_HALF_LIFE_DAYS = 60.0
_SPACE = re.compile(r"\s+")
_MARKUP = re.compile(r"(?<!\w)\*{2,}|\*{2,}(?!\w)")
_MARKS = re.compile(r"\*{2,}")


class _Hit(NamedTuple):
    term: int
    start: int
    end: int


class Match(NamedTuple):
    """What was found in a text."""

    frequencies: Sequence[int]
    """How often each term occurs."""
    words: int
    snippet: str
    """On one line, cut at "…", hits between two `HIT_MARK`s, of which there are no others."""


def match(text: str, terms: Sequence[Term]) -> Match | None:
    """What is found of the terms; None if one of them is missing."""
    words = list(find_words(text))
    hits = _find_hits(words, terms)
    frequencies = [0] * len(terms)
    for hit in hits:
        frequencies[hit.term] += 1
    if not all(frequencies):
        return None
    return Match(frequencies, len(words), _render(text, words, hits))


def score(frequencies: Sequence[int], words: int, age_days: float) -> float:
    """From 0 to 1: greater where terms occur more often, in a shorter text, and more recently.

    The terms' part is that of BM25, without their rarity: a hit has all of them anyhow.
    """
    length = 1 - _LENGTH_WEIGHT + _LENGTH_WEIGHT * words / _TYPICAL_WORDS
    relevance = sum(often / (often + _SATURATION * length) for often in frequencies)
    recency = 0.5 ** (max(age_days, 0.0) / _HALF_LIFE_DAYS)
    return relevance / len(frequencies) * (1 - _RECENCY_WEIGHT + _RECENCY_WEIGHT * recency)


def _find_hits(words: Sequence[Word], terms: Sequence[Term]) -> list[_Hit]:
    folded = [word.folded for word in words]
    hits: list[_Hit] = []
    counts = [0] * len(terms)
    for place in range(len(folded)):
        for number, term in enumerate(terms):
            if counts[number] < _MAX_HITS and term.stands_at(folded, place):
                counts[number] += 1
                last = words[place + len(term.words) - 1]
                hits.append(_Hit(number, words[place].start, last.end))
    return hits


def _render(text: str, words: Sequence[Word], hits: Sequence[_Hit]) -> str:
    first = _find_best(hits)
    begin = max(0, hits[first].start - _BEFORE_HIT_CHARACTERS)
    end = min(len(text), begin + _SNIPPET_CHARACTERS)
    begin = max(0, min(begin, end - _SNIPPET_CHARACTERS))
    # Not in the middle of a word, unless it is a very long one.
    starts = (word.start for word in words if begin <= word.start <= hits[first].start)
    begin = begin and next(starts, begin)
    ends = [word.end for word in words if begin < word.end <= end]
    end = end if end == len(text) or not ends else max(ends)
    parts: list[str] = ["…" if begin else ""]
    place = begin
    for hit_start, hit_end in _merge(hits, begin, end):
        parts += [_clean(text[place:hit_start]), HIT_MARK]
        parts += [_clean(text[hit_start : min(hit_end, end)]), HIT_MARK]
        place = hit_end
    parts += [_clean(text[place:end]), "…" if end < len(text) else ""]
    return "".join(parts).strip()


def _find_best(hits: Sequence[_Hit]) -> int:
    """The number of the hit from which on most terms stand close together."""
    best, most = 0, (0, 0)
    last = 0
    for first, hit in enumerate(hits):
        limit = hit.start + _SNIPPET_CHARACTERS - _BEFORE_HIT_CHARACTERS
        while last < len(hits) and hits[last].end <= limit:
            last += 1
        near = hits[first:last]
        found = (len({each.term for each in near}), len(near))
        if found > most:
            best, most = first, found
    return best


def _merge(hits: Sequence[_Hit], begin: int, end: int) -> list[tuple[int, int]]:
    """Hits that begin between two places, as places that don't overlap."""
    merged: list[tuple[int, int]] = []
    for hit in hits:
        if not begin <= hit.start < end:
            continue
        if merged and hit.start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(merged[-1][1], hit.end))
        else:
            merged.append((hit.start, hit.end))
    return merged


def _clean(text: str) -> str:
    shown = NOT_SHOWN.sub("\ufffd", _SPACE.sub(" ", text))
    return _MARKS.sub("*", _MARKUP.sub("", shown))
