"""Runs the tools that a model asks for, at the same time; failures are results."""

import difflib
import json
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import anyio
from mcp_types import CallToolResult, EmbeddedResource, TextContent, TextResourceContents

from client.asking.holding import fingerprint, is_from_outside
from client.asking.stored import ServerAsked
from client.conversations import ToolCaller
from client.coordinator.asked_back import StepQuestions
from client.coordinator.events import ToolFinished, ToolStarted
from client.coordinator.history import NOT_STARTED, UNKNOWN_OUTCOME
from client.hub.elicitation import Answerer, Resumption, UnanswerableError
from client.hub.errors import HubError
from client.hub.servers import HubTool
from client.llm.protocol import ToolCall

TOOL_CHANGED_MEANWHILE = (
    "Not gone on with: the tool is gone or described otherwise now than when its server asked the "
    "user something. Whether it took effect is unknown."
)
_MAX_AT_ONCE = 8
_MAX_BLOCK_CHARACTERS = 256 * 1024
"""A picture or a sound above this is left out: with the rest it would not fit into a message."""


class ToolBox(ToolCaller, Protocol):
    """The part of the hub that a turn needs."""

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
class CallOutcome:
    """What a call gave: content for the model, whether it failed, how long it took."""

    content: str | list[dict[str, Any]]
    is_error: bool
    seconds: float
    untrusted: bool = False
    """Others may have written it."""

    def first_line(self, max_characters: int = 200) -> str:
        """A short text for people who watch."""
        text = self.content if isinstance(self.content, str) else _texts(self.content)
        line = next((line for line in text.splitlines() if line.strip()), "")
        return line if len(line) <= max_characters else line[: max_characters - 1] + "…"


Emit = Callable[[ToolStarted | ToolFinished], Awaitable[None]]


class ToolRunner:
    """Runs the calls of one step, and knows at any time what became of each."""

    def __init__(
        self,
        hub: ToolBox,
        tools: Mapping[str, HubTool],
        *,
        owner: str | None,
        timeout_seconds: float,
        max_characters: int,
        emit: Emit,
        questions: StepQuestions,
    ) -> None:
        """`questions`: what servers ask during the calls."""
        self._hub = hub
        self._tools = tools
        self._owner = owner
        self._timeout_seconds = timeout_seconds
        self._max_characters = max_characters
        self._emit = emit
        self.questions = questions
        self._started: set[str] = set()
        self._outcomes: dict[str, CallOutcome] = {}

    async def run(self, calls: Sequence[ToolCall]) -> None:
        """Run all calls; every one has an outcome afterwards."""
        limiter = anyio.CapacityLimiter(_MAX_AT_ONCE)

        async def run_one(call: ToolCall) -> None:
            async with limiter:
                await self._run_one(call)

        async with anyio.create_task_group() as group:
            for call in calls:
                group.start_soon(run_one, call)

    def outcome(self, call: ToolCall) -> CallOutcome:
        """What became of a call, also of one that was interrupted or never began."""
        if call.id in self._outcomes:
            return self._outcomes[call.id]
        text = UNKNOWN_OUTCOME if call.id in self._started else NOT_STARTED
        return CallOutcome(text, is_error=True, seconds=0.0)

    def refuse(self, call: ToolCall, text: str) -> None:
        """The call is not made; this is what the model reads."""
        self._outcomes[call.id] = CallOutcome(text, is_error=True, seconds=0.0)

    def is_over(self, call: ToolCall) -> bool:
        """Whether it has its outcome."""
        return call.id in self._outcomes

    async def resume(self, call: ToolCall, asked: ServerAsked) -> None:
        """Go on with a call of an earlier run, during which its server asked something."""
        tool = self._tools.get(call.name)
        if tool is None or fingerprint(tool) != asked.fingerprint:
            self.refuse(call, TOOL_CHANGED_MEANWHILE)
            return
        notes: list[str] = []
        try:
            resumption = await self.questions.ask_again(asked, tool.server, notes)
        except UnanswerableError as error:
            self.refuse(call, f"The server's question could not be put again: {error}.")
            return
        await self._run_one(call, resumption, notes)

    async def _run_one(
        self,
        call: ToolCall,
        resumption: Resumption | None = None,
        notes: Sequence[str] = (),
    ) -> None:
        await self._emit(ToolStarted(call.id, call.name, call.arguments or {}))
        began = time.monotonic()
        self._started.add(call.id)
        content, is_error = await self._answer(call, resumption, notes)
        tool = self._tools.get(call.name)
        seconds = round(time.monotonic() - began, 4)
        untrusted = tool is not None and is_from_outside(tool)
        outcome = CallOutcome(content, is_error, seconds, untrusted)
        self._outcomes[call.id] = outcome
        await self._emit(
            ToolFinished(call.id, call.name, is_error, outcome.first_line(), outcome.seconds)
        )

    async def _answer(
        self, call: ToolCall, resumption: Resumption | None, notes: Sequence[str]
    ) -> tuple[str | list[dict[str, Any]], bool]:
        tool = self._tools.get(call.name)
        if tool is None:
            near = difflib.get_close_matches(call.name, self._tools, n=3)
            hint = f" Did you mean {', '.join(near)}?" if near else ""
            return f"There is no tool {call.name}.{hint}", True
        if call.arguments is None:
            return "The arguments are no JSON object; nothing was called. Write them again.", True
        answerer = self.questions.for_call(call, tool)
        try:
            result = await self._hub.call_tool(
                tool.server,
                tool.tool,
                call.arguments,
                owner=self._owner,
                timeout_seconds=self._timeout_seconds,
                answerer=answerer,
                resumption=resumption,
            )
        except HubError as error:
            content, is_error = str(error), True
        else:
            content, is_error = render_result(result, self._max_characters), result.is_error
        return _with_notes(content, [*notes, *(answerer.notes if answerer else ())]), is_error


def render_result(result: CallToolResult, max_characters: int) -> str | list[dict[str, Any]]:
    """A tool's result as the content of a message: text where it is only text, else blocks."""
    blocks = [
        _to_block(block.model_dump(by_alias=True, exclude_none=True))
        if not isinstance(block, TextContent | EmbeddedResource)
        else {"type": "text", "text": _text_of(block)}
        for block in result.content
    ]
    if not blocks:
        structured = result.structured_content
        text = "" if structured is None else json.dumps(structured, ensure_ascii=False)
        blocks = [{"type": "text", "text": text or "(The tool gave no result.)"}]
    left = max_characters
    for block in blocks:
        if block["type"] == "text":
            block["text"] = _cut(block["text"], left)
            left = max(0, left - len(block["text"]))
    if all(block["type"] == "text" for block in blocks):
        return _texts(blocks)
    return blocks


def _with_notes(
    content: str | list[dict[str, Any]], notes: Sequence[str]
) -> str | list[dict[str, Any]]:
    """What a server says of a question that nobody answered may sound as if somebody had."""
    told = "\n".join(f"[{note}]" for note in dict.fromkeys(notes))
    if not told:
        return content
    if isinstance(content, str):
        return f"{told}\n{content}"
    return [{"type": "text", "text": told}, *content]


def _text_of(block: TextContent | EmbeddedResource) -> str:
    if isinstance(block, TextContent):
        return block.text
    if isinstance(block.resource, TextResourceContents):
        return f"{block.resource.uri}:\n{block.resource.text}"
    return f"[{block.resource.uri}: {block.resource.mime_type or 'binary'}, left out]"


def _to_block(block: dict[str, Any]) -> dict[str, Any]:
    size = len(block.get("data", ""))
    if size > _MAX_BLOCK_CHARACTERS:
        kind = f"{block['type']} {block.get('mimeType', '')}"
        return {"type": "text", "text": f"[{kind}, about {size * 3 // 4:,} bytes, left out]"}
    return block


def _cut(text: str, max_characters: int) -> str:
    if len(text) <= max_characters:
        return text
    return f"{text[:max_characters]}\n[{len(text) - max_characters:,} more characters left out]"


def _texts(blocks: Sequence[Mapping[str, Any]]) -> str:
    return "\n".join(block["text"] for block in blocks if block["type"] == "text")
