"""The arguments of a call against its tool's parameters, and the id of its request."""

import difflib
import uuid
from collections.abc import Mapping, Sequence
from functools import partial
from itertools import islice
from typing import Any, cast

from jsonschema import ValidationError

from agentic.config.json_schema import (
    create_validator,
    describe_problem,
    describe_type,
    iterate_problems,
)
from agentic.config.tool_parameters import ParameterConfig, fill_defaults, to_object_schema
from servers.tools.results import ToolFailedError
from servers.tools.untrusted_text import excerpt

REQUEST_ID = "request_id"
"""An argument of this name travels beside the parameters; any tool takes it, declared or not."""
MAX_REQUEST_ID_CHARACTERS = 256
_MAX_PROBLEMS = 3


class ArgumentReader:
    """Of one tool. `has_envelope`: the id travels in a body, and need not fit into a header."""

    def __init__(
        self,
        parameters: Mapping[str, ParameterConfig],
        required: Sequence[str] | None,
        *,
        has_envelope: bool = False,
    ) -> None:
        self._parameters = parameters
        self._has_envelope = has_envelope
        self.schema = to_object_schema(parameters, required)
        self._validator = create_validator(self.schema)

    def read(self, arguments: Mapping[str, object]) -> tuple[object, dict[str, object]]:
        """The request's id, and the arguments with their defaults.

        Raises:
            ToolFailedError: One is wrong, unknown or missing.
        """
        request_id, given = self._take_request_id(arguments)
        self._check(given)
        params = fill_defaults(self._parameters, given)
        if REQUEST_ID in params and self._has_envelope:
            request_id = params.pop(REQUEST_ID)
        return request_id, params

    def _take_request_id(
        self, arguments: Mapping[str, object]
    ) -> tuple[object, Mapping[str, object]]:
        """The id given, else a fresh one, and the arguments without it unless it is a parameter."""
        if REQUEST_ID not in arguments or REQUEST_ID in self._parameters:
            return uuid.uuid4().hex, arguments
        request_id = arguments[REQUEST_ID]
        if (
            not isinstance(request_id, str)
            or not request_id.isprintable()
            or not (request_id.isascii() or self._has_envelope)
            or not 1 <= len(request_id) <= MAX_REQUEST_ID_CHARACTERS
        ):
            raise ToolFailedError(
                "invalid",
                f"{REQUEST_ID} must be a string of 1 to {MAX_REQUEST_ID_CHARACTERS} characters",
                field=REQUEST_ID,
            )
        rest = {name: value for name, value in arguments.items() if name != REQUEST_ID}
        return request_id, rest

    def _check(self, arguments: Mapping[str, object]) -> None:
        errors = islice(iterate_problems(self._validator, arguments), _MAX_PROBLEMS)
        problems = list(dict.fromkeys(_explain(error) for error in errors))
        if problems:
            text = "; ".join(text for _, text in problems)
            raise ToolFailedError("invalid", text, field=problems[0][0])


def _explain(error: ValidationError) -> tuple[str, str]:
    """The argument that is wrong, and what was expected of it."""
    inside = partial(_dotted, [*error.absolute_path])
    match error.validator:
        case "required":
            known, given = _sides(error)
            required = cast("list[str]", error.validator_value)
            missing = [name for name in required if name not in given]
            wanted = [f"{inside(name)}{_describe_kind(known.get(name))}" for name in missing]
            return inside(missing[0]), f"{' and '.join(wanted)} must be given"
        case "additionalProperties":
            known, given = _sides(error)
            unknown = next(each for each in given if each not in known)
            field = inside(excerpt(unknown))
            near = difflib.get_close_matches(unknown[:100], known, n=1)
            hint = f"did you mean {near[0]}? " if near else ""
            return field, f"{field} is unknown; {hint}known: {', '.join(known) or 'no arguments'}"
        case _:
            field = inside()
            return field, f"{field} {excerpt(describe_problem(error))}"


def _sides(error: ValidationError) -> tuple[dict[str, Any], dict[str, object]]:
    """The properties that the schema of an object knows, and the object."""
    schema = cast("dict[str, Any]", error.schema)
    return schema.get("properties", {}), cast("dict[str, object]", error.instance)


def _describe_kind(schema: object) -> str:
    kind = cast("dict[str, Any]", schema).get("type") if isinstance(schema, dict) else None
    return "" if kind is None else f" ({describe_type(kind)})"


def _dotted(path: list[str | int], *name: str) -> str:
    parts = [f"[{part}]" if isinstance(part, int) else f".{part}" for part in [*path, *name]]
    return "".join(parts).removeprefix(".")
