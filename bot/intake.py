"""Takes updates in: what `put` has returned from is stored, and only then may Telegram forget it.

PTB's updater puts the updates of a poll here one after the other, and confirms them with the offset
of its next poll. So a `put` that waits for the store keeps Telegram from forgetting; one that is
cancelled, or a process that is killed, leaves the whole poll to be fetched again.

A command's answer is not stored: after a crash it may be missing, or come twice. Its effect is.
"""

import logging
import secrets
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import assert_never

import anyio
from anyio.abc import TaskGroup

from bot import wording
from bot.absence import AbsenceNotices
from bot.answering import STOP_DATA, Answerer, Question
from bot.arrivals import (
    AttachmentArrived,
    ButtonPressed,
    CommandArrived,
    NothingForUs,
    Origin,
    TextArrived,
    parse_update,
)
from bot.chat_conversations import ChatConversations
from bot.commands import Commands
from bot.conversation_lists import ConversationLists
from bot.deliveries import DeliveryFacts, StoredMessage
from bot.lanes import Lanes
from bot.post import Post
from bot.store_patience import keep_trying
from bot.strangers import Strangers
from client.conversations import ConversationCallError, RemoteConversationStore, ToolCaller
from client.coordinator.coordinator import Coordinator
from client.coordinator.request import TurnRequest
from client.hub.errors import HubError
from client.spool.spool import Spool
from client.store_absence import STORE_SECONDS
from servers.conversations.contract import Message

_REMEMBERED = 4_096
"""Messages that were taken in; a command that comes again has no second answer."""

Store = Callable[[str], Awaitable[bool]]
"""Stores a message under the id given, and says if it is new."""

logger = logging.getLogger(__name__)


class Intake:
    """The queue that PTB's updater fills: what comes in is stored and waits in its chat's lane."""

    def __init__(
        self,
        people: Mapping[str, str],
        hub: ToolCaller,
        coordinator: Coordinator,
        *,
        answerer: Answerer,
        lanes: Lanes,
        post: Post,
        strangers: Strangers,
        notices: AbsenceNotices,
        spool: Spool,
        commands: Commands,
        lists: ConversationLists,
        conversations: ChatConversations,
        tasks: TaskGroup,
    ) -> None:
        """`people`: Telegram user ids, as text, to owners."""
        self._people = people
        self._hub = hub
        self._coordinator = coordinator
        self._answerer = answerer
        self._lanes = lanes
        self._post = post
        self._strangers = strangers
        self._notices = notices
        self._spool = spool
        self._commands = commands
        self._lists = lists
        self._tasks = tasks
        self._opened = anyio.Event()
        self._conversations = conversations
        self._taken: OrderedDict[Origin, None] = OrderedDict()
        self._logged_reasons: set[str] = set()

    def open(self) -> None:
        """What an earlier start left is in the lanes: what is new may come after it."""
        self._opened.set()

    async def put(self, update: object) -> None:
        """Take one update in. Returns when it is stored, or is none of ours."""
        origin: Origin | None = None
        try:
            arrival = parse_update(update)
            if isinstance(arrival, NothingForUs):
                self._log_once(arrival.reason)
                return
            if isinstance(arrival, ButtonPressed):
                await self._take_press(arrival)
                return
            origin = arrival.origin
            await self._take_from(origin, arrival)
        except Exception:  # boundary: an exception would end PTB's polling without a word
            reference = secrets.token_hex(4)
            chat = origin and origin.chat_id
            logger.exception("A message in chat %s was not taken in, reference %s", chat, reference)
            if origin is not None:
                self._say(origin, wording.render_failure(wording.NOT_TAKEN, reference))

    async def _take_press(self, press: ButtonPressed) -> None:
        """Do what a button says, past what waits in the chat, if it belongs to who pressed it."""
        owner = self._people.get(str(press.user_id))
        if owner is None or press.chat_id != press.user_id:
            return
        if not press.data.startswith(STOP_DATA):
            self._tasks.start_soon(self._press, owner, press)
            return
        message = press.data.removeprefix(STOP_DATA)
        is_one = message.isascii() and message.isdecimal()
        is_done = is_one and self._answerer.stop(press.chat_id, int(message))
        text = wording.STOPPING if is_done else wording.BUTTON_IS_OLD
        self._tasks.start_soon(self._post.acknowledge, press.press_id, text)

    async def _press(self, owner: str, press: ButtonPressed) -> None:
        try:
            await self._lists.press(owner, press)
        except (HubError, ConversationCallError) as error:
            logger.warning("A button did nothing: %s", error)
            await self._post.acknowledge(press.press_id, wording.COMMAND_NOT_DONE)
        except Exception:  # boundary: what one button runs into must not stop the bot
            logger.exception("A button did nothing")

    async def _take_from(
        self, origin: Origin, arrival: TextArrived | CommandArrived | AttachmentArrived
    ) -> None:
        owner = self._people.get(str(origin.user_id))
        if owner is None:
            self._strangers.meet(origin)
        elif origin not in self._taken:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(
                    self._notices.tell_later, origin.chat_id, wording.WAITS_AT_TELEGRAM
                )
                await self._opened.wait()
                await self._take(owner, arrival)
                tasks.cancel_scope.cancel()
            self._notices.is_back(origin.chat_id)
            self._taken[origin] = None
            if len(self._taken) > _REMEMBERED:
                self._taken.popitem(last=False)

    async def _take(
        self, owner: str, arrival: TextArrived | CommandArrived | AttachmentArrived
    ) -> None:
        match arrival:
            case TextArrived():
                await self._take_text(owner, arrival)
            case AttachmentArrived():
                await self._take_attachment(owner, arrival)
            case CommandArrived():
                await self._take_command(owner, arrival)
            case _:
                assert_never(arrival)

    async def _take_text(self, owner: str, arrival: TextArrived) -> None:
        origin = arrival.origin
        facts = DeliveryFacts(
            state="unanswered",
            channel="telegram",
            chat_id=origin.chat_id,
            reply_to=origin.message_id,
            person=origin.person,
        )
        request = TurnRequest(
            conversation_id=await self._find_conversation(owner, origin),
            prompt=arrival.text,
            owner=owner,
            metadata=_metadata(origin) | ({"forwarded": True} if arrival.is_forwarded else {}),
            user_annotations=facts.to_annotations(),
        )

        async def store(message_id: str) -> bool:
            accepted = await self._coordinator.accept(replace(request, message_id=message_id))
            return not accepted.repeated

        message_id, is_new = await _store_once(origin, store)
        if is_new:
            where = StoredMessage(owner, request.conversation_id, message_id)
            question = Question(where, facts, quote=self._lanes.is_busy(origin.chat_id))
            self._lanes.push(origin.chat_id, partial(self._answerer.answer, question))

    async def _take_attachment(self, owner: str, arrival: AttachmentArrived) -> None:
        """Keep that something came which can't be understood, and what is said to it, as a turn."""
        origin = arrival.origin
        conversation_id = await self._find_conversation(owner, origin)
        facts = DeliveryFacts(state="pending", channel="telegram", chat_id=origin.chat_id)

        async def store(message_id: str) -> bool:
            note = Message(
                message_id=message_id,
                role="user",
                content=wording.render_attachment_note(arrival.kind, arrival.caption),
                turn_id=message_id,
                metadata=_metadata(origin),
            )
            reply = Message(
                message_id=f"{message_id}/1",
                role="assistant",
                content=wording.render_attachment(arrival.kind, arrival.caption),
                turn_id=message_id,
                metadata={"final": True},
                annotations=facts.to_annotations(),
            )
            await self._spool.replay(owner, conversation_id)
            conversations = RemoteConversationStore(self._hub, owner, timeout_seconds=STORE_SECONDS)
            result = await conversations.append_messages(conversation_id, [note, reply])
            return result.appended > 0

        message_id, is_new = await _store_once(origin, store)
        if is_new:
            where = StoredMessage(owner, conversation_id, f"{message_id}/1")
            self._lanes.push(origin.chat_id, partial(self._answerer.deliver_stored, where))

    async def _take_command(self, owner: str, arrival: CommandArrived) -> None:
        if arrival.name != "stop":
            await self._commands.take(owner, arrival)
        # Past what waits in the chat; that it worked, the answer's end says.
        elif not self._answerer.stop(arrival.origin.chat_id):
            self._say(arrival.origin, wording.NOTHING_RUNS)

    async def _find_conversation(self, owner: str, origin: Origin) -> str:
        return await keep_trying(
            lambda: self._conversations.find(owner, origin), "find the conversation of a chat"
        )

    def _say(self, origin: Origin, text: str) -> None:
        self._lanes.push(origin.chat_id, partial(self._post.say, origin.chat_id, text))

    def _log_once(self, reason: str) -> None:
        if reason not in self._logged_reasons and len(self._logged_reasons) < _REMEMBERED:
            self._logged_reasons.add(reason)
            logger.info("Updates are ignored: %s", reason)


async def _store_once(origin: Origin, store: Store) -> tuple[str, bool]:
    """Store a message, however long that takes; its id, and whether it may have to be handled.

    Another message may have this one's id (a different bot's, or this one before it was edited):
    then it gets a second one.
    """
    message_id = f"telegram:{origin.chat_id}:{origin.message_id}"
    try:
        return message_id, await _store_in_time(message_id, store)
    except ConversationCallError as error:
        if error.code != "conflict":
            raise
    second_id = f"{message_id}:{origin.sent_at}"
    return second_id, await _store_in_time(second_id, store)


async def _store_in_time(message_id: str, store: Store) -> bool:
    tries = 0

    async def attempt() -> bool:
        nonlocal tries
        tries += 1
        return await store(message_id)

    is_new = await keep_trying(attempt, "store a message")
    # A try that seemed to fail may have stored it: then that it is there already tells nothing.
    return is_new or tries > 1


def _metadata(origin: Origin) -> dict[str, object]:
    """When it was sent, so that messages of two bots with the same id are not taken for one."""
    return {"telegram": {"sent_at": origin.sent_at}}
