"""Takes updates in: what `put` has returned from is stored, and only then may Telegram forget it.

PTB's updater puts the updates of a poll here one after the other, and confirms them with the offset
of its next poll. So a `put` that waits for the store keeps Telegram from forgetting; one that is
cancelled, or a process that is killed, leaves the whole poll to be fetched again.

A command's answer is not stored: after a crash it may be missing, or come twice. Its effect is.
"""

import logging
import secrets
from collections import OrderedDict
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from functools import partial
from typing import assert_never

import anyio
from anyio.abc import TaskGroup
from telegram import Update

from bot import wording
from bot.absence import AbsenceNotices
from bot.ahead import Ahead
from bot.answering import STOP_DATA, Answerer
from bot.arrivals import (
    Arrival,
    AttachmentArrived,
    ButtonPressed,
    CommandArrived,
    NothingForUs,
    Origin,
    ReactionChanged,
    TextArrived,
    TextEdited,
    Written,
    parse_update,
)
from bot.chat_conversations import ChatConversations
from bot.commands import Commands, tell_not_done
from bot.conversation_lists import ConversationLists
from bot.figures import Figures
from bot.lanes import Lanes
from bot.model_menu import MODEL_DATA, ModelMenu
from bot.open_questions import ASK_DATA, OpenQuestions
from bot.people import People
from bot.post import Post
from bot.prompts import Prompts
from bot.rates import Rates
from bot.rendering import Part
from bot.runs import Runs
from bot.second_thoughts import SecondThoughts
from bot.store_patience import keep_trying
from bot.strangers import Strangers

_REMEMBERED = 4_096
"""Messages that were taken in; a command that comes again has no second answer."""

_KINDS: Mapping[type[Arrival], str] = {
    TextArrived: "text",
    TextEdited: "edit",
    CommandArrived: "command",
    AttachmentArrived: "attachment",
    ButtonPressed: "button",
    ReactionChanged: "reaction",
    NothingForUs: "ignored",
}

logger = logging.getLogger(__name__)


class Intake:
    """The queue that PTB's updater fills: what comes in is stored and waits in its chat's lane."""

    def __init__(
        self,
        people: People,
        *,
        answerer: Answerer,
        lanes: Lanes,
        post: Post,
        strangers: Strangers,
        notices: AbsenceNotices,
        prompts: Prompts,
        runs: Runs,
        ahead: Ahead,
        second_thoughts: SecondThoughts,
        commands: Commands,
        lists: ConversationLists,
        model_menu: ModelMenu,
        conversations: ChatConversations,
        figures: Figures,
        questions: OpenQuestions,
        tasks: TaskGroup,
        rates: Rates | None,
    ) -> None:
        """`rates`: how much of each person is taken in; None: all."""
        self._people = people
        self._answerer = answerer
        self._lanes = lanes
        self._post = post
        self._strangers = strangers
        self._notices = notices
        self._prompts = prompts
        self._runs = runs
        self._ahead = ahead
        self._second_thoughts = second_thoughts
        self._commands = commands
        self._lists = lists
        self._model_menu = model_menu
        self._figures = figures
        self._questions = questions
        self._tasks = tasks
        self._rates = rates
        self._opened = anyio.Event()
        self._conversations = conversations
        self._taken: OrderedDict[Written, None] = OrderedDict()
        self._logged_reasons: set[str] = set()
        self._taking = 0

    @property
    def is_taking(self) -> bool:
        """Whether an update is being taken in, which may wait for the store."""
        return self._taking > 0

    def open(self) -> None:
        """What an earlier start left is in the lanes: what is new may come after it."""
        self._opened.set()

    async def put(self, update: object) -> None:
        """Take one update in. Returns when it is stored, or is none of ours."""
        origin: Origin | None = None
        self._taking += 1
        try:
            arrival = parse_update(update)
            self._figures.updates.labels(_KINDS[type(arrival)]).inc()
            if isinstance(arrival, NothingForUs):
                self._log_once(arrival.reason)
                return
            if isinstance(arrival, ButtonPressed):
                await self._take_press(arrival)
                return
            if isinstance(arrival, ReactionChanged):
                await self._take_reaction(arrival)
                return
            origin = arrival.origin
            await self._take_from(origin, arrival)
        except Exception:  # boundary: an exception would end PTB's polling without a word
            reference = secrets.token_hex(4)
            chat = origin and origin.chat_id
            logger.exception("A message in chat %s was not taken in, reference %s", chat, reference)
            if origin is not None:
                self._say(origin, wording.render_failure(wording.NOT_TAKEN, reference))
        finally:
            self._taking -= 1
            if isinstance(update, Update):
                self._ahead.take(update.update_id)

    async def _take_press(self, press: ButtonPressed) -> None:
        """Do what a button says, past what waits in the chat, if it belongs to who pressed it."""
        owner = await self._people.find(press.user_id)
        if owner is None or press.chat_id != press.user_id:
            return
        self._runs.end(press.chat_id)
        if press.data.startswith(ASK_DATA):
            is_open = self._questions.press(press.chat_id, press.data)
            text = None if is_open else wording.BUTTON_IS_OLD
            self._tasks.start_soon(self._post.acknowledge, press.press_id, text)
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
            if press.data.startswith(MODEL_DATA):
                await self._model_menu.press(owner, press)
            else:
                await self._lists.press(owner, press)
        except Exception as error:  # noqa: BLE001 - boundary: a button must not stop the bot
            sentence = tell_not_done(error, f"What a button in chat {press.chat_id} asks for")
            await self._post.acknowledge(press.press_id)
            await self._post.say(press.chat_id, sentence)

    async def _take_reaction(self, change: ReactionChanged) -> None:
        owner = await self._people.find(change.origin.user_id)
        if owner is not None:
            await self._opened.wait()
            await self._second_thoughts.take_reaction(owner, change)

    async def _take_from(self, origin: Origin, arrival: Written) -> None:
        if arrival not in self._taken and await self._take_if_known(origin, arrival):
            self._taken[arrival] = None
            if len(self._taken) > _REMEMBERED:
                self._taken.popitem(last=False)

    async def _take_if_known(self, origin: Origin, arrival: Written) -> bool:
        """Whether it was of any effect; what a stranger writes is not."""
        async with self._telling_of_absence(origin.chat_id):
            owner = await self._people.find(origin.user_id)
        if owner is None or self._people.was_paired(origin.user_id):
            answer = await self._people.take_code(arrival, is_known=owner is not None)
            if answer is not None:
                self._say(origin, answer)
                return True
        if owner is None:
            self._strangers.meet(origin)
            return False
        if self._is_over_rate(arrival):
            return True
        async with self._telling_of_absence(origin.chat_id):
            await self._opened.wait()
            await self._take(owner, arrival)
        self._notices.is_back(origin.chat_id)
        return True

    def _is_over_rate(self, arrival: Written) -> bool:
        """Whether there are too many of one person; the first one left out is told, past others."""
        origin = arrival.origin
        if self._rates is None or (isinstance(arrival, CommandArrived) and arrival.name == "stop"):
            return False
        refusal = self._rates.take(origin.user_id)
        if refusal is None:
            return False
        self._figures.left_out.inc()
        if refusal.is_first:
            note = Part(wording.render_too_many(refusal.seconds))
            self._tasks.start_soon(self._post.send, origin.chat_id, note, origin.message_id)
        return True

    @asynccontextmanager
    async def _telling_of_absence(self, chat_id: int) -> AsyncGenerator[None]:
        """Tell a chat when what is done within waits for the store."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._notices.tell_later, chat_id, wording.WAITS_AT_TELEGRAM)
            yield
            tasks.cancel_scope.cancel()

    async def _take(self, owner: str, arrival: Written) -> None:
        if not isinstance(arrival, TextArrived):
            self._runs.end(arrival.origin.chat_id)
        match arrival:
            case TextArrived(origin, text, is_forwarded=False) if self._questions.write(
                origin.chat_id, text
            ):
                pass  # what a server asked for is for it alone: nothing keeps it
            case TextArrived():
                conversation_id = await self._find_conversation(owner, arrival.origin)
                await self._prompts.take_text(
                    owner,
                    conversation_id,
                    arrival.origin,
                    arrival.text,
                    is_forwarded=arrival.is_forwarded,
                )
            case TextEdited():
                await self._second_thoughts.take_edit(owner, arrival)
            case AttachmentArrived():
                conversation_id = await self._find_conversation(owner, arrival.origin)
                await self._prompts.take_attachment(owner, conversation_id, arrival)
            case CommandArrived():
                await self._take_command(owner, arrival)
            case _:
                assert_never(arrival)

    async def _take_command(self, owner: str, arrival: CommandArrived) -> None:
        match arrival.name:
            case "stop":
                # Past what waits in the chat; that it worked, the answer's end says.
                chat_id = arrival.origin.chat_id
                if not (self._answerer.stop(chat_id) or self._runs.stop(chat_id)):
                    self._say(arrival.origin, wording.NOTHING_RUNS)
            case "retry":
                await self._second_thoughts.retry(owner, arrival.origin)
            case _:
                await self._commands.take(owner, arrival)

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
