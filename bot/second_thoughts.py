"""People change their mind: they edit what they wrote, want another answer, or like one or not."""

import logging
from functools import partial

from bot import wording
from bot.answering import Answerer
from bot.arrivals import Origin, ReactionChanged, TextEdited
from bot.chat_conversations import ChatConversations, name_new
from bot.deliveries import parse_delivery
from bot.lanes import Lanes
from bot.post import Post
from bot.prompts import Prompts
from bot.store_patience import keep_trying
from client.conversations import ConversationCallError, RemoteConversationStore, ToolCaller
from servers.conversations.contract import Message

_LOOKED_AT = 100
"""Of the latest messages."""
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
        lanes: Lanes,
        post: Post,
    ) -> None:
        self._hub = hub
        self._conversations = conversations
        self._answerer = answerer
        self._prompts = prompts
        self._lanes = lanes
        self._post = post

    async def take_edit(self, owner: str, edit: TextEdited) -> None:
        """Go on in a copy that ends before the edited message, and answer it anew.

        Only the last message can be changed so; the conversation as it was is kept.
        """
        origin, copy_id = edit.origin, name_new(edit.origin)
        conversation_id, messages = await self._latest(owner, origin)
        if conversation_id != copy_id:  # else an earlier attempt has come this far
            place = _find_last_prompt(messages)
            if place is None or not _is_of(messages[place], origin):
                self._say(origin, wording.ONLY_THE_LAST)
                return
            if messages[place].text() == edit.text:
                return
            self._answerer.stop(origin.chat_id, origin.message_id)
            if place > 0:
                await self._copy(owner, conversation_id, messages[place - 1], copy_id)
            await keep_trying(
                lambda: self._conversations.change(owner, origin, copy_id), "change to a copy"
            )
        await self._prompts.take_text(owner, copy_id, origin, edit.text)

    async def retry(self, owner: str, origin: Origin) -> None:
        """Have the last message answered once more."""
        conversation_id, messages = await self._latest(owner, origin)
        place = _find_last_prompt(messages)
        if place is None or not (text := messages[place].text().strip()):
            self._say(origin, wording.NOTHING_HERE)
            return
        is_forwarded = bool((messages[place].metadata or {}).get("forwarded"))
        await self._prompts.take_text(
            owner, conversation_id, origin, text, is_forwarded=is_forwarded
        )

    async def take_reaction(self, owner: str, change: ReactionChanged) -> None:
        """Keep with a reply whether the person likes it."""
        conversation_id, messages = await self._latest(owner, change.origin)
        for message in reversed(messages):
            facts = parse_delivery(message.annotations)
            if message.role == "assistant" and facts and change.origin.message_id in facts.sent:
                store = RemoteConversationStore(self._hub, owner)
                feedback = {"feedback": _LIKES[change.is_liked]}
                await keep_trying(
                    partial(
                        store.annotate_message, conversation_id, message.message_id or "", feedback
                    ),
                    "keep what somebody thinks of a reply",
                )
                return
        logger.info("A reaction to something that is no recent reply is not kept")

    async def _latest(self, owner: str, origin: Origin) -> tuple[str, list[Message]]:
        """The conversation that the chat is in at this time, and its latest messages."""
        store = RemoteConversationStore(self._hub, owner)
        # What happened in the same second came before.
        now = Origin(origin.chat_id, origin.user_id, 2**52, origin.sent_at, origin.person)
        conversation_id = await keep_trying(
            lambda: self._conversations.find(owner, now), "find the conversation of a chat"
        )
        page = await keep_trying(
            lambda: store.load_conversation(conversation_id, limit=_LOOKED_AT), "read messages"
        )
        return conversation_id, page.messages

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


def _find_last_prompt(messages: list[Message]) -> int | None:
    """Where the last message of the person stands."""
    places = [place for place, message in enumerate(messages) if message.role == "user"]
    return places[-1] if places else None


def _is_of(message: Message, origin: Origin) -> bool:
    """Whether a stored message is the one in the chat, in whichever wording."""
    first = f"telegram:{origin.chat_id}:{origin.message_id}"
    message_id = message.message_id or ""
    return message_id == first or message_id.startswith(f"{first}:")
