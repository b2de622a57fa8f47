"""Whether conversations are really kept: one of the doctor's own is written, read and removed."""

import secrets
from contextlib import suppress

import anyio

from agentic.cli.doctor.findings import Finding
from client.conversations import ConversationCallError, RemoteConversationStore
from client.hub.errors import HubError
from client.hub.hub import Hub
from servers.conversations.contract import Message

CONVERSATION_ID = "agentic-doctor"
"""Always the same one: what an earlier doctor had to leave behind, the next one removes."""

_SECONDS = 2.5
_SLOW_SECONDS = 1.0
_CLEAN_UP_SECONDS = 1.0


async def check_store(hub: Hub, owner: str) -> Finding:
    """Append over MCP, load, delete: for whom the connection stands, else for `owner`."""
    began = anyio.current_time()
    try:
        with anyio.fail_after(_SECONDS):
            is_kept = await _try_for_some_owner(hub, owner)
    except TimeoutError:
        summary = f"a message was not stored and read back within {_SECONDS:g} s"
        return Finding("store", "problem", summary, "Look at the disk: is it full, slow or away?")
    except (ConversationCallError, HubError) as error:
        fix = "Do what it says; `agentic -v conversations list` shows more."
        return Finding("store", "problem", str(error), fix)
    if not is_kept:
        summary = "a message that was stored could not be read back"
        fix = "Stop what writes there, and look whether several machines share the directory."
        return Finding("store", "problem", summary, fix)
    seconds = anyio.current_time() - began
    summary = f"a message in {CONVERSATION_ID} was stored, read and removed in {seconds:.2f} s"
    if seconds > _SLOW_SECONDS:
        return Finding("store", "warning", summary, "The disk is slow: use another for the data.")
    return Finding("store", "ok", summary)


async def _try_for_some_owner(hub: Hub, owner: str) -> bool:
    try:
        store = RemoteConversationStore(hub)
        is_kept = await _try(store)
    except ConversationCallError as error:
        if error.code != "forbidden":
            raise
        store = RemoteConversationStore(hub, owner)  # a delegate's token has no owner of its own
        is_kept = await _try(store)
    # Once more, since another doctor may have removed it at the wrong moment.
    return is_kept or await _try(store)


async def _try(store: RemoteConversationStore) -> bool:
    message = Message(
        message_id=f"doctor-{secrets.token_hex(8)}", role="user", content="Is this kept?"
    )
    try:
        await store.append_messages(CONVERSATION_ID, [message])
        page = await store.load_conversation(CONVERSATION_ID)
    except BaseException:
        with (
            suppress(ConversationCallError, HubError),  # what went wrong before is told
            anyio.move_on_after(_CLEAN_UP_SECONDS, shield=True),
        ):
            await store.delete_conversation(CONVERSATION_ID)
        raise
    await store.delete_conversation(CONVERSATION_ID)
    return any(
        (each.message_id, each.content) == (message.message_id, message.content)
        for each in page.messages
    )
