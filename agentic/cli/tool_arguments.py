"""Arguments of a tool as they are typed: one JSON object, or key=value pairs."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, cast

from agentic.cli.failures import UsageError
from agentic.cli.terminal_text import one_line


def parse_arguments(words: Sequence[str], input_schema: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments; a value becomes what the tool's schema wants, if it can be that.

    Raises:
        UsageError: It is neither a JSON object nor pairs.
    """
    if len(words) == 1 and words[0].lstrip().startswith("{"):
        return _parse_object(words[0])
    known: Mapping[str, Any] = input_schema.get("properties") or {}
    arguments: dict[str, Any] = {}
    for word in words:
        name, separator, value = word.partition("=")
        if not separator or not name:
            raise UsageError(
                f"{one_line(word)} is no argument: give key=value pairs, or one JSON object."
            )
        if name in arguments:
            raise UsageError(f"{one_line(name)} is given twice.")
        arguments[name] = _parse_value(value, known.get(name))
    return arguments


def _parse_object(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"The arguments are no JSON object: {error}.") from None
    return cast("dict[str, Any]", value)


def _parse_value(text: str, schema: object) -> object:
    """`text` as JSON, unless the schema wants a string or it is no JSON."""
    if isinstance(schema, Mapping) and _accepts_string(cast("Mapping[str, Any]", schema)):
        return text
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _accepts_string(schema: Mapping[str, Any]) -> bool:
    """Whether a text is right as it stands; `"5"` for a number or a text is the text."""
    kinds: object = schema.get("type")
    if isinstance(kinds, str):
        return kinds == "string"
    if isinstance(kinds, list):
        return "string" in kinds
    options: list[Any] = schema.get("enum") or []
    alternatives: list[Any] = schema.get("anyOf") or schema.get("oneOf") or []
    return any(isinstance(option, str) for option in options) or any(
        isinstance(part, Mapping) and _accepts_string(cast("Mapping[str, Any]", part))
        for part in alternatives
    )
