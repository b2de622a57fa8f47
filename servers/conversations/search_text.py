"""Words of a text as search compares them: without case, diacritics and forms of one character.

A word is a run of letters and digits. Where a script puts no spaces between words (Chinese,
Japanese, Thai, …), and in Korean, whose words carry endings, each character is a word of its own,
and so is each emoji: what is looked for then is a phrase of them.
"""

import re
import unicodedata
from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

MAX_WORD_CHARACTERS = 64
"""Of longer ones (hashes, base64) an index holds the beginnings."""
_REST = "#"
"""Stands in a longer word between what an index holds of it, and what it doesn't."""

_ALONE = (
    "\u0e01-\u0e3a\u0e40-\u0e4e\u0e80-\u0eff\u1000-\u109f\u1780-\u17d3"  # Thai, Lao, Burmese, Khmer
    "\u3005-\u3007\u3041-\u3096\u309d-\u309f\u30a1-\u30fa\u30fc-\u30ff\u31f0-\u31ff"  # Japanese
    "\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7a3\uf900-\ufaff\uff66-\uff9d\U00020000-\U0003ffff"
    "\u2600-\u27bf\U0001f000-\U0001f3fa\U0001f400-\U0001faff"  # emoji but for the tones of skin
)
_JAMO = "\u1100-\u11ff\ua960-\ua97f\ud7b0-\ud7fb"
_SYLLABLE = "[\u1100-\u1112][\u1161-\u1175][\u11a8-\u11c2]?"
"""Of Korean, taken apart: a word of its own as it is when it is put together."""
_DIACRITICS = (
    "\u00ad\u0300-\u036f\u0483-\u0487\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4\u05c5\u05c7\u0610-\u061a"
    "\u0640\u064b-\u065f\u0670\u06d6-\u06dc\u06df-\u06e4\u06e7\u06e8\u06ea-\u06ed\u1ab0-\u1aff"
    "\u1dc0-\u1dff\u200b-\u200d\u2060\u20d0-\u20ff\ufe20-\ufe2f\ufeff"
)
# Of these the marks are vowels, which Python's \w leaves out. Then those of Japanese.
_MARKS = _DIACRITICS + "\u0900-\u0963\u0966-\u0dff\u3099\u309a\uff9e\uff9f"
_LETTER = rf"[^\W_{_ALONE}{_JAMO}]"
_WORD = re.compile(
    rf"[{_ALONE}][{_MARKS}]*|{_LETTER}+(?:[{_MARKS}]+{_LETTER}*)*|{_SYLLABLE}|[{_JAMO}]"
)
_ASCII_WORD = re.compile("[a-z0-9]+")
_STROKES = str.maketrans("łøđħŧƶıɨɍɏɇǥ", "lodhtziiryeg")
"""Of letters that Unicode does not take apart, after their case is folded."""
_DROPPED = re.compile(f"[{_DIACRITICS}]+")


class Word(NamedTuple):
    """A word and where it stands."""

    start: int
    end: int
    folded: str


def fold_words(text: str) -> list[str]:
    """The words, in order, as an index holds them: equal ones are the same letters and digits."""
    if text.isascii():
        return [word[:MAX_WORD_CHARACTERS] for word in _ASCII_WORD.findall(text.lower())]
    return [word for found in _WORD.finditer(text) for word in _fold(found[0])]


def find_words(text: str) -> Iterator[Word]:
    """The same with their places, long ones whole; several may stand at one place (½)."""
    for found in _WORD.finditer(text):
        word = found[0]
        folded = _fold(word)
        if len(word) > MAX_WORD_CHARACTERS and folded:
            rest = _fold_simply(word[MAX_WORD_CHARACTERS:])
            folded = (*folded[:-1], f"{folded[-1]}{_REST}{rest}")
        for each in folded:
            yield Word(found.start(), found.end(), each)


def to_indexed_word(folded: str) -> str:
    """What an index holds of a word that `find_words` found."""
    return folded.partition(_REST)[0]


def _fold(word: str) -> tuple[str, ...]:
    if word.isascii():
        return (word[:MAX_WORD_CHARACTERS].lower(),)
    return _fold_any(word[:MAX_WORD_CHARACTERS])


@lru_cache(maxsize=16_384)
def _fold_any(word: str) -> tuple[str, ...]:
    return tuple(part[:MAX_WORD_CHARACTERS] for part in _WORD.findall(_fold_simply(word)))


def _fold_simply(text: str) -> str:
    bare = _DROPPED.sub("", unicodedata.normalize("NFKD", text.casefold()))
    return unicodedata.normalize("NFC", bare).casefold().translate(_STROKES)
