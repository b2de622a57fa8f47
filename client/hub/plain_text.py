"""What other programs say about themselves, made fit for a person's screen and a model's eyes."""

import re
from collections.abc import Callable, Mapping

_ESCAPE_SEQUENCE = re.compile(
    r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|.)?", re.DOTALL
)

# Characters that carry orders to a terminal, turn text around, or show a model what a person can't
# see: controls but for newline and tab, bidirectional overrides, tags, variation selectors.
_INVISIBLE = dict.fromkeys(
    (
        *(code for code in (*range(32), *range(127, 160)) if code not in (9, 10)),
        *range(0x202A, 0x202F),
        *range(0x2066, 0x206A),
        0x200B,
        0x2060,
        0xFEFF,
        *range(0xD800, 0xE000),
        *range(0xE0000, 0xE1000),
    )
)

_SECRET_NAME = re.compile(r"key|token|secret|pass|credential|auth|cookie", re.IGNORECASE)
_MIN_SECRET_CHARACTERS = 6
_SCHEMES = frozenset(("basic", "bearer", "digest", "negotiate"))
"""Of the header Authorization."""

Scrub = Callable[[str], str]
"""Hides secrets in a text."""


def clean(text: str, max_characters: int) -> str:
    """`text` without escape sequences and invisible characters, cut at `max_characters`."""
    text = _ESCAPE_SEQUENCE.sub("", text[: 4 * max_characters]).translate(_INVISIBLE).strip()
    return text if len(text) <= max_characters else text[: max_characters - 1].rstrip() + "…"


def create_scrubber(settings: Mapping[str, str]) -> Scrub:
    """A function that hides these settings' values, but for short ones, plain words and paths."""
    secrets: set[str] = set()
    for name, value in settings.items():
        is_plain = value.isalpha() or value.startswith(("/", "~", "."))
        if is_plain and not _SECRET_NAME.search(name):
            continue
        # "Bearer x" may also be seen as just x; the word itself is none.
        parts = (part for part in value.split() if part.lower() not in _SCHEMES)
        secrets.update(part for part in (value, *parts) if len(part) >= _MIN_SECRET_CHARACTERS)
    if not secrets:
        return lambda text: text
    longest_first = sorted(secrets, key=len, reverse=True)
    pattern = re.compile("|".join(re.escape(secret) for secret in longest_first))
    return lambda text: pattern.sub("***", text)
