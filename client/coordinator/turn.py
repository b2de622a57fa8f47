"""One turn: from a stored user message to its stored reply, model and tools by turns."""

import json
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from agentic.config.models import LimitsConfig, Price
from client.asking.holding import UNTRUSTED, fingerprint, shows_untrusted, why_held
from client.asking.questions import CallQuestion, refusal
from client.asking.stored import Asked, ServerAsked, question_annotations, stored_questions
from client.coordinator.asked_back import StepQuestions
from client.coordinator.events import StepFinished, TurnEvent, TurnFinished
from client.coordinator.held_calls import TOOL_CHANGED, create_questions, may_run
from client.coordinator.model_requests import create_requests
from client.coordinator.questioner import Questioner
from client.coordinator.record import TurnRecord
from client.coordinator.request import TurnRequest
from client.coordinator.spending import LimitReachedError, Spending, usage_json
from client.coordinator.tool_calls import ToolRunner
from client.kept_results import ResultKeeper
from client.llm.protocol import (
    Completion,
    ContextTooLongError,
    LanguageModel,
    ModelRequest,
    ModelUnavailableError,
    RefusedError,
    TextDelta,
    ThoughtDelta,
    ToolCall,
)
from client.response_parser import Piece, ResponseParser
from client.tool_manager import MCPTool, ToolManager
from servers.conversations.contract import Message

_SAME_FAILURES = 3
_MAX_THOUGHTS_CHARACTERS = 100_000

Emit = Callable[[TurnEvent], Awaitable[None]]


class Turn:
    """The state of one turn while it runs."""

    def __init__(
        self,
        request: TurnRequest,
        record: TurnRecord,
        *,
        tools: ToolManager,
        model: LanguageModel,
        limits: LimitsConfig,
        price: Price | None,
        instructions: Callable[[bool], str],
        emit: Emit,
        questioner: Questioner,
        keeper: ResultKeeper,
    ) -> None:
        self._request = request
        self._record = record
        self._tools = tools
        self._model = model
        self._limits = limits
        self._spending = Spending(limits, price)
        self._instructions = instructions
        self._emit = emit
        self._questioner = questioner
        self._keeper = keeper
        self._read_untrusted = False
        """Whether what the model was shown last holds text that others wrote."""
        self._kept: set[str] = set()
        """Calls whose results are kept."""
        self._said = ""
        """Of the step that runs, what the user has seen so far."""
        self._thoughts = ""
        self._running: tuple[Sequence[ToolCall], ToolRunner] | None = None
        self._call_ids: set[str] = set()
        self._failures: dict[str, int] = {}
        self._told: list[dict[str, Any]] = []
        """Each finished call in short, for the reply's metadata."""

    async def run(self) -> TurnFinished:
        """Answer. The reply is stored when this returns, or waits in the spool.

        Raises:
            ModelError, LimitReachedError: There is no reply.
            TurnTakenError, HubError, ConversationCallError: The conversation can't be read or
            written.
        """
        if (reply := await self._record.load(self._limits.history_messages)) is not None:
            return self.finished(reply, repeated=True)
        self._call_ids = self._record.call_ids()
        if self._record.open_step is not None:
            await self._take_up(self._record.open_step)
        while True:
            self._spending.check()
            completion = await self._ask()
            if not completion.tool_calls:
                return await self._reply(completion)
            await self._call_tools(completion)

    async def interrupt(self, reason: str, *, sentence: str | None = None) -> None:
        """Leave a whole history behind: open calls get a result, and what was said stays.

        The turn is closed by a last message (what was said so far, and `sentence`), unless it is to
        be answered later and there is no sentence: then calls that wait for an answer stay open,
        and whoever goes on finds out about those that were being made, as after a crash.
        """
        if sentence is None and self._request.resumable:
            self._keep_results()
        else:
            self._close_calls()
        if sentence is not None:
            content = f"{self._said.strip()}\n\n{sentence}".strip()
            self._record.add_assistant(content, self._metadata(error=reason))
        elif not self._request.resumable:
            self._record.add_assistant(self._said, self._metadata(interrupted=reason))
        await self._record.flush()

    async def keep(self) -> None:
        """Store what was produced, without a reply: after an error the turn may be run again."""
        self._close_calls()
        await self._record.flush()

    def finished(self, reply: Message, *, repeated: bool = False) -> TurnFinished:
        """The event for a reply."""
        return TurnFinished(
            conversation_id=self._request.conversation_id,
            turn_id=self._record.turn_id,
            message_id=reply.message_id or "",
            content=reply.text(),
            thoughts=reply.thoughts or "",
            metadata={**(reply.metadata or {}), **({"repeated": True} if repeated else {})},
            is_stored=self._record.is_stored,
        )

    async def _ask(self) -> Completion:
        """One step's answer; a history too long for the model is sent again, cut shorter."""
        requests = create_requests(
            self._tools,
            self._model,
            self._instructions,
            self._record.messages,
            current_turn=self._record.turn_id,
            joined=self._request.joined,
        )
        too_long: ContextTooLongError | None = None
        for request in requests:
            try:
                completion = await self._stream(request)
            except ContextTooLongError as error:
                too_long = error
            else:
                self._read_untrusted = shows_untrusted(request.messages)
                return completion
        assert too_long is not None
        raise too_long

    async def _stream(self, request: ModelRequest) -> Completion:
        self._said = self._thoughts = ""
        parser = ResponseParser()
        completion: Completion | None = None
        async with self._model.stream(request) as events:
            async for event in events:
                match event:
                    case TextDelta(text):
                        await self._say(parser.feed(text))
                    case ThoughtDelta():
                        await self._emit(event)
                    case Completion():
                        completion = event
        await self._say(parser.finish())
        if completion is None:
            raise ModelUnavailableError("The model's answer broke off. Please try again.")
        self._spending.add_step(completion.usage)
        self._thoughts = "\n".join(filter(None, (completion.thoughts, self._thoughts.strip())))
        await self._emit(
            StepFinished(self._spending.steps, completion.usage, bool(completion.tool_calls))
        )
        return completion

    async def _say(self, pieces: Iterable[Piece]) -> None:
        for piece in pieces:
            if piece.kind == "content":
                self._said += piece.text
                await self._emit(TextDelta(piece.text))
            else:
                self._thoughts += piece.text
                await self._emit(ThoughtDelta(piece.text))

    async def _reply(self, completion: Completion) -> TurnFinished:
        content = self._said.strip()
        if completion.stop_reason == "refused":
            raise RefusedError(content or "The model declined to answer this.")
        if not content and completion.stop_reason == "max_tokens":
            raise ModelUnavailableError(
                "The model used up its room for an answer before it said anything "
                "(models.….max_output_tokens)."
            )
        if not content:
            raise ModelUnavailableError("The model answered with nothing. Please try again.")
        reply = self._record.add_assistant(
            content,
            self._metadata(stop_reason=completion.stop_reason),
            thoughts=self._thoughts[:_MAX_THOUGHTS_CHARACTERS] or None,
            annotations=dict(self._request.reply_annotations) or None,
        )
        await self._record.flush()
        return self.finished(reply)

    async def _call_tools(self, completion: Completion) -> None:
        calls = [self._with_unique_id(call) for call in completion.tool_calls]
        said = [{"type": "text", "text": self._said}] if self._said.strip() else []
        uses = [
            {"type": "tool_use", "id": call.id, "name": call.name, "input": call.arguments or {}}
            for call in calls
        ]
        tools = self._tools.tools()
        questions = create_questions(
            calls,
            tools,
            read_untrusted=self._read_untrusted,
            expires_at=self._questioner.expiry(),
        )
        message = self._record.add_assistant(
            [*map(dict, completion.reasoning), *said, *uses],
            {"model": self._model.name, "step_usage": usage_json(completion.usage)},
            thoughts=self._thoughts[:_MAX_THOUGHTS_CHARACTERS] or None,
            annotations=question_annotations(questions.values()) or None,
        )
        runner = self._create_runner(message, tools, asked_before=len(questions))
        self._said = ""
        self._running = (calls, runner)
        if questions or any(
            call.name in tools and not tools[call.name].facts.read_only for call in calls
        ):
            await self._record.flush()  # so that after a crash nobody starts it a second time
        await runner.run([call for call in calls if call.id not in questions])
        await self._ask_and_run(message, calls, questions, runner)
        self._close_calls()
        await self._record.flush_if_large()
        self._check_failures(calls, runner)

    async def _take_up(self, message: Message) -> None:
        """Ask again what an earlier run of this turn asked, and got no answer to."""
        calls = [
            ToolCall(use["id"], use["name"], dict(use["input"]))
            for use in self._record.open_uses(message)
        ]
        stored = stored_questions(message)
        questions = {call.id: _with_arguments(stored[call.id][-1][0], call) for call in calls}
        last = max(question.number for pairs in stored.values() for question, _ in pairs)
        runner = self._create_runner(message, self._tools.tools(), asked_before=last)
        self._running = (calls, runner)
        await self._ask_and_run(message, calls, questions, runner)
        self._close_calls()

    async def _ask_and_run(
        self,
        message: Message,
        calls: Sequence[ToolCall],
        questions: Mapping[str, Asked],
        runner: ToolRunner,
    ) -> None:
        """Make the calls that wait for an answer, each after its own.

        What was done is stored first.
        """
        for call in calls:
            question = questions.get(call.id)
            if question is None:
                continue
            self._keep_results()
            await self._record.flush()
            if isinstance(question, ServerAsked):
                await self._resume(message, call, question, runner)
            elif await self._may_run(message, call, question, runner):
                await runner.run([call])

    async def _may_run(
        self, message: Message, call: ToolCall, question: CallQuestion, runner: ToolRunner
    ) -> bool:
        """Whether the person wants the call, and the tool is still as they were told."""
        message_id = message.message_id or ""
        answer = await may_run(self._questioner, self._record, message_id, question)
        tool = self._tools.tools().get(call.name)
        if isinstance(answer, str):
            runner.refuse(call, answer)
        elif answer.action != "accept":
            runner.refuse(call, refusal(answer.action))
        elif tool is None or fingerprint(tool.facts) != question.fingerprint:
            runner.refuse(call, TOOL_CHANGED)
        else:
            return True
        return False

    async def _resume(
        self, message: Message, call: ToolCall, asked: ServerAsked, runner: ToolRunner
    ) -> None:
        """Go on with a call whose server asked something in an earlier run.

        What is stored may have come from elsewhere: the call needs its yes once more.
        """
        tool = self._tools.tools().get(call.name)
        reason = tool and why_held(tool.facts, read_untrusted=True)
        if tool is not None and reason is not None:
            question = runner.questions.create_question(call, tool.facts, reason)
            if not await self._may_run(message, call, question, runner):
                return
        await runner.resume(call, asked)

    def _create_runner(
        self, message: Message, tools: Mapping[str, MCPTool], *, asked_before: int
    ) -> ToolRunner:
        questions = StepQuestions(
            self._questioner,
            self._record,
            message_id=message.message_id or "",
            asked_before=asked_before,
            keep_results=self._keep_results,
        )
        return ToolRunner(tools, emit=self._emit, questions=questions, keeper=self._keeper)

    def _close_calls(self) -> None:
        """Every call that runs has its result after this, be it that it was not made."""
        self._keep_results(unfinished=True)
        self._running = None

    def _keep_results(self, *, unfinished: bool = False) -> None:
        """Keep the results there are, in the order of the calls."""
        calls, runner = self._running or ((), None)
        for call in calls:
            if runner is None or call.id in self._kept:
                continue
            if not unfinished and not runner.is_over(call):
                continue
            self._kept.add(call.id)
            outcome = runner.outcome(call)
            self._record.add(
                Message(
                    role="tool",
                    content=outcome.content,
                    name=call.name,
                    tool_call_id=call.id,
                    is_error=not outcome.success,
                    metadata={"seconds": outcome.duration, UNTRUSTED: outcome.untrusted},
                )
            )
            self._told.append(
                {
                    "tool": call.name,
                    "is_error": not outcome.success,
                    "seconds": outcome.duration,
                }
            )

    def _check_failures(self, calls: Sequence[ToolCall], runner: ToolRunner) -> None:
        for call in calls:
            outcome = runner.outcome(call)
            key = f"{call.name} {json.dumps(call.arguments, sort_keys=True)}"
            if outcome.success:
                self._failures.pop(key, None)
                continue
            self._failures[key] = self._failures.get(key, 0) + 1
            if self._failures[key] >= _SAME_FAILURES:
                said = outcome.first_line()
                raise LimitReachedError(f"{call.name} failed three times the same way: {said}")

    def _with_unique_id(self, call: ToolCall) -> ToolCall:
        """Some engines number the calls of each answer from zero; within a turn ids must differ."""
        call_id, number = call.id or "call", 1
        while call_id in self._call_ids:
            number += 1
            call_id = f"{call.id or 'call'}-{number}"
        self._call_ids.add(call_id)
        return replace(call, id=call_id)

    def _metadata(self, **more: object) -> dict[str, Any]:
        return {
            "final": True,
            "model": self._model.name,
            **self._spending.to_metadata(),
            **({"tool_calls": self._told[-50:]} if self._told else {}),
            **more,
        }


def _with_arguments(question: Asked, call: ToolCall) -> Asked:
    if isinstance(question, CallQuestion):
        return question.model_copy(update={"arguments": call.arguments})
    return question
