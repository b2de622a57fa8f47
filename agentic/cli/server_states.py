"""How the servers are and what they offer, for a person."""

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

from agentic.cli.invocation import note
from agentic.cli.terminal_text import one_line
from client.hub.servers import HubTool, ServerStatus

if TYPE_CHECKING:  # what is wrong with a command is told before it would need servers
    from client.hub.hub import Hub


def note_absent_servers(hub: "Hub") -> None:
    """Say on stderr which servers are not there, and why."""
    for line in render_absent_servers(hub):
        note(f"Note: {line}")


def render_absent_servers(hub: "Hub") -> list[str]:
    """A line for each server that is not there."""
    return [render_status(status) for status in hub.status() if status.state != "ready"]


def render_status(status: ServerStatus) -> str:
    """One line, such as `tools: not available (…)`."""
    name = one_line(status.name)
    if status.state == "ready":
        return f"{name}: ready, {status.tools} {'tool' if status.tools == 1 else 'tools'}"
    # With a reason, an attempt has failed already, and the next one may be under way.
    state = "not available" if status.reason else status.state
    reason = f" ({one_line(status.reason, 600)})" if status.reason else ""
    return f"{name}: {state}{reason}"


def render_tools(
    hub: "Hub",
    find_facts: Callable[[HubTool], Iterable[str]] = lambda _: (),
    find_absent: Callable[[ServerStatus], Iterable[str]] = lambda _: (),
    *,
    offered_only: bool = False,
) -> Iterator[str]:
    """A line for each server, and below it for each of its tools, or those offered to models.

    `find_facts`: what else is known of a tool. `find_absent`: what a server lacks, in lines.
    """
    tools = [tool for tool in hub.tools() if tool.offered or not offered_only]
    for status in sort_servers(hub.status()):
        yield render_status(status)
        yield from (f"  {line}" for line in find_absent(status))
        for tool in tools:
            if tool.server == status.name:
                yield f"  {_render_tool(tool, find_facts(tool))}"


def sort_servers(statuses: Iterable[ServerStatus]) -> list[ServerStatus]:
    """Conversations last: nobody looks for those first, and they are many."""
    return sorted(statuses, key=lambda status: status.name == "conversations")


def first_line(description: str) -> str:
    """The first line of a tool's description that says something."""
    return one_line(next((line for line in description.splitlines() if line.strip()), ""), 100)


def _render_tool(tool: HubTool, more: Iterable[str]) -> str:
    facts = ["read-only"] if tool.read_only else []
    facts += [] if tool.offered else ["not offered to the model"]
    facts += map(one_line, more)
    about = f" [{', '.join(facts)}]" if facts else ""
    description = first_line(tool.definition.description)
    return one_line(tool.definition.name, 64) + about + (f": {description}" if description else "")
