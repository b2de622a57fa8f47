"""The embedded model: chooses what is needed and answers, each a small step of its own."""

from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Awaitable,
    Callable,
    Generator,
    Sequence,
)
from contextlib import aclosing, asynccontextmanager, contextmanager
from dataclasses import replace
from functools import partial

import anyio
from anyio import to_thread

from client.llm.exchange import stream_answer
from client.llm.history import Piece, ResultsPiece, to_pieces
from client.llm.local.answering import ask_to_answer
from client.llm.local.choosing import (
    ABOUT_USER,
    NO_TOOL,
    REPLY,
    Choices,
    ask_to_choose,
    find_question,
)
from client.llm.local.completions import Slot, Step, prepare_step
from client.llm.local.engine import Engine
from client.llm.local.kept_reading import bring_back, keep
from client.llm.local.last_read import LastRead
from client.llm.local.loading import Loading
from client.llm.local.message_length import check_length
from client.llm.local.person import (
    Person,
    ask_about_person,
    introduces_user,
    parse_person,
    select_said,
)
from client.llm.local.recent import Recent
from client.llm.local.tool_calls import to_calls
from client.llm.local.unsaid import find_unsaid
from client.llm.protocol import (
    BadRequestError,
    Completion,
    ContextTooLongError,
    ModelEvent,
    ModelRequest,
    ModelUnavailableError,
    TextDelta,
    Usage,
)
from servers.conversations.contract import Message

_ANSWER_TEMPERATURE = 0.0
"""A small model that is left a choice of words mixes up who is who."""
_PATIENCE_SECONDS = 60.0
_PAUSE_SECONDS = 1.0


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
        pause_seconds: float = _PAUSE_SECONDS,
    ) -> None:
        """`about`: how it says what it is and who made it; left alone, it names a wrong one.

        `pause_seconds`: so long after an answer nothing is read for the next one.
        """
        self.loading = loading
        self._model = model
        self._about = about
        self._context_tokens = context_tokens
        self._max_output_tokens = max_output_tokens
        self._timeout_seconds = timeout_seconds
        self._temperature = _ANSWER_TEMPERATURE if temperature is None else temperature
        self._pause_seconds = pause_seconds
        self._turn = anyio.Lock()
        self._last_read = LastRead()
        self._answered: ModelRequest | None = None
        self._askers = 0
        self._unasked = anyio.Event()
        self._reading_ahead: anyio.CancelScope | None = None
        self._chosen: Recent[str, str] = Recent()
        """For messages that needed no tool; histories don't tell."""
        self._people: Recent[tuple[str, ...], Person] = Recent()
        """By what they said."""

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
        with self._asking():
            async with self._turn, aclosing(self._answer(engine, request)) as events:
                yield events
            self._answered = request

    @contextmanager
    def _asking(self) -> Generator[None]:
        if self._reading_ahead is not None:
            self._reading_ahead.cancel()
        self._askers += 1
        try:
            yield
        finally:
            self._askers -= 1
            if not self._askers:
                self._unasked.set()
                self._unasked = anyio.Event()

    async def _wait(self) -> Engine:
        with anyio.move_on_after(_PATIENCE_SECONDS):
            return await self.loading.wait()
        raise ModelUnavailableError(
            f"The model is not ready yet ({self.loading.state}). Try again in a while."
        )

    async def read_ahead(self, request: ModelRequest) -> None:
        """Let the engine read what requests like this begin with, whenever nobody asks.

        Raises:
            ModelError: It could not.
        """
        engine = await self._wait()
        anybodys = replace(request, messages=())
        steps = await to_thread.run_sync(_to_beginnings, anybodys, self._about)
        kept = [await self._bring_back(engine, step) for step in steps]
        for step, is_kept in zip(steps, kept, strict=True):
            while not is_kept:
                await self._wait_unasked()
                is_kept = await self._unless_asked(partial(self._keep, engine, anybodys, step))
        for step in steps:
            while not self._last_read.has(step.slot):
                await self._wait_unasked()
                if not self._last_read.has(step.slot):
                    read = partial(self._read, engine, self._answered or request, step.slot)
                    await self._unless_asked(read)

    async def _bring_back(self, engine: Engine, step: Step) -> bool:
        """Whether what all prompts of a kind begin with need not be read to be kept."""
        async with self._turn:
            if not self._last_read.has(step.slot) and await bring_back(engine, step):
                return True
            return engine.settings.readings is None

    async def _keep(self, engine: Engine, request: ModelRequest, step: Step) -> None:
        await self._decide(engine, request, step)
        await keep(engine, step)
        self._last_read.forget(step.slot)

    async def _read(self, engine: Engine, request: ModelRequest, slot: Slot) -> None:
        steps = await to_thread.run_sync(_to_beginnings, request, self._about)
        await self._decide(engine, request, next(step for step in steps if step.slot == slot))

    async def _wait_unasked(self) -> None:
        while self._askers:
            await self._unasked.wait()
            # Who asks again at once should not find us reading.
            await anyio.sleep(self._pause_seconds)

    async def _unless_asked(self, read: Callable[[], Awaitable[object]]) -> bool:
        """Read until somebody asks: what was read stays. Whether it came to its end."""
        with anyio.CancelScope() as self._reading_ahead:
            async with self._turn:
                await read()
        self._reading_ahead, scope = None, self._reading_ahead
        return not scope.cancelled_caught

    async def read_on(self) -> None:
        """After each answer collect what is new of the user; it goes on until it is cancelled.

        Raises:
            ModelError: It could not.
        """
        while True:
            await self._unasked.wait()
            await anyio.sleep(self._pause_seconds)
            if self._askers or self._answered is None:
                continue
            request = self._answered
            said = await to_thread.run_sync(_to_said, request)
            if self._people.get(said) is None:
                engine = await self._wait()
                await self._unless_asked(partial(self._collect, engine, request, said))

    async def _answer(self, engine: Engine, request: ModelRequest) -> AsyncGenerator[ModelEvent]:
        pieces = await to_thread.run_sync(to_pieces, request.messages)
        await check_length(engine, request, self._about, self.name)
        usage = Usage()
        note: str | None = None
        if request.tools and not isinstance(pieces[-1], ResultsPiece):
            choices = Choices.of(request.tools)
            step = ask_to_choose(choices, pieces, self._chosen_before)
            try:
                decided = await self._decide(engine, request, step)
            except ContextTooLongError:
                # Of the talk only a little is read here: to cut that would not help.
                raise BadRequestError(
                    f"{len(request.tools)} tools are more than {self.name} can read at once. "
                    "Offer it fewer (`offer_to_model` of a server in mcp.yml), or give it a larger "
                    "window (`context_tokens` of the model)."
                ) from None
            usage = decided.usage
            chosen, bracket, written = decided.text.strip().partition("[")
            if chosen in choices.tools:
                tool, shape = choices.tools[chosen], choices.shapes[chosen]
                is_whole = decided.stop_reason != "max_tokens"
                read = partial(to_calls, tool, shape, bracket + written, is_whole=is_whole)
                calls = await to_thread.run_sync(read)
                yield Completion("", calls, "tool_use", usage, model=self._model)
                return
            self._chosen.put(find_question(pieces), chosen if chosen in NO_TOOL else REPLY)
            note, more = await self._find_note(engine, request, pieces, chosen)
            usage += more
        prepare = partial(ask_to_answer, max_tokens=self._max_output_tokens, note=note)
        step = await to_thread.run_sync(prepare, request, pieces, self._about)
        step = replace(step, temperature=self._temperature)
        async with self._ask(engine, request, step) as events:
            async for event in events:
                if isinstance(event, Completion):
                    if unsaid := find_unsaid(request, pieces, event.text):
                        yield TextDelta(f"\n\n{unsaid}")
                        event = replace(event, text=f"{event.text}\n\n{unsaid}")
                    event = replace(event, usage=usage + event.usage, model=self._model)
                yield event

    def _chosen_before(self, question: str) -> str:
        return self._chosen.get(question) or REPLY

    async def _find_note(
        self, engine: Engine, request: ModelRequest, pieces: Sequence[Piece], chosen: str
    ) -> tuple[str | None, Usage]:
        """What to keep in mind of the user for this answer, and what it took to find that out."""
        question = find_question(pieces)
        if chosen != ABOUT_USER and not introduces_user(question):
            return None, Usage()
        said = tuple(await to_thread.run_sync(select_said, pieces))
        before = self._people.get(said[:-1])
        if chosen != ABOUT_USER and before is not None and before.name is not None:
            return None, Usage()
        person, usage = await self._collect(engine, request, said)
        if chosen == ABOUT_USER:
            return person.to_note(), usage
        return person.to_greeting_note(question), usage

    async def _collect(
        self, engine: Engine, request: ModelRequest, said: tuple[str, ...]
    ) -> tuple[Person, Usage]:
        """Who wrote this, and what it took to find that out now."""
        person = self._people.get(said) if said else Person()
        if person is not None:
            return person, Usage()
        collected = await self._decide(engine, request, ask_about_person(said))
        person = parse_person(collected.text, said)
        self._people.put(said, person)
        return person, collected.usage

    async def _decide(self, engine: Engine, request: ModelRequest, step: Step) -> Completion:
        """A step that nobody watches."""
        async with self._ask(engine, request, step) as events:
            async for event in events:
                if isinstance(event, Completion):
                    return event
        raise AssertionError("an answer ends with a completion or an error")

    @asynccontextmanager
    async def _ask(
        self, engine: Engine, request: ModelRequest, step: Step
    ) -> AsyncGenerator[AsyncIterator[ModelEvent]]:
        with self._last_read.reading(step.slot, request.messages) as goes_on:
            prepare = partial(
                prepare_step,
                engine,
                step,
                request,
                model=self._model,
                timeout_seconds=self._timeout_seconds,
                goes_on=goes_on,
            )
            exchange = await to_thread.run_sync(prepare)
            try:
                async with stream_answer(exchange) as events:
                    yield events
            except ModelUnavailableError as error:
                # Of an engine that has died, how it died says more than the line that it cut.
                ended = await self.loading.find_end(engine)
                raise ModelUnavailableError(ended) if ended else error from None


def _to_beginnings(request: ModelRequest, about_model: str) -> list[Step]:
    """Prompts that begin as those do that will be asked, the most wanted first."""
    pieces = to_pieces([*request.messages, Message(role="user", content="Hi")])
    steps = [
        ask_to_choose(Choices.of(request.tools), pieces),
        ask_to_answer(request, pieces, about_model, max_tokens=1),
        ask_about_person(select_said(pieces)),
    ]
    return [replace(step, max_tokens=1, schema=None, grammar=None) for step in steps]


def _to_said(request: ModelRequest) -> tuple[str, ...]:
    return tuple(select_said(to_pieces(request.messages)))
