"""A conversation that has expired, however it did: each verb but search says it is not there."""

import pytest

from servers.conversations.store import ConversationStore
from servers.conversations.store_errors import InvalidError, NotFoundError, StaleCursorError
from servers.conversations.store_values import ConversationUpdate
from tests.servers.conversations.messages import ID, OWNER, list_ids, user


async def fill(store: ConversationStore) -> str | None:
    """Have something for each verb to find in the conversation; a cursor into it."""
    await store.append_messages(
        OWNER, ID, [user("a", "findable", annotations={"delivery": "pending"}), user("b")]
    )
    await store.update_conversation(OWNER, ID, ConversationUpdate(title="t", tags=["x"]))
    await store.put_attachment(OWNER, ID, b"attached", name="n", mime_type="a/b", attachment_id="a")
    return (await store.load_conversation(OWNER, ID, limit=1)).next_cursor


async def check_gone(store: ConversationStore, cursor: str | None) -> None:
    """What `fill` filled is not there; nothing is changed by this."""
    loaded = await store.load_conversation(OWNER, ID)
    assert (loaded.messages, loaded.version) == ([], 0)
    assert await store.read_version(OWNER, ID) == 0
    assert ID not in await list_ids(store)
    assert await list_ids(store, tag="x") == []
    assert (await store.list_deliveries("pending")).deliveries == []
    owners = (await store.list_owners()).owners
    assert (OWNER in owners) == bool(await list_ids(store))
    assert (await store.get_stats()).conversations in (None, len(await list_ids(store)))
    assert not (await store.delete_conversation(OWNER, ID)).deleted
    for call in (
        store.get_conversation(OWNER, ID),
        store.update_conversation(OWNER, ID, ConversationUpdate(expires_at=None)),
        store.annotate_message(OWNER, ID, "a", {"x": 1}),
        store.export_conversation(OWNER, ID),
        store.fork_conversation(OWNER, ID),
        store.merge_conversations(OWNER, [ID], "merged"),
        store.read_attachment(OWNER, ID, "a"),
    ):
        with pytest.raises(NotFoundError):
            await call
    with pytest.raises(StaleCursorError):
        await store.load_conversation(OWNER, ID, limit=1, before=cursor)
    with pytest.raises(InvalidError, match="0 bytes"):
        await store.put_attachment(
            OWNER, ID, b"more", name="n", mime_type="a/b", attachment_id="a", offset=8
        )
    assert "merged" not in await list_ids(store)
