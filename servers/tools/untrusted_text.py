"""What an endpoint says, made safe to show: no terminal controls, no broken Unicode, no secrets."""

import math
import re
from collections.abc import Iterable
from typing import cast

_EXCERPT_CHARACTERS = 200
_MAX_DEPTH = 64
_SHORTEST_SECRET = 4
_REDACTED = "[redacted]"

# ECMA-48: CSI up to its final byte, then the string sequences (OSC, DCS, …) up to their terminator,
# then what has two characters. What is left of a broken one loses its introducer as a control.
_SEQUENCE = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*+[ -/]*+[@-~]"
    r"|(?:\x1b[\]PX^_]|[\x90\x98\x9d-\x9f])[^\x07\x1b\x9c]*+(?:\x07|\x1b\\|\x9c)"
    r"|\x1b[ -/]*+[0-~]"
)
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_SURROGATE = re.compile(r"[\ud800-\udfff]")
_UNUSUAL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")


class UnfitError(ValueError):
    """A JSON value that can't be passed on; the text says why."""


class Redactor:
    """Replaces the given secrets wherever they occur in a text."""

    def __init__(self, secrets: Iterable[str]) -> None:
        longest_first = sorted(
            {secret for secret in secrets if len(secret) >= _SHORTEST_SECRET}, key=len, reverse=True
        )
        self._pattern = (
            re.compile("|".join(map(re.escape, longest_first))) if longest_first else None
        )

    def redact(self, text: str) -> str:
        """`text` without the secrets."""
        return text if self._pattern is None else self._pattern.sub(_REDACTED, text)


def strip_controls(text: str) -> str:
    """`text` without escape sequences and control characters, but with its line breaks and tabs."""
    if not _UNUSUAL.search(text):
        return text
    text = _SEQUENCE.sub("", text.replace("\r\n", "\n").replace("\r", "\n"))
    return _SURROGATE.sub("\N{REPLACEMENT CHARACTER}", _CONTROL.sub("", text))


def excerpt(text: str, redactor: Redactor | None = None) -> str:
    """The beginning of `text` on one line, safe to quote."""
    shown = strip_controls(text)
    if redactor is not None:  # before cutting, which could leave half a secret
        shown = redactor.redact(shown)
    line = " ".join(shown.split())
    return line if len(line) <= _EXCERPT_CHARACTERS else f"{line[:_EXCERPT_CHARACTERS]}…"


def clean_json(value: object, redactor: Redactor, depth: int = 0) -> object:
    """A JSON value with each text in it made safe.

    Raises:
        UnfitError: It nests too deeply, or holds a number that JSON can't express.
    """
    match value:
        case str():
            return redactor.redact(strip_controls(value))
        case float() if not math.isfinite(value):
            raise UnfitError("a number is too large")
        case list() | dict() if depth >= _MAX_DEPTH:
            raise UnfitError(f"it is nested more than {_MAX_DEPTH} levels deep")
        case list():
            items = cast("list[object]", value)
            return [clean_json(item, redactor, depth + 1) for item in items]
        case dict():
            entries = cast("dict[str, object]", value)
            return {
                str(clean_json(key, redactor)): clean_json(item, redactor, depth + 1)
                for key, item in entries.items()
            }
        case _:
            return value
