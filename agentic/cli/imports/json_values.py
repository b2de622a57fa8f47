"""Pieces of foreign JSON as values that can be stored, and loose types for their shapes."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Annotated, Any, cast

from pydantic import ValidationError, ValidatorFunctionWrapHandler, WrapValidator

from agentic.cli.imports.failures import UnreadablePieceError
from client.hub.arguments import depth_of
from servers.conversations.contract import encode_json
from servers.typed_arguments import MAX_DEPTH

MAX_MESSAGE_DEPTH = MAX_DEPTH + 1
"""Of a message, and of a conversation's own facts: each wraps what is an argument elsewhere."""
_LEVELS_AROUND_INPUT = 3
"""A message, its content, and the block of a call."""

_VALUE = re.compile(rb'(?!\Z)(?:[^",{\[]++|"(?:[^"\\]++|\\.)*+")*+(?:[,{\[]|\Z)', re.DOTALL)
"""Up to where the next one begins, past strings; the last ends with the text."""
_SUSPICIOUS = re.compile(rb"\\u(?:0000|[dD][89a-fA-F])|\xed[\xa0-\xbf]")
_SURROGATE = re.compile("[\ud800-\udfff]")
_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"


@dataclass(frozen=True, slots=True)
class Decoded:
    """A value, and in how many strings of it something that nobody can store was replaced."""

    value: Any
    cleaned: int = 0


def count_values(raw: bytes, most: int) -> int:
    """How many values a piece holds, at the most; above `most` it is certain that they are more."""
    bound = raw.count(b",") + raw.count(b"{") + raw.count(b"[") + 1
    if bound <= most:
        return bound  # it counts what texts hold, too, and is found in no time
    return sum(1 for _ in islice(_VALUE.finditer(raw), most + 1))


def decode(raw: bytes) -> Decoded:
    """The value of a piece, without NUL and without lone surrogates.

    Raises:
        UnreadablePieceError: It is no JSON after all, or nests too deeply.
    """
    try:
        text, damaged = raw.decode("utf-8"), False
    except UnicodeDecodeError:
        text, damaged = raw.decode("utf-8", "replace"), True
    cleaner = _Cleaner()
    try:
        value = json.loads(text)
        if _SUSPICIOUS.search(raw):
            value = cleaner.clean(value)
    except RecursionError:
        raise UnreadablePieceError("nested too deeply") from None
    except ValueError:
        raise UnreadablePieceError("not valid JSON") from None
    return Decoded(value, cleaner.count + damaged)


def why_no_input(value: object) -> str | None:
    """What keeps `value` from being stored as the `input` of a call, in words; None: nothing."""
    return why_not_stored(value, _LEVELS_AROUND_INPUT)


def why_not_stored(value: object, levels_around: int = 0) -> str | None:
    """What keeps `value` from being stored, so many levels within a message; None if nothing does.

    It says `is nested …` or `holds …`.
    """
    deep = why_too_deep(value, levels_around)
    if deep:
        return deep
    try:
        encode_json(value)
    except ValueError as error:
        return str(error)
    return None


def why_too_deep(value: object, levels_around: int = 0) -> str | None:
    """The same, of its depth alone."""
    most = MAX_MESSAGE_DEPTH - levels_around
    return f"is nested more than {most} levels deep" if depth_of(value) > most else None


class _Cleaner:
    def __init__(self) -> None:
        self.count = 0

    def clean(self, value: Any) -> Any:  # noqa: ANN401 - JSON
        if isinstance(value, str):
            return self._clean_text(value)
        if isinstance(value, Mapping):
            pairs = cast("Mapping[str, object]", value)
            return {self._clean_text(key): self.clean(item) for key, item in pairs.items()}
        if isinstance(value, list):
            return [self.clean(item) for item in cast("Sequence[object]", value)]
        return value

    def _clean_text(self, text: str) -> str:
        cleaned = _SURROGATE.sub(_REPLACEMENT, text.replace("\0", ""))
        self.count += cleaned != text
        return cleaned


def _none_if_wrong(value: object, check: ValidatorFunctionWrapHandler) -> object:
    try:
        return check(value)
    except ValidationError:
        return None


Loose = WrapValidator(_none_if_wrong)
"""Makes None of what has another shape than is known: an export's one odd field costs itself."""
Text = Annotated[str | None, Loose]
Flag = Annotated[bool | None, Loose]
Number = Annotated[float | None, Loose]
JsonObject = Annotated[dict[str, Any] | None, Loose]
