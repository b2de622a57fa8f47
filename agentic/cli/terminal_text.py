"""What others wrote, made safe to show in a terminal: no sequence of theirs may steer it.

Models, tools, histories, ids and server names are others'. Every text of theirs goes through here.
"""

import json
import re
import unicodedata

_MAX_HELD_CHARACTERS = 4_096
"""No terminal's sequence is longer; what is, is shown without its introducer."""

# ECMA-48: CSI to its final byte; OSC, DCS, SOS, PM and APC to their end; the rest.
_SEQUENCE = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b[\]PX^_][^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)"
    r"|\x1b[ -/]*[0-OQ-WYZ\\`-~]"
)
_UNFINISHED = re.compile(
    r"(?:\x1b\[[0-?]*[ -/]*|\x1b[\]PX^_][^\x07\x1b\x9c]*\x1b?|\x1b[ -/]*)\Z",
)
# DEL, C1, lone surrogates, bidi embeddings, overrides and isolates, Unicode tags.
_UNSAFE_PRINTABLE = r"\x7f-\x9f\ud800-\udfff\u202a-\u202e\u2066-\u2069\U000e0000-\U000e007f"
_UNSAFE = re.compile(rf"[\x00-\x08\x0b-\x1f{_UNSAFE_PRINTABLE}]")
_UNSAFE_IN_JSON = re.compile(f"[{_UNSAFE_PRINTABLE}]")


class TextCleaner:
    """`clean` for a text that arrives in pieces: a sequence cut between two is removed as well."""

    def __init__(self) -> None:
        self._held = ""

    def feed(self, piece: str) -> str:
        """What of the text so far is safe to show and was not returned before."""
        text, self._held = self._held + piece, ""
        # Before anything is taken out: what then stood side by side could look like a sequence.
        ends = [found.end() for found in _SEQUENCE.finditer(text)]
        unfinished = _UNFINISHED.search(text, max(ends, default=0))
        if unfinished and len(unfinished[0]) <= _MAX_HELD_CHARACTERS:
            text, self._held = text[: unfinished.start()], unfinished[0]
        return clean(text)

    def finish(self) -> str:
        """What was held back in case a sequence would end."""
        held, self._held = self._held, ""
        return _UNSAFE.sub("", held)


def clean(text: str) -> str:
    """`text` without sequences, control characters (newline and tab stay) and bidi overrides."""
    return _UNSAFE.sub("", _SEQUENCE.sub("", text))


def one_line(text: str, max_width: int = 200) -> str:
    """`text` cleaned, on one line, at most `max_width` cells of a terminal wide."""
    words = " ".join(clean(text).split())
    width = 0
    fitting = 0
    for position, character in enumerate(words):
        width += _cells(character)
        if width > max_width:
            return words[:fitting] + "…"
        if width < max_width:
            fitting = position + 1
    return words


def to_json(value: object, *, indent: int | None = 2) -> str:
    r"""`value` as JSON that loses nothing and is safe to show: what isn't stands there as `\u…`."""
    text = json.dumps(value, ensure_ascii=False, indent=indent)
    return _UNSAFE_IN_JSON.sub(lambda found: json.dumps(found[0])[1:-1], text)


def _cells(character: str) -> int:
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1
