"""A declaration of `mcp.yml` as an MCP tool: its definition, its arguments' checks, its call."""

import difflib
import json
import uuid
from collections.abc import Iterator, Mapping
from functools import partial
from itertools import islice
from typing import Any, cast

import httpx2
from jsonschema import ValidationError
from mcp import types

from agentic.config.json_schema import (
    create_validator,
    describe_problem,
    describe_type,
    iterate_problems,
)
from agentic.config.openapi.security import Scheme
from agentic.config.tool_parameters import fill_defaults, to_object_schema
from agentic.config.tools import ToolConfig
from servers.tools.answer_cache import AnswerCache
from servers.tools.contract import CONFIRM_META_KEY
from servers.tools.credentials import has_credential
from servers.tools.endpoint import Endpoint
from servers.tools.kept_answers import KeptAnswers
from servers.tools.request import PreparedRequest, RequestBuilder
from servers.tools.results import ToolFailedError, render_answer, to_answer_schema
from servers.tools.untrusted_text import excerpt

REQUEST_ID = "request_id"
"""An argument of this name travels beside the parameters; any tool takes it, declared or not."""
_MAX_REQUEST_ID_CHARACTERS = 256
_MAX_PROBLEMS = 3


class DeclaredTool:
    """One entry under `tools:`. `unavailable`: why it can't be called, if so.

    `kept` takes what is no answer for a message.
    """

    def __init__(self, name: str, config: ToolConfig, kept: KeptAnswers | None = None) -> None:
        self._kept = kept
        self._has_output = config.output is not None
        self._parameters = config.parameters
        self._has_envelope = config.body_kind == "params"
        self._schema = to_object_schema(config.parameters, config.required)
        self._validator = create_validator(self._schema)
        self.unavailable = _why_unavailable(name, config)
        self._requests = RequestBuilder(config)
        self._endpoint = Endpoint(config)
        self._cache = None if config.cache_seconds is None else AnswerCache(config.cache_seconds)
        self._cache_shared = config.cache_shared
        self.definition = types.Tool(
            name=name,
            title=config.title,
            description="\n\n".join(_describe(name, config, self.unavailable)),
            input_schema=self._schema,
            output_schema=to_answer_schema(config.output),
            annotations=types.ToolAnnotations(
                read_only_hint=config.is_read_only,
                destructive_hint=config.is_destructive,
                idempotent_hint=config.is_idempotent,
                open_world_hint=True,
            ),
            _meta={CONFIRM_META_KEY: True} if config.confirm else None,
        )

    async def call(
        self, arguments: Mapping[str, object], transport: httpx2.AsyncBaseTransport, owner: str
    ) -> types.CallToolResult:
        """Check the arguments, call the endpoint for `owner`, render its answer.

        Raises:
            ToolFailedError: An argument is wrong, or the endpoint gave no answer.
        """
        if self.unavailable:
            raise ToolFailedError("unavailable", self.unavailable)
        request_id, params = self._read(arguments)
        request = self._requests.build(params, request_id)
        if self._cache is None:
            return await self._ask(transport, request, owner)
        key = (None if self._cache_shared else owner, json.dumps(params, sort_keys=True))
        return await self._cache.get(key, partial(self._ask, transport, request, owner))

    async def _ask(
        self, transport: httpx2.AsyncBaseTransport, request: PreparedRequest, owner: str
    ) -> types.CallToolResult:
        answer = await self._endpoint.call(transport, request)
        keep = None if self._kept is None else partial(self._kept.keep, owner, self.definition.name)
        return render_answer(answer, keep, is_whole=self._has_output)

    def prepare(self, arguments: Mapping[str, object]) -> PreparedRequest:
        """The request that a call with these arguments sends.

        Raises:
            ToolFailedError: An argument is wrong, or can't be sent in its place.
        """
        request_id, params = self._read(arguments)
        return self._requests.build(params, request_id)

    def _read(self, arguments: Mapping[str, object]) -> tuple[object, dict[str, object]]:
        """The request's id, and the arguments as they are sent."""
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
            or not 1 <= len(request_id) <= _MAX_REQUEST_ID_CHARACTERS
        ):
            raise ToolFailedError(
                "invalid",
                f"{REQUEST_ID} must be a string of 1 to {_MAX_REQUEST_ID_CHARACTERS} characters",
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


def _describe(name: str, config: ToolConfig, unavailable: str | None) -> Iterator[str]:
    if unavailable is not None:
        yield unavailable
    yield config.description.strip() or f"Calls the HTTP endpoint declared as {name}."
    if config.examples:
        shown = "\n".join(json.dumps(each, ensure_ascii=False) for each in config.examples)
        yield f"Examples of arguments:\n{shown}"


def _why_unavailable(name: str, config: ToolConfig) -> str | None:
    entry = config.source or name
    if missing := config.missing_variables:
        return (
            f"Unavailable: tools.{entry} in mcp.yml names {', '.join(missing)}, which the "
            "environment does not have. Set it, and start the server again."
        )
    if (config.requires_auth or config.auth is not None) and not has_credential(config):
        example = "auth in mcp.yml, whose secret is empty"
        if config.auth is None and config.wants == str(Scheme("basic")):
            example = "auth in mcp.yml: {basic: {user: …, password: ${…}}}"
        elif config.auth is None:
            example = f"token in mcp.yml, for example token: ${{{_variable(entry)}}}"
        wants = f" ({excerpt(config.wants)})" if config.wants else ""
        return (
            f"Unavailable: {name} needs a credential{wants}. Set tools.{entry}.{example}, and "
            "start the server again."
        )
    return None


def _variable(name: str) -> str:
    return "".join(each if each.isalnum() else "_" for each in name).upper() + "_TOKEN"


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
