"""The tools that an owner may use now, each as an object to execute."""

import difflib
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from mcp_types import CallToolResult

from client.asking.holding import is_from_outside
from client.conversations import ToolCaller
from client.hub.elicitation import Answerer, Resumption
from client.hub.errors import HubError
from client.hub.servers import HubTool
from client.llm.protocol import ToolDefinition
from client.resource_reader import ResourceReader
from client.tool_content import Content, first_line, render_result

_TIMEOUT_SECONDS = 60.0
_MAX_CHARACTERS = 100_000


class ToolBox(ToolCaller, ResourceReader, Protocol):
    """The part of the hub that using tools needs."""

    def tools(self) -> list[HubTool]:
        """Tools of the servers that are ready."""
        ...

    async def call_tool(
        self,
        server: str,
        tool: str,
        arguments: Mapping[str, Any],
        *,
        owner: str | None = None,
        timeout_seconds: float | None = None,
        answerer: Answerer | None = None,
        resumption: Resumption | None = None,
    ) -> CallToolResult:
        """As `ToolCaller`; `answerer` is given what the server asks."""
        ...


@dataclass(frozen=True, slots=True)
class ToolResult:
    """What a call gave. `content` is for a model, also of a call that failed."""

    success: bool
    content: Content
    error: str | None = None
    """Why it failed, in one line."""
    duration: float = 0.0
    """Seconds."""
    untrusted: bool = False
    """Others may have written it."""
    received: CallToolResult | None = field(default=None, repr=False)
    """What came, before anything was left out; None: nothing."""

    def first_line(self) -> str:
        """A short text for people who watch."""
        return first_line(self.content)


def failed(text: str) -> ToolResult:
    """The result of a call that was not made, or of which nothing came."""
    return ToolResult(success=False, content=text, error=first_line(text))


class MCPTool:
    """One tool of one server."""

    def __init__(
        self,
        facts: HubTool,
        hub: ToolBox,
        *,
        owner: str | None,
        timeout_seconds: float,
        max_characters: int,
    ) -> None:
        self.facts = facts
        """What its server says of it, and what we make of that."""
        self._hub = hub
        self._owner = owner
        self._timeout_seconds = timeout_seconds
        self._max_characters = max_characters

    @property
    def definition(self) -> ToolDefinition:
        """As models see it, by the name `server__tool`."""
        return self.facts.definition

    async def execute(
        self,
        arguments: Mapping[str, Any],
        *,
        answerer: Answerer | None = None,
        resumption: Resumption | None = None,
    ) -> ToolResult:
        """Call it once, for the owner. Whatever goes wrong is a result that a model can read.

        `answerer` is given what the server asks, without one it may ask nothing; `resumption` goes
        on with an earlier call.
        """
        began = time.monotonic()
        received: CallToolResult | None = None
        try:
            received = await self._hub.call_tool(
                self.facts.server,
                self.facts.tool,
                arguments,
                owner=self._owner,
                timeout_seconds=self._timeout_seconds,
                answerer=answerer,
                resumption=resumption,
            )
        except HubError as error:
            content, success = str(error), False
        else:
            content, success = self.render(received), not received.is_error
        return ToolResult(
            success,
            content,
            None if success else first_line(content),
            duration=round(time.monotonic() - began, 4),
            untrusted=is_from_outside(self.facts),
            received=received,
        )

    def render(self, received: CallToolResult) -> Content:
        """What came as the content of a message, as long as a model may read."""
        return render_result(received, self._max_characters)


class ToolManager:
    """The tools that an owner may use: those of servers that are ready, as configured.

    Servers come and go, and change what they have: each look is a new one.
    """

    def __init__(
        self,
        hub: ToolBox,
        owner: str | None = None,
        *,
        timeout_seconds: float = _TIMEOUT_SECONDS,
        max_characters: int = _MAX_CHARACTERS,
    ) -> None:
        """`owner`: for whom calls act, None for the operator. Limits are those of each call."""
        self._hub = hub
        self._owner = owner
        self._timeout_seconds = timeout_seconds
        self._max_characters = max_characters

    def tools(self) -> dict[str, MCPTool]:
        """Those that a model is offered, by the names it knows them by."""
        return {
            facts.definition.name: MCPTool(
                facts,
                self._hub,
                owner=self._owner,
                timeout_seconds=self._timeout_seconds,
                max_characters=self._max_characters,
            )
            for facts in self._hub.tools()
            if facts.offered
        }

    def definitions(self) -> list[ToolDefinition]:
        """The same, as models see them."""
        return [facts.definition for facts in self._hub.tools() if facts.offered]

    async def execute(self, name: str, arguments: Mapping[str, Any]) -> ToolResult:
        """Call a tool by its name; that there is none is a result, too."""
        tools = self.tools()
        if name not in tools:
            return unknown_tool(name, tools)
        return await tools[name].execute(arguments)


def unknown_tool(name: str, tools: Mapping[str, MCPTool]) -> ToolResult:
    """The result of calling what is not there, with what may have been meant."""
    near = difflib.get_close_matches(name, tools, n=3)
    hint = f" Did you mean {', '.join(near)}?" if near else ""
    return failed(f"There is no tool {name}.{hint}")
