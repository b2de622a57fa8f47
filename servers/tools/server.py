"""The tools server: declared HTTP endpoints and the built-in tools, over MCP."""

import difflib
import logging
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import Any

from mcp import types
from mcp.server import NotificationOptions, Server, ServerRequestContext

from agentic.config.following import Reading
from agentic.config.tools import ToolConfig
from servers.access.contract import SCOPE_TOOLS_CALL
from servers.access.principal import Callers, ForbiddenError
from servers.cache_hints import CHANGING_TOOLS
from servers.faults import report_fault
from servers.tools.builtin import CurrentTime
from servers.tools.catalogue import POLL_SECONDS, Announcer, Catalogue, Tool
from servers.tools.contract import PROBLEM_META_KEY
from servers.tools.counted_calls import call_counted
from servers.tools.documents import REFRESH_SECONDS, DocumentKeeper
from servers.tools.guarded_network import Network, open_tasks, open_transport
from servers.tools.kept_answers import KeptAnswers
from servers.tools.lifespan import CurrentTools, Running, follow
from servers.tools.resources import ToolResources
from servers.tools.results import ToolFailedError, render_failure
from servers.tools.untrusted_text import excerpt
from servers.tools.usage import Usage

_logger = logging.getLogger(__name__)


class ToolsServer(Server[Running]):
    """The SDK's server, which says in both eras that its tools may change, and nothing else."""

    def get_capabilities(
        self,
        notification_options: NotificationOptions | None = None,
        experimental_capabilities: dict[str, dict[str, Any]] | None = None,
        extensions: dict[str, dict[str, Any]] | None = None,
        *,
        protocol_version: str | None = None,
    ) -> types.ServerCapabilities:
        """What clients are told at the start of a connection."""
        found = super().get_capabilities(
            notification_options,
            experimental_capabilities,
            extensions,
            protocol_version=protocol_version,
        )
        return found.model_copy(update={"tools": types.ToolsCapability(list_changed=True)})


def create_server(
    tools: Mapping[str, ToolConfig],
    callers: Callers,
    *,
    local_zone: str | None = None,
    network: Network | None = None,
    usage: Usage | None = None,
    look: Callable[[], Reading | None] | None = None,
    first: Reading | None = None,
    poll_seconds: float = POLL_SECONDS,
    refresh_seconds: float = REFRESH_SECONDS,
) -> ToolsServer:
    """The server for these declarations. Its lifespan owns the HTTP connections.

    `local_zone`: the time zone of this machine, where the environment says it. `network`: absent,
    the machine's own. `usage` counts calls; absent: only while the server is there. `look` is
    called every `poll_seconds`, in a thread, for other declarations. `first` is what it begins
    with: documents that it names are got every `refresh_seconds`. A tool whose URL can't be used is
    left out, and told in the log.
    """
    usage, kept = usage or Usage(), KeptAnswers()
    first = first or Reading(tools)
    catalogue = Catalogue(CurrentTime(local_zone), tools, first.composed, kept)
    announcer = Announcer()
    resources = ToolResources(usage, kept, callers)

    @asynccontextmanager
    async def open_lifespan(_: object) -> AsyncGenerator[Running]:
        async with open_transport(network or Network()) as transport, open_tasks() as tasks:
            tools_now = CurrentTools(catalogue, announcer, tasks, tell, first)
            documents = DocumentKeeper(transport, tasks, tools_now.tell, refresh_seconds)
            tools_now.begin(documents)
            if look is not None:
                tasks.start_soon(follow, look, poll_seconds, tools_now.take_up)
            yield Running(transport, documents)

    def get_input_schema(name: str) -> Mapping[str, object] | None:
        tool = catalogue.served.get(name)
        return None if tool is None else tool.definition.input_schema

    async def list_tools(
        context: ServerRequestContext[Running],
        _params: types.PaginatedRequestParams | None,
    ) -> types.ListToolsResult:
        announcer.remember(context)
        await context.lifespan_context.documents.wait_first()
        problem = server.instructions
        return types.ListToolsResult(
            tools=catalogue.definitions, _meta={PROBLEM_META_KEY: problem} if problem else None
        )

    async def call_tool(
        context: ServerRequestContext[Running],
        params: types.CallToolRequestParams,
    ) -> types.CallToolResult:
        try:
            principal = callers.of(context.request)
            principal.require(SCOPE_TOOLS_CALL)
            owner = principal.acting_owner(context.meta)
            tool = _find(catalogue.served, params.name)
            transport = context.lifespan_context.transport
            return await call_counted(usage, tool, params.arguments or {}, transport, owner)
        except ForbiddenError as error:
            failure = ToolFailedError("forbidden", str(error))
        except ToolFailedError as error:
            failure = error
        except Exception as error:  # noqa: BLE001 - boundary: a fault costs its call, not the server
            reference = report_fault(_logger, "a tool's call", error)
            failure = ToolFailedError(
                "failed", f"the tools server failed; its log says why under {reference}"
            )
        # not the text, which may quote what people wrote
        _logger.info("tool %s: %s", excerpt(params.name), failure.detail.code)
        return render_failure(failure)

    server = ToolsServer(
        "agentic-tools",
        version=version("agentic-ai"),
        title="Tools",
        cache_hints=CHANGING_TOOLS,
        lifespan=open_lifespan,
        get_tool_input_schema=get_input_schema,
        on_list_tools=list_tools,
        on_call_tool=call_tool,
        on_list_resources=resources.list_resources,
        on_list_resource_templates=resources.list_templates,
        on_read_resource=resources.read_resource,
        on_subscriptions_listen=announcer.listen,
    )

    def tell(problem: str | None) -> None:
        server.instructions = problem and f"Not all tools are what mcp.yml says: {problem}"

    tell(first.problem)
    return server


def _find(served: Mapping[str, Tool], name: str) -> Tool:
    if (tool := served.get(name)) is not None:
        return tool
    near = difflib.get_close_matches(name[:128], served, n=1)
    hint = f"did you mean {near[0]}?" if near else "list the tools to see which there are"
    raise ToolFailedError("not_found", f"there is no tool {excerpt(name)}; {hint}")
