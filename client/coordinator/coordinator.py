"""The Coordinator: takes requests, runs one turn at a time per conversation, tells what happens."""

import logging
import secrets
import uuid
from collections import OrderedDict
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any
from weakref import WeakValueDictionary

import anyio
from anyio.streams.memory import MemoryObjectSendStream
from pydantic import ValidationError

from agentic.config.models import LimitsConfig, Price
from client.asking.questions import Asker
from client.conversation_manager import ConversationManager
from client.conversations import ConversationCallError, RemoteConversationStore
from client.coordinator.events import (
    FailureCode,
    TurnEvent,
    TurnFailed,
    TurnFinished,
    TurnStarted,
)
from client.coordinator.held_calls import QuestionCancelledError
from client.coordinator.history import open_turn
from client.coordinator.model_requests import create_requests
from client.coordinator.questioner import Questioner
from client.coordinator.record import TurnRecord, TurnTakenError
from client.coordinator.request import Accepted, TurnRequest
from client.coordinator.spending import LimitReachedError
from client.coordinator.turn import Emit, Turn
from client.hub.errors import HubError
from client.kept_results import ResultKeeper
from client.llm.protocol import ChosenModel, LanguageModel, ModelError, ModelRequest
from client.prompt_template import PromptTemplate
from client.spool.spool import Spool
from client.store_absence import STORE_SECONDS
from client.time_limit import TimeLimit
from client.tool_manager import ToolBox, ToolManager
from servers.conversations.contract import Message, check_conversation_id

_EVENTS_AHEAD = 64
_CLEANUP_SECONDS = 5.0
_CONVERSATIONS_KEPT = 32
_KEEPING_AT_ONCE = 2
"""So many turns hold the files of a result in memory at the same time."""

logger = logging.getLogger(__name__)


class Coordinator:
    """Answers messages with a model and tools; all it takes and gives is stored over MCP."""

    def __init__(
        self,
        hub: ToolBox,
        model: LanguageModel,
        limits: LimitsConfig | None = None,
        *,
        instructions: str | None = None,
        price: Price | None = None,
        spool: Spool | None = None,
        asker: Asker | None = None,
        now: Callable[[], datetime] = lambda: datetime.now().astimezone(),
    ) -> None:
        """`instructions` are put after our own; `now` gives an aware time.

        What a turn has produced when the store goes away waits in `spool`; without one such a turn
        fails. `asker` is asked before calls that need a yes, and what servers want to know
        during calls; without one, such calls are not made, and servers are told so.
        """
        self._hub = hub
        self._chosen = ChosenModel(model, price)
        self._limits = limits or LimitsConfig()
        self._template = PromptTemplate(instructions)
        self._spool = spool
        self._asker = asker
        self._now = now
        self._managers: OrderedDict[tuple[str | None, str], ConversationManager] = OrderedDict()
        """Of the conversations used last: read again only when somebody else wrote."""
        self._turns: WeakValueDictionary[tuple[str | None, str], anyio.Lock] = WeakValueDictionary()
        """Whose turn it is, by (owner, conversation_id); gone when nobody holds or waits for it."""
        self._keeping_at_once = anyio.Semaphore(_KEEPING_AT_ONCE)
        self._running: dict[tuple[str | None, str], TimeLimit] = {}
        """The turns that run, by (owner, conversation_id)."""

    @property
    def model_name(self) -> str:
        """The model that answers, by its provider and name."""
        return self._chosen.model.name

    async def accept(self, request: TurnRequest) -> Accepted:
        """Store the user message, after what waits in the spool; storing it again changes nothing.

        Raises:
            pydantic.ValidationError: It can't be a message (empty, too large).
            HubError, ConversationCallError: It was not stored, or nobody knows.
        """
        turn_id = request.message_id or uuid.uuid4().hex
        message = Message(
            message_id=turn_id,
            role="user",
            content=request.prompt,
            turn_id=turn_id,
            metadata=dict(request.metadata) or None,
            annotations=dict(request.user_annotations) or None,
        )
        await self._replay(request)
        appended = await self._open_conversation(request).append([message])
        return Accepted(turn_id, repeated=bool(appended.repeated))

    async def foresee(self, conversation_id: str | None = None) -> ModelRequest:
        """What a model will be asked next, but for the message: in this conversation or a new one.

        Raises:
            HubError, ConversationCallError: The conversation can't be read.
        """
        messages: Sequence[Message] = ()
        if conversation_id is not None:
            conversation = ConversationManager(conversation_id, RemoteConversationStore(self._hub))
            messages = await conversation.latest(self._limits.history_messages)
        requests = create_requests(
            ToolManager(self._hub),
            self._chosen.model,
            lambda has_tools: self._template.render(now=self._now(), has_tools=has_tools),
            messages,
            current_turn="",
        )
        return next(requests)

    async def find_open_question(
        self, conversation_id: str, owner: str | None = None
    ) -> str | None:
        """The turn, by its id, that stopped in front of a question nobody has answered.

        Raises:
            HubError, ConversationCallError: The conversation can't be read.
        """
        store = RemoteConversationStore(self._hub, owner)
        conversation = ConversationManager(conversation_id, store)
        return open_turn(await conversation.latest(self._limits.history_messages))

    @asynccontextmanager
    async def stream(self, request: TurnRequest) -> AsyncGenerator[AsyncIterator[TurnEvent]]:
        """Answer a message. Inside the context, iterate: events, the last a finish or a failure.

        Leaving early, or being cancelled, stops the turn: what was said and done by then is stored
        (within 5 s), and the history is whole. A second request for a conversation waits for the
        first.
        """
        send, receive = anyio.create_memory_object_stream[TurnEvent](_EVENTS_AHEAD)
        async with anyio.create_task_group() as group:
            group.start_soon(self._run, request, send)
            with receive:
                yield receive
            group.cancel_scope.cancel()

    def stop(self, conversation_id: str, owner: str | None = None) -> bool:
        """Stop the turn that runs in a conversation because its user wants it; False if none does.

        It ends with a failure of the code `cancelled`; what was said and done by then is stored.
        """
        limit = self._running.get((owner, conversation_id))
        if limit is None:
            return False
        limit.stop()
        return True

    async def process_request(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Answer `{"prompt", "conversation_id"?, "owner"?, "message_id"?, "metadata"?}` whole.

        Without a `conversation_id` it is `<platform>:<chat_id>` of the metadata, else `default`.
        Gives `{"content", "metadata"}`; a turn that failed has `metadata["error"]` and its sentence
        as content.
        """
        metadata: dict[str, Any] = dict(request.get("metadata") or {})
        last: TurnEvent | None = None
        async with self.stream(_to_turn_request(request, metadata)) as events:
            async for event in events:
                last = event
        match last:
            case TurnFinished():
                ids = {"conversation_id": last.conversation_id, "turn_id": last.turn_id}
                facts = {**ids, "is_stored": last.is_stored}
                return {"content": last.content, "metadata": {**last.metadata, **facts}}
            case TurnFailed():
                error = {"code": last.code, "message": last.message, "reference": last.reference}
                return {"content": last.message, "metadata": {"error": error}}
            case _:
                raise AssertionError("a turn ends with a finish or a failure")

    def _create_manager(self, owner: str | None, model: LanguageModel) -> ToolManager:
        """One result takes at most a quarter of the model's window."""
        room = model.context_tokens * 3 // 4
        return ToolManager(
            self._hub,
            owner,
            timeout_seconds=self._limits.tool_timeout_seconds,
            max_characters=min(self._limits.max_tool_result_characters, room),
        )

    def _open_conversation(self, request: TurnRequest) -> ConversationManager:
        key = (request.owner, request.conversation_id)
        if key not in self._managers:
            store = RemoteConversationStore(self._hub, request.owner, timeout_seconds=STORE_SECONDS)
            self._managers[key] = ConversationManager(request.conversation_id, store)
            if len(self._managers) > _CONVERSATIONS_KEPT:
                self._managers.popitem(last=False)
        self._managers.move_to_end(key)
        return self._managers[key]

    async def _replay(self, request: TurnRequest) -> None:
        """Nothing newer comes into a conversation before what waits for it."""
        if self._spool is not None:
            await self._spool.replay(request.owner, request.conversation_id)

    async def _run(self, request: TurnRequest, send: MemoryObjectSendStream[TurnEvent]) -> None:
        async def emit(event: TurnEvent) -> None:
            await send.send(event)

        with send:
            key = (request.owner, request.conversation_id)
            lock = self._turns.setdefault(key, anyio.Lock())
            async with lock:
                try:
                    last = await self._answer(request, emit)
                except Exception as error:  # noqa: BLE001
                    # boundary: whatever a turn runs into becomes one sentence and one log record
                    last = _to_failure(error, request)
                await emit(last)

    async def _answer(self, request: TurnRequest, emit: Emit) -> TurnFinished | TurnFailed:
        if request.stored and request.message_id is not None:
            turn_id = request.message_id
        else:
            turn_id = (await self.accept(request)).turn_id
        await emit(TurnStarted(request.conversation_id, turn_id))
        conversation = self._open_conversation(request)
        if request.stored:
            await self._replay(request)
            conversation.forget()  # it may have been stored long ago
        record = TurnRecord(
            conversation,
            turn_id,
            owner=request.owner,
            spool=self._spool,
            joined=request.joined,
        )
        began = self._now()
        limit = TimeLimit(self._limits.turn_timeout_seconds)
        chosen = request.model or self._chosen
        turn = Turn(
            request,
            record,
            tools=self._create_manager(request.owner, chosen.model),
            model=chosen.model,
            limits=self._limits,
            price=chosen.price,
            instructions=lambda has_tools: self._template.render(
                now=began, person=request.person, has_tools=has_tools
            ),
            emit=emit,
            questioner=Questioner(
                request.asker or self._asker,
                whose=(request.owner, request.conversation_id),
                timeout_seconds=self._limits.question_timeout_seconds,
                pause=limit.paused,
                emit=emit,
            ),
            keeper=ResultKeeper(
                self._hub, request.conversation_id, request.owner, self._keeping_at_once
            ),
        )
        try:
            return await self._within_limits(turn, request, turn_id, limit)
        except TurnTakenError:
            conversation.forget()
            reply = await record.load(self._limits.history_messages)
            if reply is None:
                raise
            return turn.finished(reply, repeated=True)
        except anyio.get_cancelled_exc_class():
            with anyio.move_on_after(_CLEANUP_SECONDS, shield=True):
                await _leave_whole(turn.interrupt("stopped"), request)
            raise
        except ModelError:
            await _leave_whole(turn.keep(), request)
            raise

    async def _within_limits(
        self, turn: Turn, request: TurnRequest, turn_id: str, limit: TimeLimit
    ) -> TurnFinished | TurnFailed:
        seconds = self._limits.turn_timeout_seconds
        code: FailureCode = "limit"
        reason = f"it took {seconds:g} seconds (limits.turn_timeout_seconds)"
        key = (request.owner, request.conversation_id)
        self._running[key] = limit
        try:
            with limit.running():
                return await turn.run()
            if limit.is_stopped:
                reason, code = "you asked me to", "cancelled"
        except LimitReachedError as error:
            reason = str(error)
        except QuestionCancelledError as error:
            reason, code = str(error), "cancelled"
        finally:
            del self._running[key]
        sentence = f"I stopped before this was done: {reason}."
        await turn.interrupt(code, sentence=sentence)
        return _failed(request, turn_id, code, sentence)


def _to_turn_request(request: Mapping[str, Any], metadata: Mapping[str, Any]) -> TurnRequest:
    conversation_id = request.get("conversation_id")
    if conversation_id is None and "chat_id" in metadata:
        conversation_id = f"{metadata.get('platform', 'chat')}:{metadata['chat_id']}"
    return TurnRequest(
        conversation_id=check_conversation_id(conversation_id or "default"),
        prompt=request.get("prompt") or "",
        owner=request.get("owner"),
        message_id=request.get("message_id"),
        person=metadata.get("user_name"),
        metadata=metadata,
    )


async def _leave_whole(storing: Any, request: TurnRequest) -> None:  # noqa: ANN401
    """Store what a turn leaves behind; that this fails must not hide why the turn ended."""
    try:
        await storing
    except (HubError, ConversationCallError, TurnTakenError) as error:
        logger.warning(
            "What the turn in %r had produced was not stored: %s", request.conversation_id, error
        )


def _to_failure(error: Exception, request: TurnRequest) -> TurnFailed:
    turn_id = request.message_id or ""
    match error:
        case ModelError():
            return _failed(request, turn_id, "model", str(error))
        case TurnTakenError():
            return _failed(
                request, turn_id, "store", "Another program is answering this message already."
            )
        case ConversationCallError() | HubError():
            message = f"The conversation could not be read or stored: {error}"
            return _failed(request, turn_id, "store", message)
        case ValidationError():
            reasons = [e["msg"].removeprefix("Value error, ") for e in error.errors()]
            return _failed(request, turn_id, "invalid", f"Not sent: {'; '.join(reasons)}.")
        case _:
            failed = _failed(
                request, turn_id, "internal", "Something went wrong here, and it was recorded."
            )
            logger.error("Turn %s failed unexpectedly", failed.reference, exc_info=error)
            return failed


def _failed(request: TurnRequest, turn_id: str, code: FailureCode, message: str) -> TurnFailed:
    reference = secrets.token_hex(4)
    logger.warning(
        "Turn in %r ended without a reply (%s, reference %s): %s",
        request.conversation_id,
        code,
        reference,
        message,
    )
    return TurnFailed(request.conversation_id, turn_id, code, message, reference)
