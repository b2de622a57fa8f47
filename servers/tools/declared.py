"""A declaration of `mcp.yml` as an MCP tool: its definition, its arguments' checks, its call."""

import json
from collections.abc import Iterator, Mapping
from functools import partial

import httpx2
from mcp import types

from agentic.config.openapi.security import Scheme
from agentic.config.tool_steps import StepsConfig
from agentic.config.tools import ToolConfig
from servers.tools.answer_cache import AnswerCache
from servers.tools.api_limits import ApiLimits
from servers.tools.arguments import ArgumentReader
from servers.tools.contract import CONFIRM_META_KEY
from servers.tools.credentials import has_credential
from servers.tools.endpoint import Endpoint
from servers.tools.kept_answers import KeptAnswers
from servers.tools.request import PreparedRequest, RequestBuilder
from servers.tools.results import ToolFailedError, render_answer, to_answer_schema
from servers.tools.untrusted_text import excerpt


class DeclaredTool:
    """One entry under `tools:`. `unavailable`: why it can't be called, if so.

    `kept` takes what is no answer for a message; `limits` are shared with tools of the same API.
    """

    def __init__(
        self,
        name: str,
        config: ToolConfig,
        kept: KeptAnswers | None = None,
        limits: ApiLimits | None = None,
    ) -> None:
        self._kept = kept
        self._has_output = config.output is not None
        self._arguments = ArgumentReader(
            config.parameters, config.required, has_envelope=config.body_kind == "params"
        )
        self.unavailable = _why_unavailable(name, config)
        self._requests = RequestBuilder(config)
        self._endpoint = Endpoint(config, limits or ApiLimits())
        self._cache = None if config.cache_seconds is None else AnswerCache(config.cache_seconds)
        self._cache_shared = config.cache_shared
        self.definition = types.Tool(
            name=name,
            title=config.title,
            description="\n\n".join(
                describe(config, self.unavailable, f"Calls the HTTP endpoint declared as {name}.")
            ),
            input_schema=self._arguments.schema,
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
        self,
        arguments: Mapping[str, object],
        transport: httpx2.AsyncBaseTransport,
        owner: str,
        *,
        is_step: bool = False,
    ) -> types.CallToolResult:
        """Check the arguments, call the endpoint for `owner`, render its answer.

        A step's answer stands whole under `result`, however large.

        Raises:
            ToolFailedError: An argument is wrong, or the endpoint gave no answer.
        """
        if self.unavailable:
            raise ToolFailedError("unavailable", self.unavailable)
        request_id, params = self._arguments.read(arguments)
        request = self._requests.build(params, request_id)
        ask = partial(self._ask, transport, request, None if is_step else owner)
        if self._cache is None:
            return await ask()
        asked = json.dumps(params, sort_keys=True)
        key = (None if self._cache_shared else owner, is_step, asked)
        return await self._cache.get(key, ask)

    async def _ask(
        self, transport: httpx2.AsyncBaseTransport, request: PreparedRequest, reader: str | None
    ) -> types.CallToolResult:
        """`reader`: the owner for whom what is large is kept; None: it is given whole."""
        answer = await self._endpoint.call(transport, request)
        keep = (
            None
            if self._kept is None or reader is None
            else partial(self._kept.keep, reader, self.definition.name)
        )
        return render_answer(answer, keep, is_whole=self._has_output)

    def prepare(self, arguments: Mapping[str, object]) -> PreparedRequest:
        """The request that a call with these arguments sends.

        Raises:
            ToolFailedError: An argument is wrong, or can't be sent in its place.
        """
        request_id, params = self._arguments.read(arguments)
        return self._requests.build(params, request_id)


def describe(
    config: ToolConfig | StepsConfig, unavailable: str | None, otherwise: str
) -> Iterator[str]:
    """The paragraphs of a tool's description; `otherwise`: where the declaration has none."""
    if unavailable is not None:
        yield unavailable
    yield config.description.strip() or otherwise
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
