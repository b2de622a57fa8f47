"""The embedded store's conversations that expire because nothing was written to them for long."""

import time
from pathlib import Path

import pytest
from mcp import Client

from agentic.config.models import Config, ConversationsConfig
from servers.access.principal import create_operator
from servers.conversations.contract_documents import ConversationDocument
from servers.conversations.file_engine import open_file_engine
from servers.conversations.file_expiry import Expiry
from servers.conversations.file_sealing import Sealing
from servers.conversations.file_store import open_file_store
from servers.conversations.file_upkeep import compact, verify
from servers.conversations.store_values import ConversationUpdate
from servers.host import open_server
from tests.servers.connections import call
from tests.servers.conversations.contract_of_attachments import is_absent
from tests.servers.conversations.expired import check_gone, fill
from tests.servers.conversations.messages import ID, OWNER, list_ids, load_ids, user, users
from tests.servers.conversations.stored_files import file_of, make_old

DAY = 86_400
WEEK = Expiry(idle_days=7)


async def test_what_was_left_alone_for_long_is_not_there_for_any_verb(tmp_path: Path) -> None:
    directory = tmp_path / "store"
    async with open_file_store(directory) as store:
        cursor = await fill(store)
        assert len((await store.search_conversations(OWNER, "findable")).hits) == 1
        await store.append_messages(OWNER, "young", users(1))
    make_old(file_of(directory), days=7.1)
    async with open_file_store(directory, expiry=WEEK) as store:
        await check_gone(store, cursor)
        assert (await store.search_conversations(OWNER, "findable")).hits == []
        assert await list_ids(store) == ["young"]
    async with open_file_store(directory) as store:
        assert await load_ids(store) == ["a", "b"]


async def test_it_begins_anew_with_a_version_never_used_and_without_what_it_had(
    tmp_path: Path,
) -> None:
    directory = tmp_path / "store"
    async with open_file_store(directory) as store:
        await fill(store)
        version = (await store.get_conversation(OWNER, ID)).version
    make_old(file_of(directory), days=8)
    async with open_file_store(directory, expiry=WEEK) as store:
        appended = await store.append_messages(OWNER, ID, [user("c")], expected_version=0)
        assert appended.version > version
        found = await store.get_conversation(OWNER, ID)
        assert (found.title, found.message_count, found.stats.attachments) == (None, 1, 0)
        assert await load_ids(store) == ["c"]
        assert await is_absent(store)
        assert await list_ids(store) == [ID]


@pytest.mark.parametrize("how", ["annotate", "update", "append", "attach"])
async def test_whatever_is_written_begins_the_time_anew(tmp_path: Path, how: str) -> None:
    directory = tmp_path / "store"
    async with open_file_store(directory) as store:
        await fill(store)
        await store.append_messages(OWNER, "young", users(1))
    make_old(file_of(directory), days=6)
    async with open_file_store(directory, expiry=WEEK) as store:
        match how:
            case "annotate":
                await store.annotate_message(OWNER, ID, "a", {"x": 1})
            case "update":
                await store.update_conversation(OWNER, ID, ConversationUpdate(title="u"))
            case "attach":
                await store.put_attachment(OWNER, ID, b"x", name="n", mime_type="a/b")
            case _:
                await store.append_messages(OWNER, ID, [user("c")])
        assert set(await list_ids(store)) == {ID, "young"}
    assert age_of(directory) < DAY
    async with open_file_store(directory, expiry=Expiry(idle_days=5)) as store:
        assert set(await list_ids(store)) == {ID, "young"}


def age_of(directory: Path) -> float:
    return time.time() - file_of(directory).stat().st_mtime


async def test_an_upload_changes_neither_version_nor_place_in_the_listing(tmp_path: Path) -> None:
    async with open_file_store(tmp_path / "store") as store:
        cursor = await fill(store)
        await store.append_messages(OWNER, "newer", users(1))
        before = (await store.get_conversation(OWNER, ID)).model_dump(exclude={"stats"})
        await store.put_attachment(OWNER, ID, b"x", name="n", mime_type="a/b")
        after = (await store.get_conversation(OWNER, ID)).model_dump(exclude={"stats"})
        assert after == before
        assert await list_ids(store) == ["newer", ID]
        page = await store.load_conversation(OWNER, ID, limit=1, before=cursor)
        assert [message.message_id for message in page.messages] == ["a"]


async def test_an_upload_that_is_sent_again_writes_nothing(tmp_path: Path) -> None:
    async with open_file_store(tmp_path / "store") as store:
        await fill(store)
        before = file_of(tmp_path / "store").read_bytes()
        await fill(store)
        assert file_of(tmp_path / "store").read_bytes() == before


@pytest.mark.parametrize("how", ["rewritten", "compressed", "rewritten and compressed"])
async def test_compacting_is_no_use_of_a_conversation(tmp_path: Path, how: str) -> None:
    directory = tmp_path / "store"
    async with open_file_store(directory, sealing=None) as store:
        await fill(store)
        for number in range(90):
            text = f"{number} " * 400
            if "rewritten" in how:
                await store.annotate_message(OWNER, ID, "a", {"x": text})
            if "compressed" in how:
                await store.append_messages(OWNER, ID, [user(f"m{number}", text)])
    make_old(file_of(directory), days=6)
    sealing = Sealing() if "compressed" in how else None
    async with (
        open_file_store(directory, expiry=WEEK) as store,
        open_file_engine(directory, expiry=WEEK) as engine,
    ):
        found = await store.get_conversation(OWNER, ID)
        assert [step.done async for step in compact(engine, sealing)] == [how]
        assert 5.9 * DAY < age_of(directory) < 6.1 * DAY
        assert [step.examination.findings async for step in verify(engine)] == [[]]
        [listed] = (await store.list_conversations(OWNER)).conversations
        assert listed.version == (await store.get_conversation(OWNER, ID)).version
        assert (listed.version > found.version) == ("rewritten" in how)
        assert listed.message_count == found.message_count
    async with open_file_store(directory, expiry=Expiry(idle_days=5)) as store:
        assert await list_ids(store) == []


async def test_an_old_conversation_that_is_imported_is_there(tmp_path: Path) -> None:
    async with open_file_store(tmp_path / "store", expiry=WEEK) as store:
        document = ConversationDocument.model_validate(
            {
                "format": "agentic-conversation/1",
                "conversation": {
                    "conversation_id": ID,
                    "last_updated": "2019-01-01T00:00:00Z",
                },
                "messages": [
                    {"message_id": "a", "role": "user", "content": "x"},
                ],
            }
        )
        await store.import_conversation(OWNER, document)
        assert await load_ids(store) == ["a"]
        assert await list_ids(store) == [ID]


async def test_the_configuration_says_after_how_many_days(tmp_path: Path) -> None:
    directory = tmp_path / "store"
    async with open_file_store(directory) as store:
        await store.append_messages(OWNER, ID, users(1))
    make_old(file_of(directory), days=2)
    for days, count in ((None, 1), (2.5, 1), (1.5, 0)):
        settings = ConversationsConfig(directory=directory, expire_idle_days=days)
        config = Config(conversations=settings)
        async with (
            open_server("conversations", config, create_operator(OWNER)) as hosted,
            Client(hosted.server) as client,
        ):
            assert len((await call(client, "list_conversations"))["conversations"]) == count
