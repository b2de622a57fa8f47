"""What of a tool's result the embedded model reads: each token of it takes time on a processor."""

import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import cast

from pydantic_core import from_json

CUT = "[…]"
"""Stands where something was left out."""
_OPAQUE = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|[0-9a-f]{24,}", re.IGNORECASE)
"""Ids that nobody reads: each takes as long as a sentence."""
_TIME = re.compile(r"(\d{4}-\d\d-\d\d)T(\d\d:\d\d)(?::\d\d(?:\.\d+)?)?(Z|[+-]\d\d:\d\d)")
_SENTENCE_END = re.compile(r"(?<=[.!?\u2026])\s+|(?<=[\u3002\uff01\uff1f])")
_TOKEN = re.compile(r"\d|[a-zA-Z]{1,5}|[^\W\d_]{1,2}|[^\w\s]+|_")
_ANY_WORD = re.compile(r"\w+")
_WORD = re.compile(r"\w{3,}")
_STEM_CHARACTERS = 4
"""Words that begin alike are taken for one: `opening` for `open`."""
_MAX_LINE_CHARACTERS = 200


def to_excerpt(text: str, question: str, most: int) -> str:
    """`text` in at most about `most` tokens: what has most to do with the `question`.

    JSON becomes lines without ids. What is left out is marked as such, but for repetitions.
    """
    lines = [line.strip() for line in _to_lines(text)]
    lines = [line for line in lines if line]
    if sum(map(_count, lines)) > most:
        lines = list(dict.fromkeys(part for line in lines for part in _split(line)))
    kept = _select(lines, question, most)
    shown: list[str] = []
    for number, line in enumerate(lines):
        if number in kept:
            shown.append(line)
        elif not shown or shown[-1] != CUT:
            shown.append(CUT)
    return "\n".join(shown)


def _select(lines: Sequence[str], question: str, most: int) -> set[int]:
    """The numbers of the lines that are shown: the first, then the most telling ones."""
    stems = [_to_stems(line) for line in lines]
    spread = Counter(stem for found in stems for stem in found)
    wanted = _to_stems(question)
    # A word that stands everywhere tells nothing.
    telling = [sum(1 / spread[stem] for stem in found & wanted) for found in stems]
    asked = _to_words(question)
    for number, line in enumerate(lines):
        # What is asked is stored first, so a search finds the question itself before all else.
        if asked and asked in _to_words(line):
            telling[number] = -1
    kept: set[int] = set()
    left = most
    for number in sorted(range(len(lines)), key=lambda n: (n > 0, -telling[n], n)):
        cost = _count(lines[number])
        if cost <= left:
            kept.add(number)
            left -= cost
        elif telling[number] <= 0:
            break
    return kept


def _count(line: str) -> int:
    """About how many tokens a line is, its end included."""
    return 1 + len(_TOKEN.findall(line))


def _to_words(text: str) -> str:
    """Without marks: a search marks what it was asked for."""
    return " ".join(_ANY_WORD.findall(text.casefold()))


def _to_stems(text: str) -> set[str]:
    return {word[:_STEM_CHARACTERS] for word in _WORD.findall(text.casefold())}


def _split(line: str) -> Iterator[str]:
    """Sentences, and pieces of those that are too long."""
    for sentence in _SENTENCE_END.split(line):
        for start in range(0, len(sentence), _MAX_LINE_CHARACTERS):
            yield sentence[start : start + _MAX_LINE_CHARACTERS]


def _to_lines(text: str) -> list[str]:
    if text.lstrip()[:1] not in ("{", "["):
        return text.splitlines()
    # What was too long for a result was cut, with a last line that says so.
    told, _, last = text.rpartition("\n")
    is_cut = last.endswith("left out]")
    try:
        value = from_json(told if is_cut else text, allow_partial=is_cut)
    except ValueError:
        return text.splitlines()
    return [*_render(value), *([last] if is_cut else [])]


def _render(value: object, name: str = "") -> Iterator[str]:
    """A line for all that is simple in an object, and lines of their own for what isn't."""
    before = f"{name}: " if name else ""
    if isinstance(value, dict):
        members = cast("dict[str, object]", value)
        simple = [(key, _to_word(each)) for key, each in members.items()]
        if told := "; ".join(f"{key}: {word}" for key, word in simple if word):
            yield before + told
        for key, each in members.items():
            if _is_nested(each):
                yield from _render(each, key)
    elif isinstance(value, list):
        items = cast("list[object]", value)
        told = ", ".join(filter(None, map(_to_word, items)))
        if told or not items:
            yield before + (told or "none")
        for each in items:
            if _is_nested(each):
                yield from _render(each, name)
    else:
        yield before + _to_word(value)


def _is_nested(value: object) -> bool:
    return isinstance(value, dict | list)


def _to_word(value: object) -> str:
    """A simple value as people write it; nothing of an id, of nothing, and of what is nested."""
    if value is None or _is_nested(value):
        return ""
    if not isinstance(value, str):
        return json.dumps(value)
    if _OPAQUE.fullmatch(value):
        return ""
    return _TIME.sub(_to_time, " ".join(value.split()))


def _to_time(found: re.Match[str]) -> str:
    date, time, zone = found.groups()
    return f"{date} {time} {'UTC' if zone == 'Z' else zone}"
