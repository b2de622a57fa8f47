"""`agentic tools list|call`: what a model could call, by hand."""

import sys
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from mcp_types import CallToolResult

from agentic.cli.compose import SETTLE_SECONDS, open_servers, require
from agentic.cli.declared_tools import (
    declares,
    describe_declared,
    explain_broken,
    find_declared,
    name_broken,
    render_facts,
    serves_declared,
)
from agentic.cli.failures import FAILED, UsageError
from agentic.cli.invocation import Invocation, note
from agentic.cli.output_files import check_output
from agentic.cli.question_view import CommandAsker
from agentic.cli.server_states import render_tools, sort_servers
from agentic.cli.terminal_text import clean, one_line, to_json
from agentic.cli.tool_arguments import parse_arguments
from agentic.cli.tool_output import save_result
from agentic.config.children import SECTIONS_OF_TALKERS
from agentic.config.models import Config
from client.asking.server_questions import DirectAnswerer
from client.hub.hub import Hub
from client.hub.servers import HubTool, ServerStatus


def list_tools(invocation: Invocation, *, as_json: bool) -> int:
    """A line for each server and tool, or one JSON array."""

    async def work(config: Config) -> None:
        async with open_servers(config) as hub:
            await hub.wait_settled(SETTLE_SECONDS)
            if as_json:
                sys.stdout.write(to_json(_describe(hub, config)) + "\n")
            else:
                lines = render_tools(
                    hub, partial(_render_declared, config), partial(_render_broken, config)
                )
                sys.stdout.writelines(f"{line}\n" for line in lines)

    return invocation.run(work, sections=SECTIONS_OF_TALKERS, tells_broken_tools=False)


def call_tool(
    invocation: Invocation,
    words: Sequence[str],
    output: Path | None,
    *,
    force: bool,
    as_json: bool,
) -> int:
    """Call one tool: 0 if it worked. What it gave goes into `output`, else to stdout."""

    async def work(config: Config) -> int:
        server, name, given = _split(words, config)
        if output is not None:
            check_output(output, force=force)
        only = config.model_copy(update={"servers": {server: config.servers[server]}})
        asker = CommandAsker(())
        async with open_servers(only, can_ask=asker.can_ask) as hub:
            await require(hub, server)
            tool = _find(hub.tools(), server, name, config)
            arguments = parse_arguments(given, tool.definition.input_schema)
            seconds = config.limits.question_timeout_seconds
            answerer = DirectAnswerer(asker, server, tool.definition.name, seconds)
            result = await hub.call_tool(
                server, tool.tool, arguments, answerer=answerer if asker.can_ask else None
            )
            if output is not None and not result.is_error:
                await save_result(hub, server, result, output, force=force)
                return 0
        _show(result, as_json=as_json)
        if not as_json and any(block.type == "resource_link" for block in result.content):
            note("What is linked goes with this command: -o FILE would have saved it.")
        return FAILED if result.is_error else 0

    return invocation.run(work, sections=SECTIONS_OF_TALKERS, tells_broken_tools=False)


def _render_declared(config: Config, tool: HubTool) -> Iterator[str]:
    declared = find_declared(config, tool.server, tool.tool)
    return iter(()) if declared is None else render_facts(declared)


def _render_broken(config: Config, status: ServerStatus) -> Iterator[str]:
    if not serves_declared(config, status.name):
        if status.problem:
            yield f"{one_line(status.problem, 2_000)}; what was good before is kept"
        return
    for name, findings in config.broken_tools.items():
        yield f"{one_line(name, 64)} [left out]: {one_line('; '.join(findings), 600)}"


def _describe_declared(config: Config, tool: HubTool) -> dict[str, Any] | None:
    declared = find_declared(config, tool.server, tool.tool)
    return None if declared is None else describe_declared(declared)


def _describe(hub: Hub, config: Config) -> list[dict[str, Any]]:
    tools = hub.tools()
    return [
        {
            "server": status.name,
            "state": status.state,
            "reason": status.reason,
            "problem": status.problem,
            "broken": dict(config.broken_tools) if serves_declared(config, status.name) else {},
            "tools": [
                {
                    "name": tool.definition.name,
                    "tool": tool.tool,
                    "title": tool.title,
                    "description": tool.definition.description,
                    "read_only": tool.read_only,
                    "offered": tool.offered,
                    "input_schema": tool.definition.input_schema,
                    "declared": _describe_declared(config, tool),
                }
                for tool in tools
                if tool.server == status.name
            ],
        }
        for status in sort_servers(hub.status())
    ]


def _split(words: Sequence[str], config: Config) -> tuple[str, str, Sequence[str]]:
    """Server, tool and arguments out of `SERVER TOOL …`, `SERVER__TOOL …` or a declared `TOOL`."""
    if words[0] not in config.servers:
        for name in config.servers:
            if declares(config, name, words[0]):
                return name, words[0], words[1:]
    server, separator, tool = words[0].partition("__")
    if separator:
        rest = words[1:]
    elif len(words) > 1:
        server, tool, rest = words[0], words[1], words[2:]
    else:
        raise UsageError(f"Which tool of {one_line(server)}? `agentic tools list` shows them all.")
    if server not in config.servers:
        known = ", ".join(config.servers)
        raise UsageError(f"There is no server {one_line(server)}. There are: {known}.")
    return server, tool, rest


def _find(tools: Sequence[HubTool], server: str, name: str, config: Config) -> HubTool:
    for tool in tools:
        if tool.server == server and name in (tool.tool, tool.definition.name.partition("__")[2]):
            return tool
    is_own = serves_declared(config, server)
    if is_own and (why := explain_broken(config, name)):
        raise UsageError(f"{one_line(name)} is left out: {why}.")
    known = ", ".join(one_line(tool.tool) for tool in tools if tool.server == server)
    broken = name_broken(config) if is_own else ""
    raise UsageError(f"{server} has no tool {one_line(name)}. It has: {known or 'none'}.{broken}")


def _show(result: CallToolResult, *, as_json: bool) -> None:
    if as_json:
        shown = result.model_dump(mode="json", by_alias=True, exclude_none=True)
        sys.stdout.write(to_json(shown) + "\n")
        return
    text = "\n".join(_render_block(block.model_dump(mode="json")) for block in result.content)
    if not text and result.structured_content is not None:
        text = to_json(result.structured_content)
    if result.is_error:
        note(f"Error: {text or 'the tool failed and gave no reason'}")
    else:
        sys.stdout.write(clean(text) + "\n")


def _render_block(block: Mapping[str, Any]) -> str:
    match block:
        case {"type": "text", "text": str(text)}:
            return text
        case {"type": "resource_link", "uri": str(uri)}:
            return f"[{uri}]"
        case _:
            return f"[{block.get('mime_type') or block.get('type')}]"
