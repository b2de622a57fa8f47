"""Texts that others wrote, without what people don't see: controls, broken Unicode, hidden text."""

import re

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
UNUSUAL = "|".join(each.pattern for each in (_CONTROL, _SURROGATE, _HIDDEN, _HIDDEN_RUN))
"""A pattern: what `strip_controls` may change."""


def strip_controls(text: str) -> str:
    """`text` without escape sequences, control and hidden characters; line breaks and tabs stay."""
    text = _SEQUENCE.sub("", text.replace("\r\n", "\n").replace("\r", "\n"))
    text = _HIDDEN_RUN.sub("", _HIDDEN.sub("", text))
    return _SURROGATE.sub("\N{REPLACEMENT CHARACTER}", _CONTROL.sub("", text))


def one_line(text: str, max_characters: int) -> str:
    """The beginning of `text` on one line, without what people don't see."""
    line = " ".join(strip_controls(text).split())
    return line if len(line) <= max_characters else f"{line[:max_characters]}…"
