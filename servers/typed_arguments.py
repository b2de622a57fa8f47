"""A call's arguments against their pydantic model; what is wrong, in words and as a path."""

import json
import re
from collections.abc import Collection, Iterable, Mapping
from typing import Annotated, Any, ClassVar, TypeVar, cast

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import ErrorDetails, core_schema

MAX_DEPTH = 100
"""Of nested arrays and objects. JSON parsers, pydantic's among them, give up at about 200, and what
is stored must be readable inside the envelopes of a result."""
MAX_DOCUMENT_DEPTH = MAX_DEPTH + 3
"""Of a document, in which what is an argument elsewhere, such as a message's annotations, stands in
a message, among others, in the document."""
MAX_NAMES = 100_000
"""In all objects of a call. A batch of messages has a tenth of it; of millions, all unknown, the
error alone would take longer than others wait for their answers."""

_SUBJECT = re.compile(r"^\w+ should")
_MUST_BE = "must be "
_KINDS = {
    "string_type": "a string",
    "list_type": "an array",
    "dict_type": "an object",
    "model_type": "an object",
    "int_type": "an integer",
    "bool_type": "true or false",
}
"""By pydantic's names of errors; its own words are Python's."""

_MAX_ERRORS = 100
"""So many are looked at: the first counts, and what a union says beside it comes next."""
_MAX_NAME_CHARACTERS = 64
"""Of a name the caller made up, when an error repeats it."""


class ToolArguments(BaseModel):
    """Base of argument models: no unknown names, no conversions ("5" is not 5, true is not 1)."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    documents: ClassVar[frozenset[str]] = frozenset()
    """Arguments that wrap what is an argument elsewhere: they may nest as much deeper, and models
    may pass them as JSON text."""


def _to_integer(value: object) -> object:
    return int(value) if isinstance(value, float) and value.is_integer() else value


Integer = Annotated[int, BeforeValidator(_to_integer)]
"""An integer as JSON Schema has it: 50.0 is one."""
WholeNumber = Annotated[int, Field(ge=0), BeforeValidator(_to_integer)]
"""One that is not negative. A bound behind the validator would be none of JSON Schema's."""


class ArgumentsError(Exception):
    """Arguments are wrong.

    `field` is a path such as `messages[3].created_at`; `cause` is what a check of the model raised.
    """

    def __init__(self, message: str, *, field: str | None, cause: Exception | None = None) -> None:
        super().__init__(message)
        self.field = field
        self.cause = cause


ArgumentsT = TypeVar("ArgumentsT", bound=ToolArguments)


class _InputSchema(GenerateJsonSchema):
    """Without what says nothing: a model reads these schemas, word by word."""

    def field_title_should_be_set(
        self,
        schema: Any,  # noqa: ANN401, ARG002 - pydantic's signature
    ) -> bool:
        """Never: pydantic makes titles of names."""
        return False

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
        """Without null: an absent argument and null may differ, and none is to be filled in."""
        if schema.get("default") is None:
            return self.generate_inner(schema["schema"])
        return super().default_schema(schema)


def input_schema(model: type[ToolArguments]) -> dict[str, Any]:
    """The JSON Schema of a tool's arguments."""
    schema = model.model_json_schema(schema_generator=_InputSchema)
    schema.pop("title", None)
    schema.pop("description", None)  # the docstring; the tool has a description of its own
    schema.setdefault("properties", {})
    return schema


def parse_arguments(model: type[ArgumentsT], arguments: Mapping[str, Any]) -> ArgumentsT:
    """`arguments` as `model`.

    Raises:
        ArgumentsError: They are not; the first thing that is wrong, without repeating any value.
    """
    arguments = {
        name: _parse_text(name, value) if name in model.documents else value
        for name, value in arguments.items()
    }
    _check_shape(model, arguments)
    try:
        return model.model_validate(arguments)
    except ValidationError as error:
        raise explain(error.errors(include_url=False, include_input=False), arguments) from None


def _parse_text(name: str, value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        raise ArgumentsError(
            f"{name}: must be an object, or one as JSON text", field=name
        ) from None


def _check_shape(model: type[ToolArguments], arguments: Mapping[str, Any]) -> None:
    """That nothing is nested too deep, and that names are not too many."""
    names = len(arguments)
    for name, value in arguments.items():
        max_depth = MAX_DOCUMENT_DEPTH if name in model.documents else MAX_DEPTH
        level = [value]
        # By levels: recursion could overflow.
        for _ in range(max_depth):
            names += sum(map(_count_names, level))
            if not level or names > MAX_NAMES:
                break
            level = [child for each in level for child in _children(each)]
        if names > MAX_NAMES:
            raise ArgumentsError(
                f"there are more than {MAX_NAMES:,} names in the objects given: give less at once",
                field=None,
            )
        if level:
            field = _path([name])
            raise ArgumentsError(
                f"{field}: is nested more than {max_depth} levels deep", field=field
            )


def _count_names(value: object) -> int:
    return len(cast("dict[str, object]", value)) if isinstance(value, dict) else 0


def _children(value: object) -> Iterable[object]:
    if isinstance(value, Mapping):
        return cast("Mapping[str, object]", value).values()
    return cast("list[object]", value) if isinstance(value, list) else ()


def explain(errors: list[ErrorDetails], arguments: Mapping[str, Any]) -> ArgumentsError:
    """What pydantic found wrong with these, as one place and what should be there."""
    located = [(_locate(error, arguments), error) for error in errors[:_MAX_ERRORS]]
    first = located[0][0]
    # A union reports once for each member: the one that got furthest is what the caller meant.
    related = [(place, error) for place, error in located if place[: len(first)] == first]
    place = max((place for place, _ in related), key=len)
    here = [error for other, error in related if other == place]
    # Where null means something else, or nothing, it is no advice.
    here = [error for error in here if error["type"] != "none_required"] or here
    words = _join(dict.fromkeys(_reason(error) for error in here))
    cause = here[0].get("ctx", {}).get("error")
    field = _path(place) or None
    message = f"{field}: {words}" if field else words
    return ArgumentsError(
        message, field=field, cause=cause if isinstance(cause, Exception) else None
    )


def _join(reasons: Collection[str]) -> str:
    if all(reason.startswith(_MUST_BE) for reason in reasons):
        return _MUST_BE + " or ".join(reason.removeprefix(_MUST_BE) for reason in reasons)
    return " or ".join(reasons)


def _locate(error: ErrorDetails, arguments: Mapping[str, Any]) -> list[str | int]:
    """The place as the caller wrote it: pydantic's has the members of unions in between."""
    place: list[str | int] = []
    value: object = arguments
    for part in error["loc"]:
        if isinstance(value, Mapping) and part in value:
            value = cast("Mapping[Any, Any]", value)[part]
        elif isinstance(value, list) and isinstance(part, int):
            value = cast("list[Any]", value)[part]
        elif not (error["type"] == "missing" and part == error["loc"][-1]):
            continue
        place.append(part)
    return place


def _path(place: list[str | int]) -> str:
    path = ""
    for part in place:
        if isinstance(part, int):
            path += f"[{part}]"
        else:
            path += f".{_printable(part)}" if path else _printable(part)
    return path


def _printable(name: str) -> str:
    """A name from outside, safe to repeat: no controls, no surrogates, not long."""
    clean = "".join(character if character.isprintable() else "?" for character in name)
    if len(clean) > _MAX_NAME_CHARACTERS:
        return f"{clean[:_MAX_NAME_CHARACTERS]}…"
    return clean


def _reason(error: ErrorDetails) -> str:
    match error["type"]:
        case "missing":
            return "is required"
        case "extra_forbidden":
            return "is not known here: check the name, or leave it out"
        case "string_unicode":
            return "must be valid Unicode (it holds a lone surrogate)"
        case "value_error":
            return str(error.get("ctx", {}).get("error", "is not valid"))
        case kind if kind in _KINDS:
            return _MUST_BE + _KINDS[kind]
        case _:
            words = _SUBJECT.sub("must", error["msg"]).replace("dictionary", "object")
            return words.partition(" or instance of ")[0].replace(" after validation", "")
