"""What people ask of the bot itself: other conversations, what there is, what was used.

What changes where messages belong is done while an update is taken in, so that it holds for the
messages after it; all else waits in the chat's lane like an answer.
"""

import logging
import secrets
from collections.abc import Awaitable, Callable
from functools import partial

from anyio.to_thread import run_sync

from bot import wording
from bot.arrivals import CommandArrived, Origin
from bot.chat_conversations import ChatConversations, name_new
from bot.conversation_lists import ConversationLists
from bot.deliveries import StoredMessage, find_undelivered
from bot.exports import ExportForm, send_export
from bot.lanes import Lanes
from bot.model_menu import ModelMenu
from bot.post import Post
from bot.rendering import render_parts
from bot.store_patience import keep_trying
from bot.tool_files import ToolFiles
from client.conversations import ConversationCallError, RemoteConversationStore, ToolCaller
from client.hub.errors import HubError

_LOOKED_AT = 100
"""Of the latest messages."""
_FORMS: dict[str, ExportForm] = {"": "markdown", "markdown": "markdown", "json": "json"}

logger = logging.getLogger(__name__)


class Commands:
    """Does what commands and their buttons say, each for its owner alone."""

    def __init__(
        self,
        hub: ToolCaller,
        conversations: ChatConversations,
        lists: ConversationLists,
        *,
        lanes: Lanes,
        post: Post,
        files: ToolFiles,
        deliver: Callable[[StoredMessage], Awaitable[None]],
        tools: Callable[[], list[str]],
        model_menu: ModelMenu,
    ) -> None:
        """`deliver` sends what is stored and not delivered.

        `tools`: the names of those that the model is offered now.
        """
        self._hub = hub
        self._conversations = conversations
        self._lists = lists
        self._lanes = lanes
        self._post = post
        self._files = files
        self._deliver = deliver
        self._tools = tools
        self._at_once = {
            "reset": self._begin_new,
            "new": self._begin_new,
            "undo": self._undo,
            "fork": self._fork,
        }
        self._in_order = {
            "conversations": self._show_conversations,
            "rename": self._rename,
            "export": self._export,
            "id": self._show_id,
            "usage": self._show_usage,
            "resend": self._resend,
            "model": model_menu.take,
        }

    async def take(self, owner: str, arrival: CommandArrived) -> None:
        """Do what has to hold for the next message, and queue the rest."""
        origin, name = arrival.origin, arrival.name
        if name in self._at_once:
            await self._at_once[name](owner, origin)
        elif name in self._in_order:
            self._queue(origin, partial(self._in_order[name], owner, origin, arrival.argument))
        else:
            self._say(origin, self._answer(arrival))

    def _answer(self, arrival: CommandArrived) -> str:
        match arrival.name:
            case "start":
                return wording.render_start(arrival.origin.person)
            case "help":
                return wording.HELP
            case "tools":
                return wording.render_tools(self._tools())
            case unknown:
                return wording.render_unknown_command(unknown)

    async def _begin_new(self, owner: str, origin: Origin) -> None:
        begun = await keep_trying(
            lambda: self._conversations.begin_new(owner, origin), "begin a conversation"
        )
        if begun:
            self._say(origin, wording.RESET_DONE)

    async def _show_conversations(self, owner: str, origin: Origin, words: str) -> None:
        if words:
            await self._lists.search(owner, origin, words)
        else:
            await self._lists.show(owner, origin)

    async def _undo(self, owner: str, origin: Origin) -> None:
        conversation_id = await keep_trying(
            lambda: self._conversations.undo(owner, origin), "go back to a conversation"
        )
        if conversation_id is None:
            self._say(origin, wording.NOTHING_TO_UNDO)
        else:
            self._queue(origin, partial(self._lists.show_changed, owner, origin, conversation_id))

    async def _fork(self, owner: str, origin: Origin) -> None:
        store = RemoteConversationStore(self._hub, owner)
        current = await keep_trying(
            lambda: self._conversations.find(owner, origin), "find the conversation of a chat"
        )
        try:
            await store.fork_conversation(current, new_conversation_id=name_new(origin))
        except ConversationCallError as error:
            if error.code == "not_found":
                self._say(origin, wording.NOTHING_HERE)
                return
            if error.code != "conflict":  # this command has been here before
                raise
        await keep_trying(
            lambda: self._conversations.change(owner, origin, name_new(origin)),
            "change to a conversation",
        )
        self._say(origin, wording.FORKED)

    async def _rename(self, owner: str, origin: Origin, title: str) -> None:
        if not title:
            await self._post.say(origin.chat_id, wording.RENAME_HOW)
            return
        store = RemoteConversationStore(self._hub, owner)
        current = await self._conversations.find(owner, origin)
        await store.update_conversation(current, title=title)
        await self._post.say(origin.chat_id, wording.render_renamed(title))

    async def _export(self, owner: str, origin: Origin, wanted: str) -> None:
        if (form := _FORMS.get(wanted.lower())) is None:
            await self._post.say(origin.chat_id, wording.EXPORT_HOW)
            return
        store = RemoteConversationStore(self._hub, owner)
        current = await self._conversations.find(owner, origin)
        await send_export(self._post, origin.chat_id, store, current, form)

    async def _resend(self, owner: str, origin: Origin, _: str) -> None:
        store = RemoteConversationStore(self._hub, owner)
        # The chat's lane is ours: what is not delivered now is nowhere else on its way.
        left = await find_undelivered(store, origin.chat_id)
        for where in left:
            await self._deliver(where)
        if left:
            return
        current = await self._conversations.find(owner, origin)
        page = await store.load_conversation(current, limit=_LOOKED_AT)
        replies = [message for message in page.messages if (message.metadata or {}).get("final")]
        if not replies:
            await self._post.say(origin.chat_id, wording.NOTHING_TO_RESEND)
            return
        last = StoredMessage(owner, current, replies[-1].message_id or "")
        for part in await run_sync(render_parts, replies[-1].text()):
            await self._post.send(origin.chat_id, part)
        for part in await self._files.find(last):
            await self._post.send(origin.chat_id, part)

    async def _show_id(self, owner: str, origin: Origin, _: str) -> None:
        current = await self._conversations.find(owner, origin)
        await self._post.say(origin.chat_id, wording.render_id(origin.user_id, owner, current))

    async def _show_usage(self, owner: str, origin: Origin, _: str) -> None:
        store = RemoteConversationStore(self._hub, owner)
        current = await self._conversations.find(owner, origin)
        conversation = await store.get_conversation(current)
        stats = conversation.stats
        text = wording.render_usage(
            sum(stats.messages_by_role.values()), stats.input_tokens, stats.output_tokens
        )
        await self._post.say(origin.chat_id, text)

    def _say(self, origin: Origin, text: str) -> None:
        self._lanes.push(origin.chat_id, partial(self._post.say, origin.chat_id, text))

    def _queue(self, origin: Origin, job: Callable[[], Awaitable[None]]) -> None:
        async def run() -> None:
            try:
                await job()
            except Exception as error:  # noqa: BLE001 - boundary: who asked is told, the log the rest
                if isinstance(error, ConversationCallError) and error.code == "not_found":
                    sentence = wording.NOTHING_HERE
                else:
                    sentence = tell_not_done(error, f"A command in chat {origin.chat_id}")
                await self._post.say(origin.chat_id, sentence)

        self._lanes.push(origin.chat_id, run)


def tell_not_done(error: Exception, what: str) -> str:
    """The sentence for whoever asked for what was not done; the log has its reference, and why."""
    reference = secrets.token_hex(4)
    match error:
        case HubError():
            sentence = wording.COMMAND_NOT_DONE
        case ConversationCallError():
            sentence = str(error)
        case _:
            logger.error("%s broke, reference %s", what, reference, exc_info=error)
            return wording.render_failure(wording.BROKEN, reference)
    logger.warning("%s was not done, reference %s: %s", what, reference, error)
    return wording.render_failure(sentence, reference)
