"""The methods of the Bot API and what each takes, by aiogram's models of them.

The real server ignores what it does not know, and much that is malformed. Here each parameter, at
any depth, must be one that the documentation names, and have its type.
"""

import json
import types
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Union, cast, get_args, get_origin

from aiogram import methods as aiogram_methods
from aiogram.methods import TelegramMethod
from aiogram.types import BufferedInputFile
from pydantic import BaseModel, ValidationError

from tests.fakes.telegram.forms import Form
from tests.fakes.telegram.refusals import misused

Method = type[TelegramMethod[Any]]

_BOOLEANS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
_MISSING = {
    "chat_id": "chat_id is empty",
    "text": "message text is empty",
    "message_id": "message identifier is not specified",
    "file_id": "file_id not specified",
}
"""What the real server says of some parameters; of the others that they are required."""


def _find_methods() -> Mapping[str, Method]:
    found: dict[str, Method] = {}
    for name in aiogram_methods.__all__:
        method = getattr(aiogram_methods, name)
        if name not in ("TelegramMethod", "Request", "Response"):
            found[method.__api_method__.lower()] = method
    return found


_METHODS = _find_methods()


def find_method(name: str) -> Method | None:
    """The model of a method. As at the real server, upper and lower case are the same."""
    return _METHODS.get(name.lower())


def read_parameters(method: Method, form: Form) -> dict[str, Any]:
    """The parameters that were given, typed. A file stands where its parameter does.

    Raises:
        MisusedError: One is unknown, malformed or missing.
    """
    values: dict[str, Any] = {}
    for name, value in form.values.items():
        field = method.model_fields.get(name)
        if field is None:
            raise misused(f"unknown parameter {name} of {method.__api_method__}")
        values[name] = _decode(name, value, field.annotation)
    for name, file in form.files.items():
        if name in method.model_fields:
            values[name] = BufferedInputFile(file.data, filename=file.name)
    try:
        parsed = method.model_validate(values)
    except ValidationError as error:
        raise misused(_describe(error)) from None
    for stranger in find_strangers(parsed, ""):
        raise misused(f"unknown field {stranger} of {method.__api_method__}")
    given = parsed.model_dump(exclude_unset=True, by_alias=True, warnings="none")
    chat_id = given.get("chat_id")
    if isinstance(chat_id, str) and chat_id.removeprefix("-").isdecimal():
        given["chat_id"] = int(chat_id)
    return given


def _decode(name: str, value: Any, annotation: Any) -> Any:
    """Forms carry text: objects and lists stand in it as JSON, booleans as words."""
    if not isinstance(value, str):
        return value
    kinds = set(_kinds(annotation))
    if any(issubclass(kind, list | BaseModel) for kind in kinds):
        try:
            return json.loads(value)
        except ValueError:
            raise misused(f"can't parse {name} JSON object") from None
    if bool in kinds and str not in kinds:
        return _BOOLEANS.get(value.lower(), value)
    return value


def _kinds(annotation: Any) -> Iterator[type]:
    origin = get_origin(annotation)
    if origin in (Union, types.UnionType):
        for part in get_args(annotation):
            yield from _kinds(part)
    elif origin is Annotated:
        yield from _kinds(get_args(annotation)[0])
    elif isinstance(origin, type):
        yield origin
    elif isinstance(annotation, type):
        yield annotation


def _describe(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_input=False)[0]
    place = ".".join(map(str, first["loc"]))
    if first["type"] == "missing":
        return _MISSING.get(place, f'parameter "{place}" is required')
    return f"can't parse {place}: {first['msg']}"


def find_strangers(value: Any, place: str) -> Iterator[str]:
    """Fields that a model took in though it does not know them."""
    if isinstance(value, BaseModel):
        yield from (f"{place}{name}" for name in value.model_extra or {})
        for name in value.model_fields_set - {*(value.model_extra or {})}:
            yield from find_strangers(getattr(value, name), f"{place}{name}.")
    elif isinstance(value, list):
        for item in cast("list[Any]", value):
            yield from find_strangers(item, place)
