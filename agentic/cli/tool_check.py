"""`agentic tools test`: a declared tool's request and answer, without any server between."""

import sys
from collections.abc import Mapping, Sequence

import httpx2

from agentic.cli.declared_tools import explain_broken, name_broken
from agentic.cli.failures import FAILED, UsageError
from agentic.cli.invocation import Invocation, note
from agentic.cli.steps_check import check_composed, create_composed, send
from agentic.cli.terminal_text import clean, one_line
from agentic.cli.tool_arguments import parse_arguments
from agentic.config.findings import find_nearest
from agentic.config.models import Config
from agentic.config.tools import ToolConfig
from servers.tools.declared import DeclaredTool
from servers.tools.preview import render_request
from servers.tools.results import ToolFailedError

_SECTIONS = frozenset({"owner", "data_directory", "tools"})


def check_tool(invocation: Invocation, words: Sequence[str], *, dry_run: bool, yes: bool) -> int:
    """Show the request of a call, send it, show what came back: 0 if that is an answer."""

    async def work(config: Config) -> int:
        name = words[0].removeprefix("tools__")
        if name in config.composed:
            composed = create_composed(name, config)
            return await check_composed(composed, words[1:], config, dry_run=dry_run, yes=yes)
        declaration = _find(config, name)
        try:
            tool = DeclaredTool(name, declaration)
        except httpx2.InvalidURL:
            raise UsageError(f"tools.{one_line(name)}.url can't be used: check its host.") from None
        given = words[1:]
        arguments: Mapping[str, object] = (
            parse_arguments(given, tool.definition.input_schema)
            if given or not declaration.examples
            else declaration.examples[0]
        )
        try:
            request = tool.prepare(arguments)
        except ToolFailedError as error:
            raise UsageError(f"The arguments don't fit: {error}.") from None
        lines = render_request(declaration, request)
        sys.stdout.writelines(f"{clean(line)}\n" for line in lines)
        if tool.unavailable is not None:
            note(tool.unavailable)
            return FAILED
        if dry_run:
            return 0
        if not (declaration.is_read_only or yes):
            raise UsageError(
                f"{one_line(name)} may change something, so nothing was sent; --yes sends it."
            )
        return await send(tool, arguments, config.owner)

    return invocation.run(work, sections=_SECTIONS, tells_broken_tools=False)


def _find(config: Config, name: str) -> ToolConfig:
    if (declaration := config.tools.get(name)) is not None:
        return declaration
    if why := explain_broken(config, name):
        raise UsageError(f"{one_line(name)} is left out: {why}.")
    if config.waiting_sources:
        raise UsageError(
            f"The document of {', '.join(map(one_line, config.waiting_sources))} was not got yet: "
            "`agentic tools list` starts the server that does that."
        )
    nearest = find_nearest(name, config.tools)
    hint = f"Did you mean {nearest}?" if nearest else "mcp.yml has none of that name."
    raise UsageError(f"There is no declared tool {one_line(name)}. {hint}{name_broken(config)}")
