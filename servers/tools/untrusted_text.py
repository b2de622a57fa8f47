"""What an endpoint says, made safe to show: no controls, broken Unicode, secrets, hidden text."""

import math
import re
from collections.abc import Iterable
from typing import cast

_EXCERPT_CHARACTERS = 200
_MAX_DEPTH = 64
_SHORTEST_SECRET = 4
_REDACTED = "[redacted]"
_NOTHING = "(?!)"

# ECMA-48: CSI up to its final byte, then the string sequences (OSC, DCS, …) up to their terminator,
# then what has two characters. What is left of a broken one loses its introducer as a control.
_SEQUENCE = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*+[ -/]*+[@-~]"
    r"|(?:\x1b[\]PX^_]|[\x90\x98\x9d-\x9f])[^\x07\x1b\x9c]*+(?:\x07|\x1b\\|\x9c)"
    r"|\x1b[ -/]*+[0-~]"
)
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_SURROGATE = re.compile(r"[\ud800-\udfff]")
# What people don't see and models read: tags, overrides of direction, spaces without width.
# Joiners, marks of direction and variants of a character come one at a time; many are a message.
_HIDDEN = re.compile("[\U000e0000-\U000e007f\u202a-\u202e\u2066-\u2069\u200b\u2060-\u2064\ufeff]")
_HIDDEN_RUN = re.compile("[\u200c-\u200f]{2,}|[\ufe00-\ufe0f\U000e0100-\U000e01ef]{2,}")
_UNUSUAL = "|".join(each.pattern for each in (_CONTROL, _SURROGATE, _HIDDEN, _HIDDEN_RUN))


class UnfitError(ValueError):
    """A JSON value that can't be passed on; the text says why."""


class Cleaner:
    """Takes controls and the given secrets out of what an endpoint says."""

    def __init__(self, secrets: Iterable[str]) -> None:
        longest_first = sorted(
            {secret for secret in secrets if len(secret) >= _SHORTEST_SECRET}, key=len, reverse=True
        )
        self._secrets = re.compile("|".join(map(re.escape, longest_first)) or _NOTHING)
        self._suspicious = re.compile(f"{_UNUSUAL}|{self._secrets.pattern}")

    def clean(self, text: str) -> str:
        """`text` without secrets, escape sequences and controls other than line break and tab."""
        if not self._suspicious.search(text):  # one look at the many texts of a large answer
            return text
        return self._secrets.sub(_REDACTED, strip_controls(text))

    def excerpt(self, text: str) -> str:
        """The beginning of `text` on one line, safe to quote."""
        return excerpt(self.clean(text))  # cut last: a cut could leave half a secret

    def clean_json(self, value: object, depth: int = 0) -> object:
        """A JSON value with each text in it cleaned.

        Raises:
            UnfitError: It nests too deeply, or holds a number that JSON can't express.
        """
        if isinstance(value, str):
            return self.clean(value)
        if isinstance(value, float) and not math.isfinite(value):
            raise UnfitError("a number is too large")
        if isinstance(value, list | dict) and depth >= _MAX_DEPTH:
            raise UnfitError(f"it is nested more than {_MAX_DEPTH} levels deep")
        if isinstance(value, list):
            items = cast("list[object]", value)
            return [self.clean_json(item, depth + 1) for item in items]
        if isinstance(value, dict):
            entries = cast("dict[str, object]", value).items()
            return {self.clean(key): self.clean_json(item, depth + 1) for key, item in entries}
        return value


def strip_controls(text: str) -> str:
    """`text` without escape sequences, control and hidden characters; line breaks and tabs stay."""
    text = _SEQUENCE.sub("", text.replace("\r\n", "\n").replace("\r", "\n"))
    text = _HIDDEN_RUN.sub("", _HIDDEN.sub("", text))
    return _SURROGATE.sub("\N{REPLACEMENT CHARACTER}", _CONTROL.sub("", text))


def excerpt(text: str) -> str:
    """The beginning of `text` on one line, without controls."""
    line = " ".join(strip_controls(text).split())
    return line if len(line) <= _EXCERPT_CHARACTERS else f"{line[:_EXCERPT_CHARACTERS]}…"
