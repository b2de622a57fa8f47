"""`agentic tools test` for a tool of steps: its requests as far as they are known, its answer."""

import re
import sys
from collections.abc import Iterator, Mapping, Sequence

import httpx2

from agentic.cli.failures import FAILED, UsageError
from agentic.cli.invocation import note
from agentic.cli.terminal_text import clean, one_line
from agentic.cli.tool_arguments import parse_arguments
from agentic.config.models import Config
from agentic.config.tool_steps import list_expressions
from agentic.config.tools import ToolConfig
from servers.tools.composed import ComposedTool, Known, Step
from servers.tools.declared import DeclaredTool
from servers.tools.guarded_network import Network, open_transport
from servers.tools.preview import render_request
from servers.tools.results import ToolFailedError


def create_composed(name: str, config: Config) -> ComposedTool:
    """The tool, with those that it calls.

    Raises:
        UsageError: One of these can't be used.
    """
    composed = config.composed[name]
    try:
        tools = {
            each.tool: DeclaredTool(each.tool, config.tools[each.tool]) for each in composed.steps
        }
    except httpx2.InvalidURL:
        raise UsageError(f"A url of the steps of {one_line(name)} can't be used.") from None
    return ComposedTool(name, composed, tools)


async def check_composed(
    tool: ComposedTool, given: Sequence[str], config: Config, *, dry_run: bool, yes: bool
) -> int:
    """Show the steps' requests, take the steps, show what came back: 0 if that is an answer."""
    name = tool.definition.name
    arguments: Mapping[str, object] = (
        parse_arguments(given, tool.definition.input_schema)
        if given or not tool.config.examples
        else tool.config.examples[0]
    )
    try:
        _, known = tool.read(arguments)
        for line in _render_steps(tool.steps, known, config.tools):
            sys.stdout.write(f"{clean(line)}\n")
    except ToolFailedError as error:
        raise UsageError(f"The arguments don't fit: {error}.") from None
    if tool.unavailable is not None:
        note(tool.unavailable)
        return FAILED
    if dry_run:
        return 0
    if not yes and any(each.changes for each in tool.steps):
        raise UsageError(
            f"{one_line(name)} may change something, so nothing was sent; --yes sends it."
        )
    return await send(tool, arguments, config.owner)


async def send(
    tool: DeclaredTool | ComposedTool, arguments: Mapping[str, object], owner: str
) -> int:
    """Call a tool and show its answer: 0 if there is one."""
    async with open_transport(Network()) as transport:
        try:
            result = await tool.call(arguments, transport, owner)
        except ToolFailedError as error:
            note(f"Error: {error}")
            return FAILED
    text = "\n".join(block.text for block in result.content if block.type == "text")
    sys.stdout.write(f"\n{clean(text)}\n")
    return 0


def _render_steps(
    steps: Sequence[Step], known: Known, tools: Mapping[str, ToolConfig]
) -> Iterator[str]:
    labels: list[str] = []
    for number, step in enumerate(steps, 1):
        needed = [each for each in labels if _mentions(step, each)]
        labels.append(step.config.label)
        yield f"# step {number}: {step.config.label}"
        if needed:
            yield f"# {step.config.tool}, known once {' and '.join(needed)} has answered"
            continue
        filled = step.fill(known)
        if filled is None:
            yield "# left out: its condition is not met"
            continue
        yield from render_request(tools[step.config.tool], step.tool.prepare(filled))


def _mentions(step: Step, label: str) -> bool:
    word = re.compile(rf"(?<![\w-]){re.escape(label)}(?![\w-])")
    return any(word.search(each) for each in list_expressions(step.config))
