"""An owner's conversations on buttons: listed or found, and changed to by pressing one."""

import base64
import hashlib
import time
from dataclasses import replace

import anyio

from bot import wording
from bot.arrivals import ButtonPressed, Origin
from bot.chat_conversations import ChatConversations, first_conversation
from bot.exports import send_export
from bot.post import Post, Undeliverable
from bot.rendering import Button, Part, render_parts
from client.conversations import ConversationCallError, RemoteConversationStore, ToolCaller
from servers.conversations.contract import Conversation

CHANGE_DATA = "to:"
"""Begins the data of a button that changes the conversation; its digest follows."""
MORE_DATA = "more:"
"""Begins the data of a button that shows more conversations; how many were shown follows."""
COPY_DATA, FILE_DATA, TITLE_DATA = "copy:", "file:", "title:"
"""Begin the data of buttons below a conversation that was changed to; its digest follows."""

_LISTED = 8
_SOUGHT_PAGES = 10
"""Of 100 conversations, among which a pressed button's is looked for."""
_HITS = 5
_SPEAKERS = ("user", "assistant")


class ConversationLists:
    """Shows lists, and does what their buttons say.

    Methods raise `HubError` and `ConversationCallError` when the store refuses or is away.
    """

    def __init__(self, hub: ToolCaller, conversations: ChatConversations, post: Post) -> None:
        self._hub = hub
        self._conversations = conversations
        self._post = post
        self._acts = {
            CHANGE_DATA: self._change,
            COPY_DATA: self._copy,
            FILE_DATA: self._send_file,
            TITLE_DATA: self._tell_how_to_rename,
        }

    async def press(self, owner: str, press: ButtonPressed) -> None:
        """Do what a button of ours says; whatever its data are, only to what the owner has."""
        if press.data.startswith(MORE_DATA):
            shown = press.data.removeprefix(MORE_DATA)
            if shown.isascii() and shown.isdecimal() and len(shown) < 6:
                await self._show_more(owner, press, int(shown))
                return
        for prefix, act in self._acts.items():
            if press.data.startswith(prefix):
                digest = press.data.removeprefix(prefix)
                if (conversation := await self._seek(owner, digest)) is not None:
                    await self._post.acknowledge(press.press_id)
                    await act(owner, press, conversation)
                    return
        await self._post.acknowledge(press.press_id, wording.BUTTON_IS_OLD)

    async def show(self, owner: str, origin: Origin) -> None:
        """Show the latest conversations."""
        current = await self._conversations.find(owner, origin)
        part = await self._render_list(owner, current, shown=0)
        await self._post.send(origin.chat_id, part)

    async def _show_more(self, owner: str, press: ButtonPressed, shown: int) -> None:
        await self._post.acknowledge(press.press_id)
        current = await self._conversations.find(owner, _latest(press))
        part = await self._render_list(owner, current, shown=shown)
        await self._show_in_place(press, part)

    async def _show_in_place(self, press: ButtonPressed, part: Part) -> None:
        """In the message whose button was pressed; as a new one, if that is too old or gone."""
        outcome = await self._post.change(press.chat_id, press.message_id, part)
        if isinstance(outcome, Undeliverable):
            await self._post.send(press.chat_id, part)

    async def _render_list(self, owner: str, current: str, *, shown: int) -> Part:
        store = RemoteConversationStore(self._hub, owner)
        page = await store.list_conversations(limit=_LISTED + 1, offset=shown)
        listed = [found for found in page.conversations if found.message_count][:_LISTED]
        labels: dict[str, str] = {}

        async def label(conversation: Conversation) -> None:
            text = await self._name(owner, conversation)
            is_current = conversation.conversation_id == current
            labels[conversation.conversation_id] = wording.render_label(
                text, conversation.last_updated, is_current=is_current
            )

        async with anyio.create_task_group() as tasks:
            for conversation in listed:
                tasks.start_soon(label, conversation)
        rows = [
            (
                Button(
                    labels[found.conversation_id], f"{CHANGE_DATA}{_digest(found.conversation_id)}"
                ),
            )
            for found in listed
        ]
        if len(page.conversations) > _LISTED:
            rows.append((Button(wording.MORE, f"{MORE_DATA}{shown + _LISTED}"),))
        text = wording.CONVERSATIONS if rows else wording.NO_CONVERSATIONS
        return Part(text, buttons=tuple(rows))

    async def _name(self, owner: str, conversation: Conversation) -> str:
        """The title, or what was said last."""
        if conversation.title:
            return conversation.title
        store = RemoteConversationStore(self._hub, owner)
        page = await store.load_conversation(conversation.conversation_id, limit=4)
        texts = [message.text() for message in page.messages if message.role in _SPEAKERS]
        return next((text for text in reversed(texts) if text.strip()), "")

    async def search(self, owner: str, origin: Origin, words: str) -> None:
        """Show where these words were said, in all conversations."""
        store = RemoteConversationStore(self._hub, owner)
        found = await store.search_conversations(words, limit=_HITS)
        if not found.hits:
            await self._post.say(origin.chat_id, wording.NOTHING_FOUND)
            return
        row = tuple(
            Button(str(number), f"{CHANGE_DATA}{_digest(hit.conversation_id)}")
            for number, hit in enumerate(found.hits, 1)
        )
        part, *_ = render_parts(wording.render_hits([hit.snippet for hit in found.hits]))
        await self._post.send(origin.chat_id, replace(part, buttons=(row,)))

    async def _seek(self, owner: str, digest: str) -> Conversation | None:
        """The owner's conversation that a button means, None if there is none."""
        store = RemoteConversationStore(self._hub, owner)
        cursor: str | None = None
        for _ in range(_SOUGHT_PAGES):
            page = await store.list_conversations(limit=100, cursor=cursor)
            for conversation in page.conversations:
                if _digest(conversation.conversation_id) == digest:
                    return conversation
            cursor = page.next_cursor
            if cursor is None:
                break
        return None

    async def _change(self, owner: str, press: ButtonPressed, chosen: Conversation) -> None:
        await self._go_to(owner, press, chosen.conversation_id)
        await self._show_in_place(press, await self._render_changed(owner, chosen))

    async def _copy(self, owner: str, press: ButtonPressed, chosen: Conversation) -> None:
        """Go on in a copy; the press that comes again finds the same one."""
        copy_id = f"{first_conversation(press.chat_id)}:copy.{_digest(press.press_id)}"
        try:
            await self._store(owner).fork_conversation(
                chosen.conversation_id, new_conversation_id=copy_id
            )
        except ConversationCallError as error:
            if error.code != "conflict":
                raise
        await self._go_to(owner, press, copy_id)
        await self._post.say(press.chat_id, wording.FORKED)

    async def _go_to(self, owner: str, press: ButtonPressed, conversation_id: str) -> None:
        """Change the chat's conversation, also when a button of the same message just did so."""
        recent = await self._conversations.list_recent(owner, press.chat_id)
        if recent[0] == conversation_id:
            return
        if not await self._conversations.change(owner, _latest(press), conversation_id):
            await anyio.sleep(1)  # a change is known by its second and message
            await self._conversations.change(owner, _latest(press), conversation_id)

    async def _send_file(self, owner: str, press: ButtonPressed, chosen: Conversation) -> None:
        await send_export(self._post, press.chat_id, self._store(owner), chosen.conversation_id)

    async def _tell_how_to_rename(
        self, owner: str, press: ButtonPressed, chosen: Conversation
    ) -> None:
        """The command is for the conversation that the chat is in: it has to be this one."""
        await self._go_to(owner, press, chosen.conversation_id)
        where = wording.render_changed(chosen.title, await self._name(owner, chosen))
        await self._post.say(press.chat_id, f"{where}\n\n{wording.RENAME_HOW}")

    async def show_changed(self, owner: str, origin: Origin, conversation_id: str) -> None:
        """Say which conversation the chat has come to."""
        try:
            conversation = await self._store(owner).get_conversation(conversation_id)
            part = await self._render_changed(owner, conversation)
        except ConversationCallError as error:
            if error.code != "not_found":
                raise
            part = Part(wording.render_changed(None, ""))
        await self._post.send(origin.chat_id, part)

    async def _render_changed(self, owner: str, conversation: Conversation) -> Part:
        name = await self._name(owner, conversation)
        digest = _digest(conversation.conversation_id)
        row = (
            Button(wording.RENAME, f"{TITLE_DATA}{digest}"),
            Button(wording.COPY, f"{COPY_DATA}{digest}"),
            Button(wording.AS_FILE, f"{FILE_DATA}{digest}"),
        )
        return Part(wording.render_changed(conversation.title, name), buttons=(row,))

    def _store(self, owner: str) -> RemoteConversationStore:
        return RemoteConversationStore(self._hub, owner)


def _digest(conversation_id: str) -> str:
    """A conversation's id, however long, as it fits into a button."""
    digest = hashlib.sha256(conversation_id.encode()).digest()[:15]
    return base64.urlsafe_b64encode(digest).decode()


def _latest(press: ButtonPressed) -> Origin:
    """The press as if it were the chat's latest message."""
    return Origin(
        chat_id=press.chat_id,
        user_id=press.user_id,
        message_id=press.message_id,
        sent_at=int(time.time()),
        person="",
    )
