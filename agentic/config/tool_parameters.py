"""The parameters of a declared tool: their shape in `mcp.yml`, and the JSON Schema they become."""

import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, Literal, Self, cast

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    field_validator,
    model_validator,
)

from agentic.config.findings import WrongFieldError

ParameterType = Literal["string", "integer", "number", "boolean", "array", "object"]
Size = Annotated[int, Field(ge=0)]

_TOOL_NAME = re.compile(r"[A-Za-z0-9_.-]{1,128}", re.ASCII)
_PARAMETER_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}", re.ASCII)
_NUMERIC = ("integer", "number")
_TYPES_OF_KEYWORD: Mapping[str, tuple[ParameterType, ...]] = {
    "minimum": _NUMERIC,
    "maximum": _NUMERIC,
    "min_length": ("string",),
    "max_length": ("string",),
    "pattern": ("string",),
    "format": ("string",),
    "items": ("array",),
    "min_items": ("array",),
    "max_items": ("array",),
    "separator": ("array",),
    "properties": ("object",),
}
_RANGES = (("minimum", "maximum"), ("min_length", "max_length"), ("min_items", "max_items"))
_COPIED_KEYWORDS = {"description", *_TYPES_OF_KEYWORD} - {"items", "properties", "separator"}
_BESIDE_SCHEMA = {"json_schema", "description", "default", "required"}
_QUOTES_HINT = "(to make it a string, put it in quotes)"


def check_tool_name(name: str) -> str:
    """Return `name` if MCP allows it as a tool's name.

    Raises:
        ValueError: It does not.
    """
    if not _TOOL_NAME.fullmatch(name):
        raise ValueError("a tool's name has 1 to 128 of a-z, A-Z, 0-9, '_', '-', '.'")
    return name


def is_parameter_name(name: str) -> bool:
    """Whether models' vendors take it as a parameter's name."""
    return _PARAMETER_NAME.fullmatch(name) is not None


class ParameterConfig(BaseModel):
    """One parameter, spelled as in JSON Schema; `name: string` is short for `{type: string}`."""

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)

    type: ParameterType | None = None
    """Absent only beside `schema`."""
    json_schema: dict[str, JsonValue] | None = Field(default=None, alias="schema")
    """JSON Schema in full, instead of the words here; such a value is sent in a JSON body only."""
    description: str | None = None
    default: JsonValue = None
    required: bool | list[str] | None = None
    """Whether it must be given (absent: unless it has a default); a list: which properties must."""
    nullable: bool = False
    enum: list[JsonValue] | None = Field(default=None, min_length=1)
    minimum: int | float | None = None
    maximum: int | float | None = None
    min_length: Size | None = Field(default=None, alias="minLength")
    max_length: Size | None = Field(default=None, alias="maxLength")
    pattern: str | None = None
    format: str | None = None
    items: "ParameterConfig | None" = None
    min_items: Size | None = Field(default=None, alias="minItems")
    max_items: Size | None = Field(default=None, alias="maxItems")
    separator: Literal[",", ";", "|", " "] | None = None
    """How a list becomes one word outside of JSON: `a,b`. Absent: it is repeated, `x=a&x=b`."""
    properties: "dict[str, ParameterConfig] | None" = None

    @model_validator(mode="before")
    @classmethod
    def _expand_short_form(cls, value: object) -> object:
        if isinstance(value, str):
            return {"type": value}
        if not isinstance(value, dict):
            raise ValueError(  # noqa: TRY004 - pydantic collects only ValueError
                "must be a type, such as string, or a mapping with at least type"
            )
        return value  # pyright: ignore[reportUnknownVariableType] # parsed by the fields

    @field_validator("minimum", "maximum", mode="plain")
    @classmethod
    def _check_number(cls, value: object) -> int | float | None:
        match value:
            case None | int() if not isinstance(value, bool):
                return value
            case float() if math.isfinite(value):
                return value
            case _:
                raise ValueError("must be a number")

    @field_validator("pattern")
    @classmethod
    def _check_pattern(cls, pattern: str | None) -> str | None:
        try:
            re.compile(pattern or "")
        except (re.error, OverflowError, RecursionError) as error:
            raise ValueError(f"is not a regular expression: {error}") from None
        return pattern

    @field_validator("json_schema")
    @classmethod
    def _check_schema(cls, schema: dict[str, JsonValue] | None) -> dict[str, JsonValue] | None:
        if schema is not None:
            from agentic.config.json_schema import check_schema  # slow to import

            check_schema(schema)
        return schema

    @model_validator(mode="after")
    def _check_kind(self) -> Self:
        if self.json_schema is None and self.type is None:
            raise ValueError("should have a type, such as string, or a schema")
        if self.json_schema is not None and (others := self.model_fields_set - _BESIDE_SCHEMA):
            raise ValueError(f"{_spelling(min(others))} goes into schema, which stands beside it")
        return self

    @model_validator(mode="after")
    def _check_keywords(self) -> Self:
        for keyword, types in _TYPES_OF_KEYWORD.items():
            if getattr(self, keyword) is not None and self.type not in types:
                raise ValueError(
                    f"{_spelling(keyword)} is for type {' or '.join(types)}, not {self.type}"
                )
        for low, high in _RANGES:
            least, most = getattr(self, low), getattr(self, high)
            if least is not None and most is not None and least > most:
                raise ValueError(f"{_spelling(low)} is greater than {_spelling(high)}")
        if isinstance(self.required, list) and self.type != "object":
            raise ValueError("required is true or false here; a list is for type object")
        check_parameters(self.properties or {}, self.listed_properties)
        return self

    @model_validator(mode="after")
    def _check_values(self) -> Self:
        for value in self.enum or ():
            if problem := _find_problem({"type": self.type}, value):
                raise ValueError(f"enum: {problem} {_QUOTES_HINT}")
        if self.has_default and (problem := _find_problem(self.to_json_schema(), self.default)):
            raise ValueError(f"default: {problem}")
        return self

    @property
    def has_default(self) -> bool:
        """Whether a default is written, null included."""
        return "default" in self.model_fields_set

    @property
    def listed_properties(self) -> Sequence[str] | None:
        """The properties that `required` lists, None if it is no list."""
        return self.required if isinstance(self.required, list) else None

    def to_json_schema(self) -> dict[str, Any]:
        """The parameter as JSON Schema (2020-12)."""
        schema: dict[str, Any] = (
            {"type": [self.type, "null"] if self.nullable else self.type}
            if self.json_schema is None
            else dict(self.json_schema)
        )
        schema |= self.model_dump(include=_COPIED_KEYWORDS, by_alias=True, exclude_none=True)
        if self.enum is not None:
            schema["enum"] = [*self.enum, None] if self.nullable else self.enum
        if self.items is not None:
            schema["items"] = self.items.to_json_schema()
        if self.properties is not None:
            of_object = to_object_schema(self.properties, self.listed_properties)
            schema |= of_object | {"type": schema["type"]}
        if self.has_default:
            schema["default"] = self.default
        return schema

    def fill_defaults(self, value: object) -> object:
        """`value` with the defaults of absent properties inside it."""
        match value:
            case dict() if self.properties is not None:
                return fill_defaults(self.properties, cast("dict[str, object]", value))
            case list() if self.items is not None:
                return [self.items.fill_defaults(each) for each in cast("list[object]", value)]
            case _:
                return value


def check_parameters(
    parameters: Mapping[str, ParameterConfig], listed: Iterable[str] | None
) -> None:
    """Check the names of parameters, and those listed as required.

    Raises:
        ValueError: A name that models' vendors refuse, or a listed one that is none.
    """
    for name in parameters:
        if not is_parameter_name(name):
            raise ValueError(
                f"parameter {name[:80]!r}: a name has 1 to 64 of a-z, A-Z, 0-9, '_', '-', '.'"
            )
    for name in listed or ():
        if name not in parameters:
            raise ValueError(
                f"required names {name!r}, the parameters are: {', '.join(parameters) or 'none'}"
            )
        if parameters[name].required is False:
            raise ValueError(f"required names {name!r}, which says required: false")


def to_object_schema(
    parameters: Mapping[str, ParameterConfig], listed: Sequence[str] | None
) -> dict[str, Any]:
    """JSON Schema of an object with these properties and no others."""
    schema: dict[str, Any] = {
        "type": "object",
        "properties": {name: each.to_json_schema() for name, each in parameters.items()},
    }
    if required := find_required(parameters, listed):
        schema["required"] = required
    return schema | {"additionalProperties": False}


def find_required(
    parameters: Mapping[str, ParameterConfig], listed: Sequence[str] | None
) -> list[str]:
    """What says so itself, else what is `listed`; without a list what has no default."""

    def is_required(name: str, parameter: ParameterConfig) -> bool:
        if isinstance(parameter.required, bool):
            return parameter.required
        return not parameter.has_default if listed is None else name in listed

    return [name for name, each in parameters.items() if is_required(name, each)]


def check_examples(
    examples: Sequence[dict[str, JsonValue]],
    parameters: Mapping[str, ParameterConfig],
    listed: Sequence[str] | None,
) -> None:
    """Check that each example could be the arguments of a call.

    Raises:
        WrongFieldError: One could not.
    """
    if not examples:
        return
    schema = to_object_schema(parameters, listed)
    for at, example in enumerate(examples):
        if problem := _find_problem(schema, example):
            raise WrongFieldError(("examples", at), problem)


def fill_defaults(
    parameters: Mapping[str, ParameterConfig], arguments: Mapping[str, object]
) -> dict[str, object]:
    """`arguments` with the defaults of absent parameters, at every depth."""
    filled = {
        name: parameters[name].fill_defaults(value) if name in parameters else value
        for name, value in arguments.items()
    }
    for name, parameter in parameters.items():
        if name not in filled and parameter.has_default:
            filled[name] = parameter.default
    return filled


def _spelling(field: str) -> str:
    return ParameterConfig.model_fields[field].alias or field


def _find_problem(schema: dict[str, Any], value: JsonValue) -> str | None:
    from agentic.config.json_schema import (
        create_validator,
        describe_problem,
        iterate_problems,
    )  # slow to import

    try:
        json.dumps(value, allow_nan=False)
    except ValueError:
        return "not a JSON value"
    error = next(iterate_problems(create_validator(schema), value), None)
    return None if error is None else describe_problem(error)
