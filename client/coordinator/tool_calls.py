"""Runs the tools that a model asks for, at the same time; failures are results."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace

import anyio

from client.asking.holding import fingerprint
from client.asking.stored import ServerAsked
from client.coordinator.asked_back import StepQuestions
from client.coordinator.events import ToolFinished, ToolStarted
from client.coordinator.history import NOT_STARTED, UNKNOWN_OUTCOME
from client.hub.elicitation import Resumption, UnanswerableError
from client.kept_results import ResultKeeper, kept_links
from client.llm.protocol import ToolCall
from client.tool_content import with_notes
from client.tool_manager import MCPTool, ToolResult, failed, unknown_tool

TOOL_CHANGED_MEANWHILE = (
    "Not gone on with: the tool is gone or described otherwise now than when its server asked the "
    "user something. Whether it took effect is unknown."
)
_MAX_AT_ONCE = 8
Emit = Callable[[ToolStarted | ToolFinished], Awaitable[None]]


class ToolRunner:
    """Runs the calls of one step, and knows at any time what became of each."""

    def __init__(
        self,
        tools: Mapping[str, MCPTool],
        *,
        emit: Emit,
        questions: StepQuestions,
        keeper: ResultKeeper,
    ) -> None:
        """`questions`: what servers ask during the calls. `keeper` takes what messages can't."""
        self._tools = tools
        self._emit = emit
        self.questions = questions
        self._started: set[str] = set()
        self._received: dict[str, ToolResult] = {}
        """Outcomes of which something has yet to be kept elsewhere."""
        self._outcomes: dict[str, ToolResult] = {}
        self._keeper = keeper

    async def run(self, calls: Sequence[ToolCall]) -> None:
        """Run all calls; every one has an outcome afterwards."""
        limiter = anyio.CapacityLimiter(_MAX_AT_ONCE)

        async def run_one(call: ToolCall) -> None:
            async with limiter:
                await self._run_one(call)

        async with anyio.create_task_group() as group:
            for call in calls:
                group.start_soon(run_one, call)

    def outcome(self, call: ToolCall) -> ToolResult:
        """What became of a call, also of one that was interrupted or never began."""
        outcome = self._outcomes.get(call.id) or self._received.get(call.id)
        if outcome is not None:
            return outcome
        text = UNKNOWN_OUTCOME if call.id in self._started else NOT_STARTED
        return failed(text)

    def refuse(self, call: ToolCall, text: str) -> None:
        """The call is not made; this is what the model reads."""
        self._outcomes[call.id] = failed(text)

    def is_over(self, call: ToolCall) -> bool:
        """Whether it has its outcome."""
        return call.id in self._outcomes

    async def resume(self, call: ToolCall, asked: ServerAsked) -> None:
        """Go on with a call of an earlier run, during which its server asked something."""
        tool = self._tools.get(call.name)
        if tool is None or fingerprint(tool.facts) != asked.fingerprint:
            self.refuse(call, TOOL_CHANGED_MEANWHILE)
            return
        notes: list[str] = []
        try:
            resumption = await self.questions.ask_again(asked, tool.facts.server, notes)
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
        self._started.add(call.id)
        outcome = self._outcomes[call.id] = await self._execute(call, resumption, notes)
        await self._emit(
            ToolFinished(
                call.id,
                call.name,
                not outcome.success,
                outcome.first_line(),
                outcome.duration,
                kept_links(outcome.content),
            )
        )

    async def _execute(
        self, call: ToolCall, resumption: Resumption | None, notes: Sequence[str]
    ) -> ToolResult:
        tool = self._tools.get(call.name)
        if tool is None:
            return unknown_tool(call.name, self._tools)
        if call.arguments is None:
            return failed("The arguments are no JSON object; nothing was called. Write them again.")
        answerer = self.questions.for_call(call, tool.facts)
        result = await tool.execute(call.arguments, answerer=answerer, resumption=resumption)
        told = [*notes, *(answerer.notes if answerer else ())]
        if result.received is None:
            return replace(result, content=with_notes(result.content, told))
        self._received[call.id] = replace(result, content=with_notes(result.content, told))
        kept = await self._keeper.keep(tool.facts, result.received)
        return replace(result, content=with_notes(tool.render(kept), told), received=None)
