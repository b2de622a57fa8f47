"""Forks, merges and imports of the embedded store among processes: killed, crossing, large."""

import random
import sys
import tracemalloc
from collections.abc import Callable, Coroutine
from datetime import UTC
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio.streams.text import TextReceiveStream
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from servers.conversations.contract import Message
from servers.conversations.contract_documents import ConversationDocument
from servers.conversations.file_store import FileConversationStore, open_file_store
from servers.conversations.store_errors import UnavailableError
from servers.conversations.store_values import ConversationUpdate
from tests.servers.conversations.copying_process import (
    PAGE_MESSAGES,
    PAGES,
    SEALING,
)
from tests.servers.conversations.documents import document, export_pages
from tests.servers.conversations.messages import ID, OWNER, list_ids, load_ids, user, users

MIB = 1024 * 1024


def copying(directory: Path, name: str) -> list[str]:
    module = "tests.servers.conversations.copying_process"
    return [sys.executable, "-m", module, str(directory), name]


async def load(store: FileConversationStore, conversation_id: str) -> list[Message]:
    loaded = await store.load_conversation(OWNER, conversation_id)
    assert loaded.damaged == 0
    found = await store.get_conversation(OWNER, conversation_id)
    assert found.message_count == sum(found.stats.messages_by_role.values()) == len(loaded.messages)
    return loaded.messages


async def fill_source_and_target(directory: Path) -> tuple[list[Message], list[Message]]:
    async with open_file_store(directory, sealing=SEALING) as store:
        for start in range(0, 300, 60):
            await store.append_messages(OWNER, "source", users(60, start, size=300))
        await store.annotate_message(OWNER, "source", "m3", {"k": 1})
        await store.append_messages(OWNER, "target", [user("t", annotations={"delivery": "sent"})])
        return await load(store, "source"), await load(store, "target")


async def check_copies(
    store: FileConversationStore, source: list[Message], target: list[Message], rounds: int
) -> None:
    """Each copy is whole or not there; all of the acknowledged `rounds` are there."""
    ids = await list_ids(store, limit=1_000)
    for conversation_id in ids:
        messages = await load(store, conversation_id)
        match conversation_id.rpartition("-")[2]:
            case "fork" | "merge" | "source":
                assert messages == source
            case "target":
                assert sorted(messages, key=by_id) in (target, sorted(source + target, key=by_id))
            case _:
                assert len(messages) in [n * PAGE_MESSAGES for n in range(1, PAGES + 1)]
    done = [i for i in ids if i.endswith("-import") and int(i.split("-")[1]) < rounds]
    assert len(done) >= rounds
    for conversation_id in done:
        assert len(await load(store, conversation_id)) == PAGES * PAGE_MESSAGES


def by_id(message: Message) -> str:
    return str(message.message_id)


@pytest.mark.parametrize(
    "kills",
    [4, pytest.param(20, marks=pytest.mark.crash), pytest.param(100, marks=pytest.mark.long)],
)
async def test_copies_are_whole_or_not_there_after_kill_9(tmp_path: Path, kills: int) -> None:
    directory = tmp_path / "store"
    chance = random.Random(11)
    with anyio.fail_after(60 + 10 * kills):
        source, target = await fill_source_and_target(directory)
        for number in range(kills):
            command = copying(directory, f"p{number}")
            async with await anyio.open_process(command) as process:
                assert process.stdout
                lines = TextReceiveStream(process.stdout)
                seen = ""
                while seen.count("\n") < 1 + number % 2:
                    seen += await lines.receive()
                await anyio.sleep(chance.random() * 0.2)  # anywhere within a round
                process.kill()
                seen += "".join([text async for text in lines])
            async with open_file_store(directory, sealing=SEALING) as store:
                await check_copies(store, source, target, seen.count("\n"))
                for conversation_id in await list_ids(store, limit=1_000):
                    if conversation_id not in ("source", "target"):
                        await store.delete_conversation(OWNER, conversation_id)


@pytest.mark.slow
async def test_two_processes_copy_at_the_same_time(tmp_path: Path) -> None:
    directory = tmp_path / "store"
    with anyio.fail_after(120):
        source, target = await fill_source_and_target(directory)
        async with (
            await anyio.open_process(copying(directory, "p")) as one,
            await anyio.open_process(copying(directory, "q")) as two,
        ):
            for process in (one, two):
                assert process.stdout
                seen, lines = "", TextReceiveStream(process.stdout)
                while seen.count("\n") < 3:
                    seen += await lines.receive()
            for process in (one, two):
                process.kill()
        async with open_file_store(directory, sealing=SEALING) as store:
            await check_copies(store, source, target, 3)


async def test_copies_that_cross_end(tmp_path: Path) -> None:
    """Into each other's sources, through two openings: nobody waits for who waits for it."""
    directory = tmp_path / "store"
    async with open_file_store(directory) as one, open_file_store(directory) as two:
        names = [f"c{number}" for number in range(6)]
        for name in names:
            await one.append_messages(OWNER, name, [user(f"m-{name}")])

        async def cross(store: FileConversationStore, order: list[str]) -> None:
            for place, name in enumerate(order):
                await store.merge_conversations(OWNER, order, name)
                await store.fork_conversation(OWNER, name)
                await store.merge_conversations(OWNER, [name, order[place - 1]], name)

        with anyio.fail_after(60):
            async with anyio.create_task_group() as tasks:
                for store in (one, two):
                    for order in (names, names[::-1]):
                        tasks.start_soon(cross, store, order)
        for name in names:
            assert sorted(map(str, await load_ids(one, name))) == [f"m-{name}" for name in names]


async def test_a_source_that_is_rewritten_meanwhile_is_forked_as_it_was_or_is(
    tmp_path: Path,
) -> None:
    directory = tmp_path / "store"
    states = [users(300, size=300), users(300, size=300)[::-1]]
    async with (
        open_file_store(directory, sealing=SEALING) as one,
        open_file_store(directory, sealing=SEALING) as two,
    ):
        version = (await one.append_messages(OWNER, ID, states[0])).version
        forked = 0
        refusals: list[str] = []

        async def rewrite() -> None:
            nonlocal version
            for number in range(1, 30):
                wanted = states[number % 2]
                saved = await two.save_conversation(OWNER, ID, wanted, expected_version=version)
                version = saved.version

        async def fork() -> None:
            nonlocal forked
            for number in range(15):
                try:
                    await one.fork_conversation(OWNER, ID, new_conversation_id=f"f{number}")
                except UnavailableError as error:
                    refusals.append(str(error))
                else:
                    forked += 1

        with anyio.fail_after(60):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(rewrite)
                tasks.start_soon(fork)
        assert all("rewritten" in refusal for refusal in refusals)
        ids = [[m.message_id for m in state] for state in states]
        found = [i for i in await list_ids(one) if i != ID]
        assert len(found) == forked > 0
        for conversation_id in found:
            assert await load_ids(one, conversation_id) in ids


async def test_a_merge_into_a_source_loses_nothing_that_is_appended_meanwhile(
    tmp_path: Path,
) -> None:
    directory = tmp_path / "store"
    async with open_file_store(directory) as one, open_file_store(directory) as two:
        await one.append_messages(OWNER, "other", users(50))

        async def append() -> None:
            for number in range(40):
                await two.append_messages(OWNER, ID, [user(f"a{number}")])

        async def merge() -> None:
            for number in range(10):
                await one.append_messages(OWNER, "other", [user(f"b{number}")])
                await one.merge_conversations(OWNER, ["other", ID], ID)

        await one.append_messages(OWNER, ID, [user("first")])
        with anyio.fail_after(60):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(append)
                tasks.start_soon(merge)
        ids = await load_ids(one)
        assert len(ids) == len(set(ids)) == 1 + 40 + 50 + 10


texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
floats = st.floats(allow_nan=False, allow_infinity=False)
json_values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64) | floats | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)
objects = st.dictionaries(texts, json_values, max_size=3)
text_blocks: st.SearchStrategy[dict[str, Any]] = texts.map(
    lambda text: {"type": "text", "text": text}
)
blocks = text_blocks | objects.map(lambda fields: {**fields, "type": "x.of another"})
message_lists = st.lists(
    st.builds(
        Message,
        message_id=st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=9),
        role=st.sampled_from(["user", "assistant", "tool", "system"]),
        content=texts.map(lambda text: text or "x") | st.lists(blocks, min_size=1, max_size=3),
        name=st.none() | texts,
        thoughts=st.none() | texts,
        tool_call_id=st.none() | texts,
        is_error=st.none() | st.booleans(),
        turn_id=st.none() | texts,
        metadata=st.none() | objects,
        annotations=st.none() | objects,
        created_at=st.none() | st.datetimes(timezones=st.just(UTC)).map(lambda at: at.isoformat()),
    ),
    unique_by=lambda message: message.message_id,
    max_size=5,
)


@pytest.mark.slow
def test_whatever_is_stored_is_exported_imported_and_forked_equal(tmp_path: Path) -> None:
    @settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(message_lists, texts, st.lists(texts.filter(bool), unique=True, max_size=3), objects)
    def check(messages: list[Message], title: str, tags: list[str], metadata: Any) -> None:
        anyio.run(check_equal, messages, ConversationUpdate(title=title, tags=tags))
        anyio.run(check_equal, messages, ConversationUpdate(metadata=metadata))

    async def check_equal(messages: list[Message], update: ConversationUpdate) -> None:
        async with open_file_store(tmp_path / "store", durability="interval") as store:
            await store.delete_conversation(OWNER, ID)
            await store.delete_conversation("bob", ID)
            await store.append_messages(OWNER, ID, [*messages, user("last")])
            await store.update_conversation(OWNER, ID, update)
            async for page in export_pages(store):
                await store.import_conversation("bob", ConversationDocument.model_validate(page))
            stored = await load(store, ID)
            assert (await store.load_conversation("bob", ID)).messages == stored
            found = [await store.get_conversation(owner, ID) for owner in (OWNER, "bob")]
            one, two = (each.model_dump(exclude={"owner", "version"}) for each in found)
            assert one == two
            forked = await store.fork_conversation(OWNER, ID)
            copies = await load(store, forked.conversation_id)
            assert [m.content_key() for m in copies] == [m.content_key() for m in stored]
            await store.delete_conversation(OWNER, forked.conversation_id)

    check()


async def peak_of(work: Callable[[], Coroutine[Any, Any, object]]) -> int:
    """Bytes of memory that were used at most beyond those used before."""
    tracemalloc.reset_peak()
    before, _ = tracemalloc.get_traced_memory()
    await work()
    return tracemalloc.get_traced_memory()[1] - before


@pytest.mark.slow
async def test_memory_does_not_grow_with_what_is_exported_imported_or_forked(
    tmp_path: Path,
) -> None:
    async with open_file_store(tmp_path / "store", durability="interval") as store:
        for start in range(0, 30_000, 1_000):
            await store.append_messages(OWNER, ID, users(1_000, start, size=400))
        for number in range(0, 30_000, 500):
            await store.annotate_message(OWNER, ID, f"m{number}", {"k": number})

        async def export() -> None:
            count = 0
            async for page in export_pages(store):
                count += len(page["messages"])
            assert count == 30_000

        async def export_text() -> None:
            size = 0
            async for page in export_pages(store, format="markdown"):
                size += len(page)
            assert size > 12_000_000

        async def fork() -> None:
            forked = await store.fork_conversation(OWNER, ID)
            assert forked.message_count == 30_000

        async def repeat_import() -> None:
            for start in (0, 15_000, 29_500):
                page = document(users(1_000, start, size=400))
                result = await store.import_conversation(OWNER, page)
                assert result.repeated == (1_000 if start < 29_000 else 500)

        tracemalloc.start()
        try:
            peaks = {
                work.__name__: await peak_of(work)
                for work in (export, export_text, fork, repeat_import)
            }
        finally:
            tracemalloc.stop()
        assert max(peaks.values()) < 16 * MIB, peaks
