"""A server's tools as it lists them, made safe to offer: bounded, cleaned, uniquely named.

What a server says about its tools ends up in front of a model and on a screen, so one that lies or
is broken costs only its own tools.
"""

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, cast

import anyio.to_thread
from mcp import Client
from mcp_types import Tool

from client.hub.names import create_server_prefix, create_tool_name
from client.hub.plain_text import clean
from client.hub.servers import HubServer, HubTool
from client.llm.protocol import ToolDefinition
from servers.tools.contract import CONFIRM_META_KEY, OWN_WORDS_META_KEY, PROBLEM_META_KEY

logger = logging.getLogger(__name__)

MAX_TOOLS = 1_000
MAX_PAGES = 50
MAX_NAME_CHARACTERS = 256
MAX_TITLE_CHARACTERS = 200
MAX_DESCRIPTION_CHARACTERS = 4_000
MAX_SCHEMA_BYTES = 100_000
_MAX_PROBLEM_CHARACTERS = 2_000
_SHOWN_COMPLAINTS = 5


@dataclass(frozen=True, slots=True)
class Listing:
    """The tools that exist for us: by the server's own names, in order of the models' names."""

    tools: Mapping[str, HubTool]
    problem: str | None = None
    """Why a server of ours has other tools than its configuration says."""


async def load_tools(client: Client, server: HubServer) -> Listing:
    """List a server's tools.

    What can't be offered or is over a limit is left out, with one warning for all of it.
    """
    collection = _Collection(server)
    if client.server_capabilities.tools is None:
        return Listing({})
    cursor: str | None = None
    problem: object = None
    for _ in range(MAX_PAGES):
        page = await client.list_tools(cursor=cursor)
        # Checking a schema takes milliseconds, and a lying server has thousands of them.
        await anyio.to_thread.run_sync(collection.add, page.tools, abandon_on_cancel=True)
        problem = problem or (page.meta or {}).get(PROBLEM_META_KEY)
        cursor = page.next_cursor
        if not cursor:
            break
    else:
        collection.complaints.append(f"its list was cut after {MAX_PAGES} pages")
    collection.warn()
    told = clean(problem, _MAX_PROBLEM_CHARACTERS) if isinstance(problem, str) else ""
    return Listing(collection.by_name(), told if server.ours and told else None)


class _Collection:
    """The tools of one listing so far, and what is wrong with the others."""

    def __init__(self, server: HubServer) -> None:
        self.complaints: list[str] = []
        self._server = server
        self._prefix = create_server_prefix(server.name)
        self._tools: dict[str, HubTool] = {}
        """By the models' names, which differ where the server's own do, but for a lying server."""

    def add(self, tools: Sequence[Tool]) -> None:
        for tool in tools:
            self._add(tool)

    def _add(self, tool: Tool) -> None:
        if not _is_wanted(tool.name, self._server):
            return
        name = create_tool_name(self._prefix, tool.name)
        problem = (
            f"there are more than {MAX_TOOLS:,} tools"
            if len(self._tools) == MAX_TOOLS
            else "another one has this name"
            if name in self._tools
            else _find_problem(tool, trusted=self._server.ours)
        )
        if problem:
            self.complaints.append(f"{clean(tool.name, 60)!r}: {problem}")
        else:
            self._tools[name] = _to_hub_tool(tool, name, self._server)

    def warn(self) -> None:
        if not self.complaints:
            return
        shown = "; ".join(self.complaints[:_SHOWN_COMPLAINTS])
        rest = len(self.complaints) - _SHOWN_COMPLAINTS
        more = f" (and {rest} more)" if rest > 0 else ""
        logger.warning("server %s: tools left out: %s%s", self._server.name, shown, more)

    def by_name(self) -> dict[str, HubTool]:
        return {tool.tool: tool for _, tool in sorted(self._tools.items())}


def _is_wanted(tool: str, server: HubServer) -> bool:
    return any(fnmatchcase(tool, pattern) for pattern in server.allow) and not any(
        fnmatchcase(tool, pattern) for pattern in server.deny
    )


def _find_problem(tool: Tool, *, trusted: bool) -> str | None:
    if not 1 <= len(tool.name) <= MAX_NAME_CHARACTERS:
        return f"its name has {len(tool.name)} characters"
    try:
        size = len(json.dumps(tool.input_schema))
    except (TypeError, ValueError, RecursionError) as error:
        return f"its input schema is not JSON ({error})"
    if size > MAX_SCHEMA_BYTES:
        return f"its input schema has {size:,} bytes, over {MAX_SCHEMA_BYTES:,}"
    return None if trusted else _find_schema_problem(tool.input_schema)


def _find_schema_problem(schema: Mapping[str, Any]) -> str | None:
    """Why no model may see this schema: a provider refuses the whole request for an invalid one."""
    # Imported when used: servers of ours never need it.
    from jsonschema import Draft202012Validator, SchemaError

    if schema.get("type") != "object":
        return 'its input schema is not of type "object"'
    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as error:
        return f"its input schema is invalid ({clean(error.message, 120)})"
    except RecursionError:
        return "its input schema is too deep"
    return None


def _to_hub_tool(tool: Tool, name: str, server: HubServer) -> HubTool:
    hints = tool.annotations
    title = tool.title or (hints.title if hints else None)
    offer = server.offer_to_model
    return HubTool(
        server=server.name,
        tool=tool.name,
        definition=ToolDefinition(
            name=name,
            description=clean(tool.description or title or tool.name, MAX_DESCRIPTION_CHARACTERS),
            input_schema=cast("Mapping[str, Any]", _clean_schema(tool.input_schema)),
            read_only=bool(hints and hints.read_only_hint),
        ),
        title=clean(title, MAX_TITLE_CHARACTERS) if title else None,
        offered=offer if isinstance(offer, bool) else tool.name in offer,
        destructive=hints is None or hints.destructive_hint is not False,
        says_destructive=bool(hints and hints.destructive_hint),
        open_world=hints is None or hints.open_world_hint is not False,
        confirm=bool((tool.meta or {}).get(CONFIRM_META_KEY)),
        own_words=(tool.meta or {}).get(OWN_WORDS_META_KEY) is True,
        ours=server.ours,
    )


def _clean_schema(node: object) -> object:
    """The schema with its `title` and `description` texts cleaned like a tool's own."""
    if isinstance(node, list):
        return [_clean_schema(child) for child in cast("list[object]", node)]
    if not isinstance(node, dict):
        return node
    return {
        key: clean(child, MAX_DESCRIPTION_CHARACTERS)
        if key in ("title", "description") and isinstance(child, str)
        else _clean_schema(child)
        for key, child in cast("dict[str, object]", node).items()
    }
