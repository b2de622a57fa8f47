"""A server's tools as it lists them, made safe to offer: bounded, cleaned, uniquely named.

What a server says about its tools ends up in front of a model and on a screen, so one that lies or is
broken costs only its own tools.
"""

import json
import logging
from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Any, cast

import anyio.lowlevel
from mcp import Client
from mcp_types import Tool

from client.hub.names import create_server_prefix, create_tool_name
from client.hub.plain_text import clean
from client.hub.servers import HubServer, HubTool
from client.llm.protocol import ToolDefinition

logger = logging.getLogger(__name__)

MAX_TOOLS = 1_000
MAX_PAGES = 50
MAX_NAME_CHARACTERS = 256
MAX_TITLE_CHARACTERS = 200
MAX_DESCRIPTION_CHARACTERS = 4_000
MAX_SCHEMA_BYTES = 100_000


async def load_tools(client: Client, server: HubServer) -> dict[str, HubTool]:
    """List the tools that exist for us, by the server's own names, in order of the model's names.

    What is over a limit, filtered out, named twice, or can't be offered is left out, the unexpected of it
    with one warning.
    """
    if client.server_capabilities.tools is None:
        return {}
    found: dict[str, HubTool] = {}
    complaints: list[str] = []
    cursor: str | None = None
    for _ in range(MAX_PAGES):
        page = await client.list_tools(cursor=cursor)
        for tool in page.tools:
            # Checking a schema takes milliseconds; others go first.
            await anyio.lowlevel.checkpoint()
            if len(found) == MAX_TOOLS:
                break
            _add(found, tool, server, complaints)
        cursor = page.next_cursor
        if cursor is None or len(found) == MAX_TOOLS:
            break
    if cursor is not None or len(found) == MAX_TOOLS:
        complaints.append(f"the list was cut after {len(found)} tools")
    if complaints:
        shown = "; ".join(complaints[:5]) + (" …" if len(complaints) > 5 else "")
        logger.warning("server %s: %d tools not usable: %s", server.name, len(complaints), shown)
    return dict(sorted(found.items(), key=lambda item: item[1].definition.name))


def _add(found: dict[str, HubTool], tool: Tool, server: HubServer, complaints: list[str]) -> None:
    if not _is_wanted(tool.name, server):
        return
    name = create_tool_name(create_server_prefix(server.name), tool.name)
    if problem := _find_problem(tool, trusted=server.ours):
        complaints.append(f"{clean(tool.name, 60)!r}: {problem}")
    elif tool.name in found or any(name == other.definition.name for other in found.values()):
        complaints.append(f"{clean(tool.name, 60)!r}: there are two of this name")
    else:
        found[tool.name] = _to_hub_tool(tool, name, server)


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
    """Why no model may see this schema: providers refuse a whole request for one that is invalid."""
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
        ),
        title=clean(title, MAX_TITLE_CHARACTERS) if title else None,
        offered=offer if isinstance(offer, bool) else tool.name in offer,
        read_only=bool(hints and hints.read_only_hint),
        destructive=hints is None or hints.destructive_hint is not False,
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
