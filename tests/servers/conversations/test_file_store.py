"""The embedded store: the contract, and what is its own."""

from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from servers.conversations.file_records import NOTHING
from servers.conversations.file_state import ConversationState, StateCache
from servers.conversations.file_store import FileConversationStore, open_file_store
from servers.conversations.store import ConflictError
from tests.servers.conversations.messages import ID, OWNER, load_ids, user, users
from tests.servers.conversations.store_contract import ConversationStoreContract


class TestFileConversationStore(ConversationStoreContract):
    @pytest.fixture
    async def store(self, tmp_path: Path) -> AsyncGenerator[FileConversationStore]:
        async with open_file_store(tmp_path / "conversations") as store:
            yield store


async def test_repeats_are_recognised_just_after_reopening(tmp_path: Path) -> None:
    async with open_file_store(tmp_path / "store") as store:
        for start in range(0, 4_500, 900):
            await store.append_messages(OWNER, ID, users(900, start))
        await store.annotate_message(OWNER, ID, "m4499", {"x": 1})
    async with open_file_store(tmp_path / "store") as store:
        result = await store.append_messages(OWNER, ID, users(1_000, 4_500 - 4_096))
        assert (result.appended, result.repeated) == (0, 1_000)
        with pytest.raises(ConflictError):
            await store.append_messages(OWNER, ID, [user("m500", "other")])
        assert len(await load_ids(store)) == 4_500


async def test_what_is_kept_in_memory_is_bounded_and_drops_what_was_used_longest_ago() -> None:
    cache = StateCache(max_bytes=100_000)
    for number in range(100):
        cache.put(f"k{number}", make_state(number))
    kept = [number for number in range(100) if cache.take(f"k{number}")]
    assert kept == list(range(100 - len(kept), 100))
    assert 3 < len(kept) < 25
    cache.put("large", make_state(10_000))
    assert cache.take("large")
    assert cache.take("large") is None


def make_state(ids: int) -> ConversationState:
    recent = {f"message-{number}": number for number in range(ids)}
    return ConversationState(b"", 1, 0, NOTHING, None, recent=recent)
