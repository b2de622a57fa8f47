"""Forms that servers put to a person: what they may ask for, and whether an answer fits.

The subset of JSON Schema that MCP allows: flat, of texts, numbers, yes or no, and choices.
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Literal, cast
from urllib.parse import urlsplit

from client.hub.plain_text import clean

Value = str | int | float | bool | list[str]

MAX_FIELDS = 24
MAX_OPTIONS = 100
MAX_MESSAGE_CHARACTERS = 2_000
_MAX_TITLE_CHARACTERS = 100
_MAX_DESCRIPTION_CHARACTERS = 500
_MAX_VALUE_CHARACTERS = 10_000
_EMAIL = re.compile(r"[^@\s]{1,64}@[^@\s.]+(?:\.[^@\s.]+)+")
_DATE = re.compile(r"\d{4}-\d\d-\d\d")
_DATE_TIME = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d.*")

TextFormat = Literal["email", "uri", "date", "date-time"]
_FORMATS: Mapping[TextFormat, str] = {
    "email": "an address such as ada@example.org",
    "uri": "an address such as https://example.org/x",
    "date": "a day such as 2026-11-29",
    "date-time": "a time such as 2026-11-29T14:00:00+01:00",
}


class FormError(Exception):
    """A server's form can't be put to anybody; the text says why."""


class AnswerError(Exception):
    """What was answered does not fit; the text says what would."""


@dataclass(frozen=True, slots=True)
class _Asked:
    """One thing that is asked for. `title` and `description` are cleaned for a screen.

    Each kind has a `preset`, which counts if nothing is answered; a `hint` of what may be answered;
    `parse` for what a person typed, and `check` for a value: both raise `AnswerError`.
    """

    name: str
    title: str
    description: str
    required: bool


@dataclass(frozen=True, slots=True)
class TextField(_Asked):
    """A text."""

    format: TextFormat | None = None
    min_length: int = 0
    max_length: int = _MAX_VALUE_CHARACTERS
    preset: str | None = None

    def hint(self) -> str:
        """Its format and length."""
        kind = _FORMATS[self.format] if self.format else "text"
        if self.max_length < _MAX_VALUE_CHARACTERS:
            return f"{kind}, {self.min_length} to {self.max_length} characters"
        return f"{kind}, at least {self.min_length} characters" if self.min_length else kind

    def parse(self, text: str) -> str:
        """As it was typed."""
        return self.check(text)

    def check(self, value: object) -> str:
        """Whether it is such a text."""
        if not isinstance(value, str):
            raise AnswerError("this has to be text")
        if not self.min_length <= len(value) <= self.max_length:
            raise AnswerError(f"this has to be {self.hint()}")
        if self.format and not _has_format(value, self.format):
            raise AnswerError(f"this has to be {_FORMATS[self.format]}")
        return value


@dataclass(frozen=True, slots=True)
class NumberField(_Asked):
    """A number, or a whole one."""

    is_integer: bool = False
    minimum: float | None = None
    maximum: float | None = None
    preset: int | float | None = None

    def hint(self) -> str:
        """Its bounds."""
        kind = "a whole number" if self.is_integer else "a number"
        match self.minimum, self.maximum:
            case None, None:
                return kind
            case low, None:
                return f"{kind}, at least {low:g}"
            case None, high:
                return f"{kind}, at most {high:g}"
            case low, high:
                return f"{kind}, {low:g} to {high:g}"

    def parse(self, text: str) -> int | float:
        """Digits, with a point where it need not be whole."""
        try:
            return self.check(int(text))
        except ValueError:
            pass
        try:
            return self.check(float(text))
        except ValueError:
            raise AnswerError(f"this has to be {self.hint()}") from None

    def check(self, value: object) -> int | float:
        """Whether it is such a number."""
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise AnswerError(f"this has to be {self.hint()}")
        is_whole = isinstance(value, int) or value.is_integer()
        is_low = self.minimum is not None and value < self.minimum
        is_high = self.maximum is not None and value > self.maximum
        if is_low or is_high or (self.is_integer and not is_whole) or not math.isfinite(value):
            raise AnswerError(f"this has to be {self.hint()}")
        return int(value) if self.is_integer else value


@dataclass(frozen=True, slots=True)
class YesNoField(_Asked):
    """Yes or no."""

    preset: bool | None = None

    def hint(self) -> str:
        """The two."""
        return "y or n"

    def parse(self, text: str) -> bool:
        """A word for one of them."""
        match text.strip().lower():
            case "y" | "yes" | "true":
                return True
            case "n" | "no" | "false":
                return False
            case _:
                raise AnswerError("this has to be y or n")

    def check(self, value: object) -> bool:
        """Whether it is one of them."""
        if not isinstance(value, bool):
            raise AnswerError("this has to be yes or no")
        return value


@dataclass(frozen=True, slots=True)
class Option:
    """One of several; `title` is cleaned for a screen."""

    value: str
    title: str


@dataclass(frozen=True, slots=True)
class ChoiceField(_Asked):
    """One of several."""

    options: Sequence[Option] = ()
    preset: str | None = None

    def hint(self) -> str:
        """How it is chosen."""
        return f"a number from 1 to {len(self.options)}"

    def parse(self, text: str) -> str:
        """Its number, or the value itself."""
        return _parse_option(text, self.options)

    def check(self, value: object) -> str:
        """Whether it is one of them."""
        return _check_option(value, self.options)


@dataclass(frozen=True, slots=True)
class ManyField(_Asked):
    """Any number of several."""

    options: Sequence[Option] = ()
    min_items: int = 0
    max_items: int = MAX_OPTIONS
    preset: list[str] | None = None

    def hint(self) -> str:
        """How they are chosen."""
        most = min(self.max_items, len(self.options))
        return f"{self.min_items} to {most} numbers from 1 to {len(self.options)}, such as 1, 2"

    def parse(self, text: str) -> list[str]:
        """Their numbers."""
        parts = [part for part in re.split(r"[,\s]+", text.strip()) if part]
        return self.check([_parse_option(part, self.options) for part in parts])

    def check(self, value: object) -> list[str]:
        """Whether these are some of them, each once, and as many as there may be."""
        if not isinstance(value, list):
            raise AnswerError(f"this has to be {self.hint()}")
        chosen = [_check_option(each, self.options) for each in cast("list[object]", value)]
        if len(set(chosen)) < len(chosen):
            raise AnswerError("each can be chosen once only")
        if not self.min_items <= len(chosen) <= self.max_items:
            raise AnswerError(f"this has to be {self.hint()}")
        return chosen


Field = TextField | NumberField | YesNoField | ChoiceField | ManyField


@dataclass(frozen=True, slots=True)
class Form:
    """What a server says, cleaned for a screen, and what it asks for."""

    message: str
    fields: Sequence[Field]

    def complete(self, values: Mapping[str, Value]) -> dict[str, Value]:
        """The values, presets for those that are missing.

        Raises:
            AnswerError: One does not fit, is required and missing, or was not asked for.
        """
        names = {field.name for field in self.fields}
        if strange := next((name for name in values if name not in names), None):
            raise AnswerError(f"{strange!r} was not asked for")
        completed: dict[str, Value] = {}
        for field in self.fields:
            value = values.get(field.name, field.preset)
            if value is not None:
                try:
                    completed[field.name] = field.check(value)
                except AnswerError as error:
                    raise AnswerError(f"{field.name}: {error}") from None
            elif field.required:
                raise AnswerError(f"{field.name}: this is required")
        return completed


def parse_form(message: str, schema: Mapping[str, Any]) -> Form:
    """A server's form.

    Raises:
        FormError: It is over a limit, or asks for what MCP's forms can't.
    """
    properties = schema.get("properties")
    if schema.get("type") != "object" or not isinstance(properties, dict):
        raise FormError("a form has to be an object with properties")
    named = cast("dict[str, object]", properties)
    if len(named) > MAX_FIELDS:
        raise FormError(f"it asks for {len(named)} things at once, over {MAX_FIELDS}")
    required = frozenset(cast("Sequence[str]", schema.get("required") or ()))
    fields = [_parse_field(name, each, required=name in required) for name, each in named.items()]
    return Form(clean(message, MAX_MESSAGE_CHARACTERS), fields)


def _parse_field(name: str, schema: object, *, required: bool) -> Field:
    if not isinstance(schema, dict) or not 1 <= len(name) <= _MAX_TITLE_CHARACTERS:
        raise FormError(f"its field {clean(name, 40)!r} is none")
    known = cast("dict[str, Any]", schema)
    title = clean(str(known.get("title") or name), _MAX_TITLE_CHARACTERS)
    description = clean(str(known.get("description") or ""), _MAX_DESCRIPTION_CHARACTERS)
    try:
        field = _create_field(known, (name, title, description, required))
        if field.preset is not None:
            field.check(field.preset)
    except (AnswerError, TypeError, ValueError, KeyError) as error:
        raise FormError(f"its field {clean(name, 40)!r} can't be asked for: {error}") from None
    return field


def _create_field(schema: dict[str, Any], told: tuple[str, str, str, bool]) -> Field:
    preset = schema.get("default")
    match schema:
        case {"type": "string", "enum": [*values]}:
            titles = schema.get("enumNames") or values
            return ChoiceField(*told, _options(values, titles), preset)
        case {"type": "string", "oneOf": [*options]}:
            return ChoiceField(*told, _titled(options), preset)
        case {"type": "array", "items": {"enum": [*values]}}:
            return ManyField(*told, _options(values, values), *_counts(schema), preset)
        case {"type": "array", "items": {"anyOf": [*options]}}:
            return ManyField(*told, _titled(options), *_counts(schema), preset)
        case {"type": "string"}:
            kind = schema.get("format")
            format_ = kind if kind in _FORMATS else None
            least = int(schema.get("minLength", 0))
            most = int(schema.get("maxLength", _MAX_VALUE_CHARACTERS))
            return TextField(*told, format_, least, min(most, _MAX_VALUE_CHARACTERS), preset)
        case {"type": "integer" | "number" as kind}:
            bounds = (_number(schema.get("minimum")), _number(schema.get("maximum")))
            return NumberField(*told, kind == "integer", *bounds, preset)
        case {"type": "boolean"}:
            return YesNoField(*told, preset)
        case _:
            raise ValueError("MCP's forms know no such type")


def _options(values: Sequence[object], titles: Sequence[object]) -> list[Option]:
    if not 1 <= len(values) <= MAX_OPTIONS or len(titles) != len(values):
        raise ValueError(f"it has {len(values)} options, of at most {MAX_OPTIONS}")
    return [
        Option(str(value), clean(str(title), _MAX_TITLE_CHARACTERS))
        for value, title in zip(values, titles, strict=True)
    ]


def _titled(options: Sequence[dict[str, object]]) -> list[Option]:
    values = [option["const"] for option in options]
    return _options(values, [option.get("title") or option["const"] for option in options])


def _counts(schema: Mapping[str, Any]) -> tuple[int, int]:
    return int(schema.get("minItems", 0)), int(schema.get("maxItems", MAX_OPTIONS))


def _number(bound: object) -> float | None:
    return None if bound is None else float(cast("float", bound))


def _parse_option(text: str, options: Sequence[Option]) -> str:
    text = text.strip()
    if text in (option.value for option in options):
        return text
    if text.isascii() and text.isdigit() and 1 <= int(text) <= len(options):
        return options[int(text) - 1].value
    raise AnswerError(f"this has to be a number from 1 to {len(options)}")


def _check_option(value: object, options: Sequence[Option]) -> str:
    if isinstance(value, str) and any(option.value == value for option in options):
        return value
    raise AnswerError("this is none of the options")


def _has_format(text: str, format_: TextFormat) -> bool:
    try:
        match format_:
            case "email":
                return _EMAIL.fullmatch(text) is not None
            case "uri":
                parts = urlsplit(text)
                return bool(parts.scheme and (parts.netloc or parts.path)) and " " not in text
            case "date":
                return bool(_DATE.fullmatch(text) and date.fromisoformat(text))
            case "date-time":
                return bool(
                    _DATE_TIME.fullmatch(text) and datetime.fromisoformat(text.upper()).tzinfo
                )
    except ValueError:
        return False
