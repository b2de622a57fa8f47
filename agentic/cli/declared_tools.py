"""What `mcp.yml` says of the tools that it declares, for a person who looks after them."""

from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from agentic.cli.terminal_text import one_line
from agentic.config.children import runs_our_command
from agentic.config.models import Config
from agentic.config.tool_steps import StepsConfig
from agentic.config.tools import ToolConfig


def serves_declared(config: Config, server: str) -> bool:
    """Whether a server is ours and serves what this file declares."""
    entry = config.servers.get(server)
    return entry is not None and runs_our_command(entry) and entry.args == ["serve", "tools"]


def find_declared(config: Config, server: str, tool: str) -> ToolConfig | StepsConfig | None:
    """The declaration of a server's tool, if it is in this file."""
    if not serves_declared(config, server):
        return None
    return config.tools.get(tool) or config.composed.get(tool)


def declares(config: Config, server: str, tool: str) -> bool:
    """Whether this file has a declaration of a server's tool, be it a wrong one."""
    is_broken = serves_declared(config, server) and tool in config.broken_tools
    return is_broken or find_declared(config, server, tool) is not None


def explain_broken(config: Config, name: str) -> str | None:
    """Why a tool that the file declares is left out; None: it is not."""
    findings = config.broken_tools.get(name)
    return one_line("; ".join(findings), 2_000) if findings else None


def name_broken(config: Config) -> str:
    """The end of a sentence about the tools there are; some of a document may be among them."""
    names = ", ".join(one_line(name, 64) for name in config.broken_tools)
    return f" Left out are {names}: `agentic tools list` says why." if names else ""


def render_facts(tool: ToolConfig | StepsConfig) -> Iterator[str]:
    """Where it leads, and what a call may take."""
    if isinstance(tool, StepsConfig):
        yield f"steps {', '.join(each.tool for each in tool.steps)}"
        if tool.confirm:
            yield "asks first"
        yield f"{tool.timeout_seconds:g} s"
        return
    yield f"{tool.method} {urlsplit(tool.url).hostname}"
    if tool.source is not None:
        yield f"by OpenAPI {tool.source}"
    if tool.is_destructive:
        yield "destructive"
    if tool.confirm:
        yield "asks first"
    yield f"{tool.timeout_seconds:g} s"
    if tool.retries:
        yield f"{tool.retries} {'retry' if tool.retries == 1 else 'retries'}"
    if tool.rate_limit is not None:
        yield f"at most {tool.rate_limit}"
    if tool.cache_seconds is not None:
        yield f"kept {tool.cache_seconds:g} s"
    if tool.missing_variables:
        yield f"unavailable: {', '.join(tool.missing_variables)} not set"


def describe_declared(tool: ToolConfig | StepsConfig) -> dict[str, Any]:
    """The same for a program."""
    if isinstance(tool, StepsConfig):
        return {
            "source": "mcp.yml",
            "steps": [each.tool for each in tool.steps],
            "timeout_seconds": tool.timeout_seconds,
            "confirm": tool.confirm,
        }
    return {
        "source": "mcp.yml",
        "openapi": tool.source,
        "method": tool.method,
        "host": urlsplit(tool.url).hostname,
        "timeout_seconds": tool.timeout_seconds,
        "retries": tool.retries,
        "rate_limit": tool.rate_limit,
        "cache_seconds": tool.cache_seconds,
        "max_response_bytes": tool.max_response_bytes,
        "confirm": tool.confirm,
        "missing_variables": list(tool.missing_variables),
    }
