"""`agentic conversations fork|merge`, over MCP like everything else."""

import sys
from collections.abc import Sequence

from agentic.cli.compose import open_store
from agentic.cli.conversation_ids import check_id, render_id
from agentic.cli.invocation import Invocation, note
from agentic.cli.stored_history import load_facts
from agentic.cli.terminal_text import to_json
from agentic.config.children import SECTIONS_OF_STORE_USERS
from agentic.config.models import Config
from servers.conversations.contract import Conversation


def fork_conversation(
    invocation: Invocation,
    conversation_id: str,
    *,
    up_to: str | None,
    to: str | None,
    as_json: bool,
) -> int:
    """Fork, and show the new id."""

    async def work(config: Config) -> None:
        check_id(conversation_id)
        if to is not None:
            check_id(to)
        async with open_store(config) as store:
            await load_facts(store, conversation_id)
            forked = await store.fork_conversation(
                conversation_id, up_to_message_id=up_to, new_conversation_id=to
            )
        _tell(forked, as_json=as_json)

    return invocation.run(work, sections=SECTIONS_OF_STORE_USERS)


def merge_conversations(
    invocation: Invocation, source_ids: Sequence[str], into: str, *, as_json: bool
) -> int:
    """Merge, and show the id of the target."""

    async def work(config: Config) -> None:
        for conversation_id in (*source_ids, into):
            check_id(conversation_id)
        async with open_store(config) as store:
            for source_id in source_ids:
                await load_facts(store, source_id)
            merged = await store.merge_conversations(source_ids, into)
        _tell(merged, as_json=as_json)

    return invocation.run(work, sections=SECTIONS_OF_STORE_USERS)


def _tell(conversation: Conversation, *, as_json: bool) -> None:
    if as_json:
        sys.stdout.write(to_json(conversation.model_dump()) + "\n")
        return
    sys.stdout.write(render_id(conversation.conversation_id) + "\n")
    count = conversation.message_count
    note(f"It has {count} message{'' if count == 1 else 's'}.")
