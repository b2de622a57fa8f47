"""Tools declared from pydantic models, on mcp's low-level `Server`.

A failure is a result with `is_error`, a text a person can act on, and `structured_content`
`{"error": {"code", "message", "field"?, …}}`; only an unknown tool is a protocol error.
"""

import json
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, cast

from mcp.server import ServerRequestContext
from mcp.shared.exceptions import MCPError
from mcp_types import (
    INVALID_PARAMS,
    CallToolRequestParams,
    CallToolResult,
    ListToolsResult,
    PaginatedRequestParams,
    TextContent,
    Tool,
    ToolAnnotations,
)
from pydantic import BaseModel

from servers.access.principal import Callers, ForbiddenError, Principal
from servers.faults import report_fault
from servers.typed_arguments import (
    ArgumentsError,
    ToolArguments,
    input_schema,
    parse_arguments,
)

MAX_TEXT_BYTES = 64 * 1024
"""Up to this size a result is repeated as text, for clients that don't read structured content."""

logger = logging.getLogger(__name__)

ArgumentsT = TypeVar("ArgumentsT", bound=ToolArguments)
ResultT = TypeVar("ResultT", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls, and what its request's `_meta` says."""

    principal: Principal
    meta: Mapping[str, object] | None

    @property
    def owner(self) -> str:
        """The owner this call is confined to.

        Raises:
            ForbiddenError: A delegate named none, or a principal without `delegate` named another.
        """
        return self.principal.acting_owner(self.meta)

    def check_acts_for_none(self) -> None:
        """See to it that a call for one owner, which a model may have made, is told nothing of all.

        Raises:
            ForbiddenError: It names one.
        """
        if self.principal.named_owner(self.meta) is not None:
            raise ForbiddenError(
                "this is about all owners, and the call acts for one: it must not name an owner in "
                "its _meta"
            )


def dump_result(result: BaseModel) -> dict[str, Any]:
    """`result` as JSON, every field present."""
    return result.model_dump(mode="json")


@dataclass(frozen=True, slots=True, kw_only=True)
class TypedTool(Generic[ArgumentsT, ResultT]):
    """A tool: what it is called, needs, takes and gives.

    `call` may raise `ForbiddenError` and what the server's `explain` knows.
    """

    name: str
    title: str
    description: str
    scope: str
    annotations: ToolAnnotations
    arguments: type[ArgumentsT]
    result: type[ResultT]
    call: Callable[[Caller, ArgumentsT], Awaitable[ResultT]]
    to_wire: Callable[[ResultT], dict[str, Any]] = dump_result


ErrorFields = Mapping[str, object]
"""`code`, `message` and what else a server's errors carry; without nulls."""


class ToolHandlers:
    """The handlers of `tools/list` and `tools/call` for a set of typed tools.

    `explain` gives the error fields of the server's own exceptions, those that checks of the
    argument models raise among them, and None for others.
    """

    def __init__(
        self,
        tools: Sequence[TypedTool[Any, Any]],
        callers: Callers,
        explain: Callable[[Exception], ErrorFields | None],
    ) -> None:
        self._tools = {tool.name: tool for tool in tools}
        self._listed = {tool.name: _describe(tool) for tool in tools}
        self._callers = callers
        self._explain = explain

    async def list_tools(
        self,
        ctx: ServerRequestContext[Any],  # noqa: ARG002 - the SDK's handler signature
        params: PaginatedRequestParams | None,  # noqa: ARG002
    ) -> ListToolsResult:
        """All of them, in one page."""
        return ListToolsResult(tools=list(self._listed.values()))

    def input_schema(self, name: str) -> Mapping[str, Any] | None:
        """A tool's input schema by name, which spares the SDK a listing for each call over HTTP."""
        tool = self._listed.get(name)
        return None if tool is None else tool.input_schema

    async def call_tool(
        self, ctx: ServerRequestContext[Any], params: CallToolRequestParams
    ) -> CallToolResult:
        """Check, run, and tell the outcome."""
        tool = self._tools.get(params.name)
        if tool is None:
            known = ", ".join(self._tools)
            raise MCPError(INVALID_PARAMS, f"Unknown tool; this server has: {known}")
        try:
            principal = self._callers.of(ctx.request)
            principal.require(tool.scope)
            arguments = parse_arguments(tool.arguments, params.arguments or {})
            result = await tool.call(Caller(principal, ctx.meta), arguments)
            return _success(tool.to_wire(result))
        except Exception as error:  # noqa: BLE001 - boundary: the caller gets a code, never a bare failure
            return _failure(self._error_fields(tool.name, error))

    def _error_fields(self, tool: str, error: Exception) -> ErrorFields:
        match error:
            case ForbiddenError():
                return {"code": "forbidden", "message": str(error)}
            case ArgumentsError():
                known = self._explain(error.cause) if error.cause else None
                fields = {"code": "invalid", **(known or {}), "message": str(error)}
                return fields if error.field is None else {**fields, "field": error.field}
            case _:
                known = self._explain(error)
                return known if known is not None else _unexpected(tool, error)


def _describe(tool: TypedTool[Any, Any]) -> Tool:
    return Tool(
        name=tool.name,
        title=tool.title,
        description=tool.description,
        annotations=tool.annotations,
        input_schema=input_schema(tool.arguments),
        output_schema=tool.result.model_json_schema(),
    )


def _unexpected(tool: str, error: Exception) -> ErrorFields:
    reference = report_fault(logger, tool, error)
    return {
        "code": "unavailable",
        "message": f"{tool} failed unexpectedly, and whether it took effect is unknown. Try again; "
        f"if it fails again, the server's log has the reason under the reference {reference}.",
    }


def _success(structured: dict[str, Any]) -> CallToolResult:
    text = _compact(structured)
    if len(text.encode()) > MAX_TEXT_BYTES:
        counts = ", ".join(
            f"{name}: {len(cast('list[object]', value))}"
            for name, value in structured.items()
            if isinstance(value, list)
        )
        text = f"Too large to repeat as text ({counts or 'one item'}): see the structured content."
    return CallToolResult(content=[TextContent(text=text)], structured_content=structured)


def _failure(error: ErrorFields) -> CallToolResult:
    return CallToolResult(
        content=[TextContent(text=str(error["message"]))],
        structured_content={"error": dict(error)},
        is_error=True,
    )


def _compact(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
