"""`agentic conversations list|show|delete`, over MCP like everything else."""

import sys
from collections.abc import AsyncIterator, Mapping
from typing import Any

from rich import filesize
from rich.text import Text

from agentic.cli.compose import open_store
from agentic.cli.conversation_document import write_document
from agentic.cli.conversation_ids import check_id, render_id
from agentic.cli.figures_bar import count
from agentic.cli.input_lines import confirm
from agentic.cli.invocation import Invocation, note
from agentic.cli.piped_console import PipedConsole
from agentic.cli.plain_view import render_call
from agentic.cli.stored_history import StoredHistory, load_facts
from agentic.cli.stored_times import render_time
from agentic.cli.terminal_text import clean, one_line, to_json
from agentic.config.children import SECTIONS_OF_STORE_USERS
from agentic.config.models import Config
from client.conversations import RemoteConversationStore
from servers.conversations.contract import MAX_LIST_LIMIT, Conversation, Message
from servers.conversations.contract_results import ConversationWithStats
from servers.conversations.contract_uris import AttachmentUri

_MAX_SHOWN_RESULT = 2_000
_ROLES = {"user": "you", "assistant": "assistant", "tool": "tool", "system": "note"}


def list_conversations(
    invocation: Invocation, limit: int | None, tag: str | None, *, as_json: bool
) -> int:
    """One line for each conversation, or one JSON array."""

    async def work(config: Config) -> None:
        async with open_store(config) as store:
            listed = _list(store, limit, tag)
            if as_json:
                found = [conversation.model_dump() async for conversation in listed]
                sys.stdout.write(to_json(found) + "\n")
                return
            is_empty = True
            async for conversation in listed:
                sys.stdout.write(_render_conversation(conversation) + "\n")
                is_empty = False
            if is_empty:
                note("There are no conversations yet." if tag is None else "None has this tag.")

    return invocation.run(work, sections=SECTIONS_OF_STORE_USERS)


def show_conversation(
    invocation: Invocation, conversation_id: str, limit: int | None, *, as_json: bool
) -> int:
    """The messages, the oldest first."""

    async def work(config: Config) -> None:
        check_id(conversation_id)
        async with open_store(config) as store:
            conversation = await load_facts(store, conversation_id)
            history = StoredHistory(store, conversation_id, limit)
            if as_json:
                head = {"conversation": conversation.model_dump()}
                messages = (message.to_wire() async for message in history.read())
                await write_document(sys.stdout, head, messages)
            else:
                await _show(conversation, history)
                _show_attachments(conversation)
            if history.damaged:
                note(f"Left out: {count(history.damaged, 'damaged record')}.")

    return invocation.run(work, sections=SECTIONS_OF_STORE_USERS)


def delete_conversation(invocation: Invocation, conversation_id: str, *, yes: bool) -> int:
    """Delete after a yes."""

    async def work(config: Config) -> None:
        check_id(conversation_id)
        async with open_store(config) as store:
            conversation = await load_facts(store, conversation_id)
            if not yes:
                extent = count(conversation.message_count, "message")
                await confirm(
                    f"Delete {_name(conversation)} with {extent}?",
                    instead="Deleting is for good: say --yes where nobody can be asked.",
                )
            await store.delete_conversation(conversation_id)
        note("Deleted.")

    return invocation.run(work, sections=SECTIONS_OF_STORE_USERS)


async def _list(
    store: RemoteConversationStore, limit: int | None, tag: str | None
) -> AsyncIterator[Conversation]:
    cursor: str | None = None
    left = limit
    while left is None or left > 0:
        wanted = MAX_LIST_LIMIT if left is None else min(left, MAX_LIST_LIMIT)
        page = await store.list_conversations(limit=wanted, cursor=cursor, tag=tag)
        for conversation in page.conversations:
            yield conversation
        left = None if left is None else left - len(page.conversations)
        cursor = page.next_cursor
        if cursor is None:
            return


def _name(conversation: Conversation) -> str:
    title = f" ({one_line(conversation.title)})" if conversation.title else ""
    return render_id(conversation.conversation_id) + title


def _render_conversation(conversation: Conversation) -> str:
    number = conversation.message_count
    extent = f"{number:>6} message{' ' if number == 1 else 's'}"
    return f"{render_time(conversation.last_updated)}  {extent}  {_name(conversation)}"


async def _show(conversation: Conversation, history: StoredHistory) -> None:
    console = PipedConsole()
    console.print(Text(_render_conversation(conversation), style="bold"))
    async for message in history.read():
        console.print()
        console.print(Text(_render_head(message), style="bold cyan"))
        body = _render_body(message)
        if body:
            console.print(Text(body))


def _show_attachments(conversation: ConversationWithStats) -> None:
    stats, console = conversation.stats, PipedConsole()
    if not stats.attachments:
        return
    latest = stats.latest_attachments
    shown = "" if len(latest) == stats.attachments else f", the latest {len(latest)}"
    console.print()
    plural = "" if stats.attachments == 1 else "s"
    console.print(Text(f"{stats.attachments} attachment{plural}{shown}", style="bold cyan"))
    for each in latest:
        uri = AttachmentUri(conversation.conversation_id, each.attachment_id).render()
        facts = f"{one_line(each.name)}, {each.mime_type}, {filesize.decimal(each.size)}"
        console.print(Text(f"{uri}  {facts}"))


def _render_head(message: Message) -> str:
    who = _ROLES[message.role] + (f" {one_line(message.name)}" if message.name else "")
    when = f" · {render_time(message.created_at)}" if message.created_at else ""
    interrupted = (message.metadata or {}).get("interrupted")
    end = " · failed" if message.is_error else f" · {one_line(str(interrupted))}"
    return who + when + (end if message.is_error or interrupted else "")


def _render_body(message: Message) -> str:
    if isinstance(message.content, str):
        parts = [clean(message.content)]
    else:
        parts = [_render_block(block) for block in message.content]
    text = "\n".join(part for part in parts if part)
    if message.role == "tool" and len(text) > _MAX_SHOWN_RESULT:
        left_out = len(text) - _MAX_SHOWN_RESULT
        text = f"{text[:_MAX_SHOWN_RESULT]}… ({left_out} more characters; --json shows all)"
    return text


def _render_block(block: Mapping[str, Any]) -> str:
    match block:
        case {"type": "text", "text": str(text)}:
            return clean(text)
        case {"type": "tool_use"}:
            return f"→ {render_call(block['name'], block['input'])}"
        case {"type": "resource_link", "uri": str(uri), "name": str(name)}:
            return f"[{one_line(name)}: {one_line(uri, 2_000)}]"
        case _:
            kind = block.get("mimeType") or block.get("type")
            return f"[{one_line(str(kind))}]"
