"""What an endpoint says, made safe to show: no controls, broken Unicode, secrets, hidden text."""

import math
import re
from collections.abc import Iterable
from typing import cast

from agentic.config.plain_text import UNUSUAL, one_line, strip_controls

_EXCERPT_CHARACTERS = 200
_MAX_DEPTH = 64
_SHORTEST_SECRET = 4
_REDACTED = "[redacted]"
_NOTHING = "(?!)"


class UnfitError(ValueError):
    """A JSON value that can't be passed on; the text says why."""


class Cleaner:
    """Takes controls and the given secrets out of what an endpoint says."""

    def __init__(self, secrets: Iterable[str]) -> None:
        longest_first = sorted(
            {secret for secret in secrets if len(secret) >= _SHORTEST_SECRET}, key=len, reverse=True
        )
        self._secrets = re.compile("|".join(map(re.escape, longest_first)) or _NOTHING)
        self._suspicious = re.compile(f"{UNUSUAL}|{self._secrets.pattern}")
        in_bytes = (re.escape(secret.encode("utf-8", "surrogatepass")) for secret in longest_first)
        self._secret_bytes = re.compile(b"|".join(in_bytes) or _NOTHING.encode())

    def clean(self, text: str) -> str:
        """`text` without secrets, escape sequences and controls other than line break and tab."""
        if not self._suspicious.search(text):  # one look at the many texts of a large answer
            return text
        return self._secrets.sub(_REDACTED, strip_controls(text))

    def clean_bytes(self, data: bytes) -> bytes:
        """`data`, no text as far as is known, with a secret's bytes blotted out; as long as it was.

        A secret that is compressed or encoded in it is not found.
        """
        return self._secret_bytes.sub(lambda found: b"*" * len(found[0]), data)

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


def excerpt(text: str) -> str:
    """The beginning of `text` on one line, without controls."""
    return one_line(text, _EXCERPT_CHARACTERS)
