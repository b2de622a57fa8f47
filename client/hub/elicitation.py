"""What servers want to know from a person during a call, and who puts it to one.

In the older era a server asks while the call waits. Such a question says nothing of the call that
it belongs to: over HTTP it comes on that call's own stream, and elsewhere only the calls under way
can tell.
"""

import logging
from collections.abc import Awaitable, Callable, Generator, Mapping
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Protocol, TypeVar, cast

import anyio
from mcp.client import ClientRequestContext
from mcp_types import (
    INVALID_PARAMS,
    INVALID_REQUEST,
    ElicitRequestParams,
    ElicitRequestURLParams,
    ElicitResult,
    ErrorData,
    InputResponses,
)

logger = logging.getLogger(__name__)

_T = TypeVar("_T")

MAX_QUESTIONS = 10
"""Of one call."""


class UnanswerableError(Exception):
    """What a server asks can't be put to anybody; the text says why, for the server too."""


@dataclass(frozen=True, slots=True)
class Elicitation:
    """What a server wants to know before a call goes on: by its own keys.

    With `state` the call can be gone on with by any program that has it, else only while it waits.
    `done` holds an event for each page of which the server tells when it was gone through.
    """

    requests: Mapping[str, ElicitRequestParams]
    state: str | None = None
    is_resumable: bool = False
    done: Mapping[str, anyio.Event] = field(default_factory=dict[str, anyio.Event])


class Answerer(Protocol):
    """Puts what servers ask during one call to a person."""

    @property
    def whose(self) -> object:
        """Equal for those behind whom the same person is meant, in the same conversation."""
        ...

    async def answer(self, elicitation: Elicitation) -> dict[str, ElicitResult]:
        """What came of each request.

        Raises:
            UnanswerableError: One is none that could be put to anybody.
        """
        ...


@dataclass(frozen=True, slots=True)
class Resumption:
    """What to go on with in a call that asked back: as `CallToolRequestParams` has them."""

    responses: InputResponses
    state: str | None


@dataclass(slots=True, eq=False)
class Dialogue:
    """The questions of one call."""

    answerer: Answerer
    _asked: int = 0

    async def answer(self, elicitation: Elicitation) -> dict[str, ElicitResult]:
        """As `Answerer.answer`, as long as there are not too many."""
        self._asked += len(elicitation.requests)
        if self._asked > MAX_QUESTIONS:
            raise UnanswerableError(f"it asks more than {MAX_QUESTIONS} questions in one call")
        try:
            return await self.answerer.answer(elicitation)
        except UnanswerableError:
            raise
        except Exception as error:
            # boundary: how people are asked is not the hub's, and must not pass for the server's
            logger.exception("What a server asks could not be put to anybody")
            raise UnanswerableError(
                "putting it to the user failed on this side, and the log says why"
            ) from error


@dataclass(slots=True, eq=False)
class _Flight:
    """A request under way, with its questions of the older era, which its own task answers."""

    dialogue: Dialogue | None
    is_over: bool = False
    waiting: anyio.Event = field(default_factory=anyio.Event)
    questions: list["_Pending"] = field(default_factory=list["_Pending"])

    @property
    def whose(self) -> object:
        """Behind whom a person is meant, if anybody."""
        return self.dialogue and self.dialogue.answerer.whose

    def end(self) -> None:
        """What is not answered by now is answered by that."""
        self.is_over = True
        for question in self.questions:
            question.answered.set()

    async def answer_all(self, pause: Callable[[], AbstractContextManager[None]]) -> None:
        """Answer one after the other, for as long as this is not cancelled."""
        assert self.dialogue is not None
        while True:
            await self.waiting.wait()
            self.waiting = anyio.Event()
            while self.questions:
                question = self.questions.pop(0)
                try:
                    with pause(), question.asking:
                        question.result = await _answer(self.dialogue, question)
                finally:
                    question.answered.set()


@dataclass(slots=True, eq=False)
class _Pending:
    params: ElicitRequestParams
    done: Mapping[str, anyio.Event]
    result: ElicitResult | ErrorData = field(
        default_factory=lambda: ErrorData(code=INVALID_REQUEST, message="The call is over.")
    )
    answered: anyio.Event = field(default_factory=anyio.Event)
    asking: anyio.CancelScope = field(default_factory=anyio.CancelScope)


_FLIGHT: ContextVar[_Flight | None] = ContextVar("flight", default=None)
"""The request whose task this is, or on whose stream what is handled here came."""


class Flights:
    """The requests under way on one connection, and for which of them a server's question is."""

    def __init__(self) -> None:
        self._flights: list[_Flight] = []
        self._abandoned: set[object] = set()
        """Whose requests were given up; what is asked later may be about those."""
        self._pages: list[tuple[Mapping[str, str], Mapping[str, anyio.Event]]] = []

    async def fly(
        self,
        send: Callable[[], Awaitable[_T]],
        dialogue: Dialogue | None,
        pause: Callable[[], AbstractContextManager[None]],
    ) -> _T:
        """Send a request, and answer what its server asks meanwhile, in this task's name.

        `pause`: the request's time does not count while a person thinks.
        """
        flight = _Flight(dialogue)
        with self._under_way(flight):
            if dialogue is None:
                return await send()
            failure: Exception | None = None
            result: _T | None = None
            async with anyio.create_task_group() as group:
                group.start_soon(flight.answer_all, pause)
                try:
                    result = await send()
                except Exception as error:  # noqa: BLE001 - raised below, not wrapped in a group
                    failure = error
                group.cancel_scope.cancel()
            if failure is not None:
                raise failure
            return cast("_T", result)

    @contextmanager
    def _under_way(self, flight: _Flight) -> Generator[None]:
        self._flights.append(flight)
        token = _FLIGHT.set(flight)
        try:
            yield
        except anyio.get_cancelled_exc_class():
            self._abandoned.add(flight.whose)
            raise
        finally:
            _FLIGHT.reset(token)
            self._flights.remove(flight)
            flight.end()

    @contextmanager
    def awaiting(self, pages: Mapping[str, str]) -> Generator[dict[str, anyio.Event]]:
        """Events for pages of which the server may tell that they were gone through.

        `pages`: by key, what the server calls them.
        """
        events = {key: anyio.Event() for key in pages}
        self._pages.append((pages, events))
        try:
            yield events
        finally:
            self._pages.remove((pages, events))

    async def elicit(
        self,
        context: ClientRequestContext,  # noqa: ARG002 - the SDK's signature
        params: ElicitRequestParams,
    ) -> ElicitResult | ErrorData:
        """Answer a server of the older era."""
        flight = self._find()
        if isinstance(flight, str):
            return ErrorData(code=INVALID_REQUEST, message=flight)
        page = params.elicitation_id if isinstance(params, ElicitRequestURLParams) else None
        with self.awaiting({} if page is None else {"": page}) as done:
            question = _Pending(params, done)
            flight.questions.append(question)
            flight.waiting.set()
            try:
                await question.answered.wait()
            finally:
                question.asking.cancel()  # the server may have taken it back
        return question.result

    def complete(self, elicitation_id: str) -> None:
        """A server says that a page was gone through."""
        for pages, events in self._pages:
            for key, page in pages.items():
                if page == elicitation_id:
                    events[key].set()

    def _find(self) -> _Flight | str:
        """The request that a question belongs to, or why nobody can be asked."""
        flight = _FLIGHT.get()
        if flight is None:
            whose = {flight.whose for flight in self._flights}
            if not whose:
                return "No call is under way, so there is nobody to ask."
            if len(whose | self._abandoned) > 1:
                return "Calls for several people are under way; it can't be told whom to ask."
            flight = self._flights[-1]
        if flight.is_over or flight.dialogue is None:
            return "There is nobody who could be asked for this call."
        return flight


async def _answer(dialogue: Dialogue, question: _Pending) -> ElicitResult | ErrorData:
    try:
        answers = await dialogue.answer(Elicitation({"": question.params}, done=question.done))
    except UnanswerableError as error:
        return ErrorData(code=INVALID_PARAMS, message=f"Nobody was asked: {error}.")
    return answers[""]
