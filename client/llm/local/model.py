"""The embedded model: chooses a tool, fills it in and answers, each a small step of its own."""

import json
import secrets
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from functools import partial

import anyio
from anyio import to_thread
from pydantic import JsonValue, TypeAdapter, ValidationError

from client.llm.exchange import stream_answer
from client.llm.history import ResultsPiece, to_pieces
from client.llm.local.completions import Step, prepare_step
from client.llm.local.engine import Engine
from client.llm.local.loading import Loading
from client.llm.local.prompts import (
    MAX_CALLS,
    Choices,
    ask_to_answer,
    ask_to_choose,
    ask_to_fill_in,
)
from client.llm.protocol import (
    Completion,
    ModelEvent,
    ModelRequest,
    ModelUnavailableError,
    ToolCall,
    Usage,
)

_ANSWER_TEMPERATURE = 0.0
"""A small model that is left a choice of words mixes up who is who."""
_PATIENCE_SECONDS = 60.0


_CALLS = TypeAdapter(list[dict[str, JsonValue]])


class LocalModel:
    """A model in a process of our own. It answers while its `loading` is kept running."""

    def __init__(
        self,
        loading: Loading,
        *,
        model: str,
        about: str,
        context_tokens: int,
        max_output_tokens: int,
        timeout_seconds: float = 120.0,
        temperature: float | None = None,
    ) -> None:
        """`about`: how it says what it is and who made it; left alone, it names a wrong one."""
        self.loading = loading
        self._model = model
        self._about = about
        self._context_tokens = context_tokens
        self._max_output_tokens = max_output_tokens
        self._timeout_seconds = timeout_seconds
        self._temperature = _ANSWER_TEMPERATURE if temperature is None else temperature
        self._turn = anyio.Lock()

    @property
    def name(self) -> str:
        """`local/` and the weights' name."""
        return f"local/{self._model}"

    @property
    def context_tokens(self) -> int:
        """As configured, else what fits into a small machine."""
        return self._context_tokens

    @property
    def max_output_tokens(self) -> int:
        """As configured, else what is read without getting tired of it."""
        return self._max_output_tokens

    @asynccontextmanager
    async def stream(self, request: ModelRequest) -> AsyncGenerator[AsyncIterator[ModelEvent]]:
        """Answer, after those who asked before: the processor's cores answer one at a time.

        Raises:
            ModelError: On entering or while iterating.
        """
        engine = await self._wait()
        async with self._turn, aclosing(self._answer(engine, request)) as events:
            yield events

    async def _wait(self) -> Engine:
        with anyio.move_on_after(_PATIENCE_SECONDS):
            return await self.loading.wait()
        raise ModelUnavailableError(
            f"The model is not ready yet ({self.loading.state}). Try again in a while."
        )

    async def _answer(self, engine: Engine, request: ModelRequest) -> AsyncGenerator[ModelEvent]:
        pieces = await to_thread.run_sync(to_pieces, request.messages)
        usage = Usage()
        if request.tools and not isinstance(pieces[-1], ResultsPiece):
            choices = Choices.of(request.tools)
            chosen, usage = await self._decide(engine, request, ask_to_choose(choices, pieces))
            if (name := chosen.strip()) in choices.tools:
                step = ask_to_fill_in(choices, name, pieces)
                text, more = await self._decide(engine, request, step)
                calls = _to_calls(choices.tools[name].name, text)
                yield Completion("", calls, "tool_use", usage + more, model=self._model)
                return
        step = ask_to_answer(request, pieces, self._about, max_tokens=self._max_output_tokens)
        step = replace(step, temperature=self._temperature)
        async with self._ask(engine, request, step) as events:
            async for event in events:
                if isinstance(event, Completion):
                    event = replace(event, usage=usage + event.usage, model=self._model)
                yield event

    async def _decide(self, engine: Engine, request: ModelRequest, step: Step) -> tuple[str, Usage]:
        """The text of a step that nobody watches."""
        async with self._ask(engine, request, step) as events:
            async for event in events:
                if isinstance(event, Completion):
                    return event.text, event.usage
        raise AssertionError("an answer ends with a completion or an error")

    @asynccontextmanager
    async def _ask(
        self, engine: Engine, request: ModelRequest, step: Step
    ) -> AsyncGenerator[AsyncIterator[ModelEvent]]:
        prepare = partial(
            prepare_step,
            engine,
            step,
            request,
            model=self._model,
            timeout_seconds=self._timeout_seconds,
        )
        exchange = await to_thread.run_sync(prepare)
        try:
            async with stream_answer(exchange) as events:
                yield events
        except ModelUnavailableError as error:
            # Of an engine that has died, how it died says more than the line that it cut.
            ended = await self.loading.find_end(engine)
            raise ModelUnavailableError(ended) if ended else error from None


def _to_calls(tool: str, text: str) -> tuple[ToolCall, ...]:
    """The calls, or one without arguments if the model did not come to an end."""
    try:
        filled_in = _CALLS.validate_json(_without_fence(text))[:MAX_CALLS]
    except ValidationError:
        return (ToolCall(_create_id(), tool, None, text),)
    written = {json.dumps(arguments, sort_keys=True): arguments for arguments in filled_in}
    return tuple(
        ToolCall(_create_id(), tool, dict(arguments), raw) for raw, arguments in written.items()
    )


def _without_fence(text: str) -> str:
    """The engine lets a model put its JSON into a Markdown block."""
    return text.strip().removeprefix("```json").removesuffix("```")


def _create_id() -> str:
    return f"call_{secrets.token_hex(8)}"
