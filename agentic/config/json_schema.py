"""JSON values against a JSON Schema, and what is wrong with them in words."""

import json
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import Any, cast
from urllib.parse import urlsplit

from jsonschema import Draft202012Validator, FormatChecker, SchemaError, ValidationError

_SHOWN_CHARACTERS = 60
_TYPE_NAMES: Mapping[str, str] = {
    "string": "a string",
    "integer": "an integer",
    "number": "a number",
    "boolean": "true or false",
    "array": "an array",
    "object": "an object",
    "null": "null",
}
_formats = FormatChecker(("date", "email", "ipv4", "ipv6", "uuid"))


def create_validator(schema: Mapping[str, Any]) -> Draft202012Validator:
    """A validator that also checks the formats date, date-time, email, ipv4, ipv6, uri and uuid."""
    return Draft202012Validator(schema, format_checker=_formats)


def check_schema(schema: Mapping[str, Any]) -> None:
    """Check that a schema is one, and complete in itself.

    Raises:
        ValueError: It is none, or refers to something outside.
    """
    if any(_holds_key(schema, keyword) for keyword in ("$ref", "$dynamicRef", "$id")):
        raise ValueError("should be written out, without $ref and $id")
    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as error:
        where = ".".join(map(str, error.absolute_path))
        raise ValueError(
            f"is no JSON Schema: {f'{where} ' if where else ''}{describe_problem(error)}"
        ) from None


def _holds_key(value: object, key: str) -> bool:
    match value:
        case dict():
            entries = cast("dict[str, object]", value)
            return key in entries or any(_holds_key(each, key) for each in entries.values())
        case list():
            return any(_holds_key(each, key) for each in cast("list[object]", value))
        case _:
            return False


def iterate_problems(validator: Draft202012Validator, value: object) -> Iterator[ValidationError]:
    """What is wrong with `value`, one by one."""
    errors: Iterator[ValidationError] = validator.iter_errors(  # pyright: ignore[reportUnknownMemberType] # untyped stubs
        cast("Any", value)
    )
    return errors


def describe_problem(error: ValidationError | SchemaError) -> str:
    """What was expected instead of the value at hand, as the rest of a sentence about it."""
    describe = _DESCRIPTIONS.get(str(error.validator))
    expected = describe(error.validator_value) if describe else f"must satisfy {error.validator}"
    return f"{expected}, not {_show(error.instance)}"


def _show(value: object) -> str:
    match value:
        case None | bool() | int() | float():
            return _cut(json.dumps(value))
        case str():
            return f"the string {_cut(json.dumps(value[: _SHOWN_CHARACTERS + 1]))}"
        case list():
            return "an array"
        case _:
            return "an object"


def _cut(text: str) -> str:
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}…"


def describe_type(types: str | list[str]) -> str:
    """What `type` of a schema asks for, such as `a string or null`."""
    names = [types] if isinstance(types, str) else types
    return " or ".join(_TYPE_NAMES[name] for name in names)


_DESCRIPTIONS: Mapping[str, Callable[[Any], str]] = {
    "type": lambda types: f"must be {describe_type(types)}",
    "enum": lambda values: f"must be one of {', '.join(json.dumps(value) for value in values)}",
    "minimum": lambda limit: f"must be at least {limit}",
    "maximum": lambda limit: f"must be at most {limit}",
    "minLength": lambda limit: f"must have at least {limit} characters",
    "maxLength": lambda limit: f"must have at most {limit} characters",
    "minItems": lambda limit: f"must have at least {limit} items",
    "maxItems": lambda limit: f"must have at most {limit} items",
    "pattern": lambda pattern: f"must match the pattern {pattern}",
    "format": lambda name: f"must be in the format {name}",
}


@_formats.checks("date-time", raises=ValueError)
def _is_date_time(value: object) -> bool:
    """RFC 3339: a date, a time and an offset."""
    if not isinstance(value, str):
        return True
    return "T" in value.upper() and datetime.fromisoformat(value.upper()).tzinfo is not None


@_formats.checks("uri", raises=ValueError)
def _is_uri(value: object) -> bool:
    if not isinstance(value, str):
        return True
    return bool(urlsplit(value).scheme) and not any(each.isspace() for each in value)
