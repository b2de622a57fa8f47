"""People change their mind: they edit what they wrote, want another answer, or like one or not."""

import logging
from collections.abc import Sequence
from functools import partial

from bot import wording
from bot.answering import Answerer, Question
from bot.arrivals import Origin, ReactionChanged, TextEdited
from bot.chat_conversations import ChatConversations, name_new
from bot.deliveries import parse_delivery
from bot.lanes import Lanes
from bot.post import Post
from bot.prompt_storing import telegram_id
from bot.prompts import Prompts
from bot.runs import Runs
from bot.said_anew import SaidAnew
from bot.store_patience import keep_trying
from client.conversations import ConversationCallError, RemoteConversationStore, ToolCaller
from servers.conversations.contract import Message

_LOOKED_AT = 100
"""Of the latest messages."""
_MAX_PAGES = 10
"""Of those, in which a run is looked for: a page holds 512 KiB at most."""
_LIKES = {True: "up", False: "down", None: None}

logger = logging.getLogger(__name__)


class SecondThoughts:
    """What follows from them, each in the person's own conversation."""

    def __init__(
        self,
        hub: ToolCaller,
        conversations: ChatConversations,
        *,
        answerer: Answerer,
        prompts: Prompts,
        anew: SaidAnew,
        runs: Runs,
        lanes: Lanes,
        post: Post,
    ) -> None:
        self._hub = hub
        self._conversations = conversations
        self._answerer = answerer
        self._prompts = prompts
        self._anew = anew
        self._runs = runs
        self._lanes = lanes
        self._post = post

    async def take_edit(self, owner: str, edit: TextEdited) -> None:
        """Go on in a copy that ends before the edited message, and answer it anew.

        Only the last message can be changed so, or one of those that were answered together with
        it; the conversation as it was is kept. What still waits for its turn is replaced by the new
        words, and those behind it by themselves.
        """
        origin, copy_id = edit.origin, name_new(edit.origin)
        waiting = self._runs.take_back(origin.chat_id, lambda found: _is_id_of(found, origin))
        if waiting:
            await self._replace(owner, waiting, edit)
            return
        conversation_id = await self._find(owner, origin)
        messages, run = await self._load_last_run(owner, conversation_id)
        place = next((n for n, message in enumerate(run) if _is_of(message, origin)), None)
        if place is None:
            self._say(origin, wording.ONLY_THE_LAST)
            return
        if run[place].text() == edit.text:
            return
        self._answerer.stop(origin.chat_id, telegram_id(run[-1].message_id or ""))
        if conversation_id == copy_id:  # it was edited twice in a second
            await self._prompts.take_text(owner, copy_id, origin, edit.text)
            return
        before = messages.index(run[place])
        if before > 0:
            await self._copy(owner, conversation_id, messages[before - 1], copy_id)
        edited = Message(
            message_id=run[place].message_id,
            role="user",
            content=edit.text,
            metadata=_metadata_of(run[place], origin),
        )
        question = await self._anew.store(
            owner,
            copy_id,
            origin,
            [edited, *(_anew(message) for message in run[place + 1 :])],
            before=[message.message_id or "" for message in run[:place]],
        )
        await keep_trying(
            lambda: self._conversations.change(owner, origin, copy_id), "change to a copy"
        )
        if question is not None:
            self._runs.push_begun(question, is_again=False)

    async def _replace(self, owner: str, waiting: Sequence[Question], edit: TextEdited) -> None:
        """Have other words answered than those that wait: what was stored is no longer shown."""
        origin, new = edit.origin, list(waiting)
        try:
            place = next(
                n for n, each in enumerate(waiting) if _is_id_of(each.where.message_id, origin)
            )
            new[place:] = await self._anew.reword(owner, waiting[place:], origin, edit.text)
        finally:
            for question in new:
                self._runs.push(question)

    async def retry(self, owner: str, origin: Origin) -> None:
        """Have the last message answered once more, with those it was answered together with."""
        conversation_id = await self._find(owner, origin)
        _, run = await self._load_last_run(owner, conversation_id)
        if not any(message.text().strip() for message in run):
            self._say(origin, wording.NOTHING_HERE)
            return
        said = [
            Message(role="user", content=message.content, metadata=_metadata_of(message, origin))
            for message in run
        ]
        question = await self._anew.store(owner, conversation_id, origin, said)
        if question is not None:
            self._runs.push_begun(question, is_again=False)

    async def take_reaction(self, owner: str, change: ReactionChanged) -> None:
        """Keep with a reply whether the person likes it; the chat may be elsewhere by now."""
        found = await self._find_reply(owner, change.origin)
        if found is None:
            logger.info("A reaction to something that is no recent reply is not kept")
            return
        store = RemoteConversationStore(self._hub, owner)
        feedback = {"feedback": _LIKES[change.is_liked]}
        await keep_trying(
            lambda: store.annotate_message(*found, feedback), "keep what somebody thinks of a reply"
        )

    async def _find_reply(self, owner: str, shown: Origin) -> tuple[str, str] | None:
        """Conversation and id of the reply that a message of the bot's is a part of."""
        store = RemoteConversationStore(self._hub, owner)
        recent = await keep_trying(
            lambda: self._conversations.list_recent(owner, shown.chat_id), "find conversations"
        )
        for conversation_id in recent:
            load = partial(store.load_conversation, conversation_id, limit=_LOOKED_AT)
            for message in (await keep_trying(load, "read messages")).messages:
                facts = parse_delivery(message.annotations)
                if message.role == "assistant" and facts and shown.message_id in facts.sent:
                    return conversation_id, message.message_id or ""
        return None

    async def _find(self, owner: str, origin: Origin) -> str:
        """The conversation that the chat is in at this time."""
        # What happened in the same second came before.
        now = Origin(origin.chat_id, origin.user_id, 2**52, origin.sent_at, origin.person)
        return await keep_trying(
            lambda: self._conversations.find(owner, now), "find the conversation of a chat"
        )

    async def _load_last_run(
        self, owner: str, conversation_id: str
    ) -> tuple[list[Message], list[Message]]:
        """The latest messages, and those of a person among them that the last turn is for."""
        store = RemoteConversationStore(self._hub, owner)
        messages: list[Message] = []
        run: list[Message | None] = []
        cursor: str | None = None
        for _ in range(_MAX_PAGES):
            page = await keep_trying(
                partial(store.load_conversation, conversation_id, limit=_LOOKED_AT, before=cursor),
                "read messages",
            )
            messages, cursor = [*page.messages, *messages], page.next_cursor
            run = _find_last_run(messages)
            if cursor is None or (run and run[0] is not None and messages[0] is not run[0]):
                break
        return messages, [message for message in run if message is not None]

    async def _copy(self, owner: str, source: str, last: Message, copy_id: str) -> None:
        store = RemoteConversationStore(self._hub, owner)

        async def fork() -> None:
            try:
                await store.fork_conversation(
                    source, up_to_message_id=last.message_id, new_conversation_id=copy_id
                )
            except ConversationCallError as error:
                if error.code != "conflict":  # an earlier attempt has made it
                    raise

        await keep_trying(fork, "copy a conversation")

    def _say(self, origin: Origin, text: str) -> None:
        self._lanes.push(origin.chat_id, partial(self._post.say, origin.chat_id, text))


def _find_last_run(messages: Sequence[Message]) -> list[Message | None]:
    """The last message of the person behind those answered with it; None for what is not there."""
    last = next((message for message in reversed(messages) if message.role == "user"), None)
    if last is None:
        return []
    facts = parse_delivery(last.annotations)
    known = {message.message_id: message for message in messages}
    return [*(known.get(message_id) for message_id in (facts.run if facts else ())), last]


def _metadata_of(message: Message, origin: Origin) -> dict[str, object]:
    """What holds of a message when it is said again."""
    return {**(message.metadata or {}), "telegram": {"sent_at": origin.sent_at}}


def _anew(message: Message) -> Message:
    return Message(
        message_id=message.message_id,
        role="user",
        content=message.content,
        metadata=message.metadata,
    )


def _is_of(message: Message, origin: Origin) -> bool:
    """Whether a stored message is the one in the chat, in whichever wording."""
    return _is_id_of(message.message_id or "", origin)


def _is_id_of(message_id: str, origin: Origin) -> bool:
    first = f"telegram:{origin.chat_id}:{origin.message_id}"
    return message_id == first or message_id.startswith(f"{first}:")
