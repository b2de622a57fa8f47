"""The embedded store: the contract, and what is its own."""

import zlib
from collections import OrderedDict
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import anyio
import pytest

from servers.conversations.contract import Message
from servers.conversations.file_records import NOTHING
from servers.conversations.file_state import ConversationState, StateCache
from servers.conversations.file_store import FileConversationStore, open_file_store
from servers.conversations.store_errors import ConflictError
from tests.servers.conversations.messages import ID, OWNER, load_ids, user, users
from tests.servers.conversations.store_contract import ConversationStoreContract
from tests.servers.conversations.stored_files import file_of

NOW = "2026-01-31T09:30:00Z"


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


async def test_deeply_nested_content_is_read_as_it_was_written(tmp_path: Path) -> None:
    deep: dict[str, Any] = {"type": "x.deep"}
    for _ in range(400):
        deep = {"type": "x.deep", "in": [deep]}
    message = Message(message_id="a", role="user", content=[deep])
    async with open_file_store(tmp_path / "store") as store:
        await store.append_messages(OWNER, ID, [message])
    async with open_file_store(tmp_path / "store") as store:
        loaded = await store.load_conversation(OWNER, ID)
        assert (loaded.damaged, loaded.messages[0].content) == (0, message.content)
        assert (await store.append_messages(OWNER, ID, [message])).repeated == 1


async def test_fields_that_a_newer_program_stored_are_passed_over(tmp_path: Path) -> None:
    async with open_file_store(tmp_path / "store") as store:
        await store.append_messages(OWNER, ID, [user("a")])
    path = file_of(tmp_path / "store")
    header, message, *rest = path.read_bytes().splitlines(keepends=True)
    line = message.rpartition(b',"crc"')[0].replace(b'"role":', b'"mood":"glad","role":')
    message = b'%b,"crc":"%08x"}\n' % (line, zlib.crc32(line))
    path.write_bytes(b"".join([header, message, *rest]))
    async with open_file_store(tmp_path / "store") as store:
        loaded = await store.load_conversation(OWNER, ID)
        assert loaded.damaged == 0
        assert loaded.messages[0].to_wire().keys() == user("a", created_at=NOW).to_wire().keys()


async def test_more_callers_than_threads_all_get_their_answer(tmp_path: Path) -> None:
    counts: list[int] = []

    async def append(number: int) -> None:
        await store.append_messages(OWNER, f"c{number}", users(number))
        loaded = await store.load_conversation(OWNER, f"c{number}")
        counts.append(len(loaded.messages))

    async with open_file_store(tmp_path / "store", durability="interval") as store:
        with anyio.fail_after(30):
            async with anyio.create_task_group() as tasks:
                for number in range(1, 101):
                    tasks.start_soon(append, number)
    assert sorted(counts) == list(range(1, 101))


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
    recent = OrderedDict((f"message-{number}", number) for number in range(ids))
    return ConversationState(b"", 1, 0, NOTHING, None, recent=recent)
