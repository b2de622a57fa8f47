"""While a fork or merge is written, others write to its target; whoever was first counts."""

import signal
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from threading import Event

import anyio
import pytest
from anyio import to_thread
from anyio.abc import Process
from anyio.streams.text import TextReceiveStream

from servers.conversations.contract import Message
from servers.conversations.file_changes import to_draft
from servers.conversations.file_copies import ChangedMeanwhileError
from servers.conversations.file_engine import open_file_engine
from servers.conversations.file_records import Draft
from servers.conversations.file_store import FileConversationStore, open_file_store
from servers.conversations.file_targets import Plan, write_target
from servers.conversations.file_upkeep import verify
from servers.conversations.store_values import ConversationUpdate
from tests.servers.conversations.messages import ID, OWNER, load_ids, user, users

NOW = "2026-11-29T00:00:00Z"
LATER = user("later", annotations={"delivery": "pending"})

COUNT = 6_000

Change = Callable[[FileConversationStore], Awaitable[object]]


def unfinished(directory: Path) -> list[Path]:
    return list(directory.glob("v1/*/*.new"))


async def write_meanwhile(
    directory: Path, other: FileConversationStore, change: Change, *, goes_on: bool
) -> bool:
    """Write `a` and `b`, with `change` in the middle of it; whether they were put in place."""
    writing, changed = Event(), Event()

    def draft() -> Iterator[Draft]:
        yield to_draft(user("a"), NOW)
        writing.set()
        assert changed.wait(10)
        yield to_draft(user("b"), NOW)

    async def change_meanwhile() -> None:
        try:
            with anyio.fail_after(10):
                await to_thread.run_sync(writing.wait)
                assert len(unfinished(directory)) == 1
                await change(other)
        finally:
            changed.set()

    async with open_file_engine(directory) as engine, anyio.create_task_group() as tasks:
        tasks.start_soon(change_meanwhile)
        with suppress(ChangedMeanwhileError):
            await write_target(
                *(engine, OWNER, ID),
                lambda opened: Plan(opened.facts, draft, goes_on),
                locked=False,
            )
            return True
    assert unfinished(directory) == []
    return False


async def append(store: FileConversationStore, message: Message = LATER) -> None:
    await store.append_messages(OWNER, ID, [message])


async def append_another_b(store: FileConversationStore) -> None:
    await append(store, user("b", "another"))


async def annotate(store: FileConversationStore) -> None:
    await store.annotate_message(OWNER, ID, "a", {"k": 1})


async def update(store: FileConversationStore) -> None:
    await store.update_conversation(OWNER, ID, ConversationUpdate(title="title"))


async def rewrite(store: FileConversationStore) -> None:
    version = await store.read_version(OWNER, ID)
    await store.save_conversation(OWNER, ID, [LATER], expected_version=version)


async def delete(store: FileConversationStore) -> None:
    await store.delete_conversation(OWNER, ID)


async def delete_and_begin_anew(store: FileConversationStore) -> None:
    await delete(store)
    await append(store, user("a"))


async def test_what_is_appended_to_the_target_of_a_merge_meanwhile_follows(tmp_path: Path) -> None:
    async with open_file_store(tmp_path / "store") as store:
        await store.append_messages(OWNER, ID, [user("a")])
        assert await write_meanwhile(tmp_path / "store", store, append, goes_on=True)
        found = await store.get_conversation(OWNER, ID)
        assert await load_ids(store) == ["a", "b", "later"]
        assert found.message_count == found.stats.messages_by_role["user"] == 3
        assert len((await store.list_deliveries("pending")).deliveries) == 1
        result = await store.append_messages(OWNER, ID, [user("more"), LATER])
        assert (result.appended, result.repeated, result.version > found.version) == (1, 1, True)
    async with open_file_store(tmp_path / "store") as store:
        assert await load_ids(store) == ["a", "b", "later", "more"]
    async with open_file_engine(tmp_path / "store") as engine:
        assert [step.examination.findings async for step in verify(engine)] == [[]]


async def test_after_any_other_change_of_the_target_nothing_is_put_in_its_place(
    tmp_path: Path,
) -> None:
    directory = tmp_path / "store"
    async with (
        open_file_store(directory, durability="interval") as store,
        open_file_store(tmp_path / "same", durability="interval") as same,
    ):
        for change in (append_another_b, annotate, update, rewrite, delete, delete_and_begin_anew):
            for each in (store, same):
                await each.delete_conversation(OWNER, ID)
                await append(each, user("a"))
            assert not await write_meanwhile(directory, store, change, goes_on=True), change
            await change(same)
            assert await load_all(store) == await load_all(same)


@pytest.mark.parametrize("was_there", [False, True])
async def test_who_begins_the_target_of_a_fork_meanwhile_has_it(
    tmp_path: Path, was_there: bool
) -> None:
    async with open_file_store(tmp_path / "store") as store:
        if was_there:
            await append(store)
            await delete(store)
        assert not await write_meanwhile(tmp_path / "store", store, append, goes_on=False)
        assert await load_ids(store) == ["later"]


async def load_all(store: FileConversationStore) -> object:
    loaded = await store.load_conversation(OWNER, ID)
    titles = [facts.title for facts in (await store.list_conversations(OWNER)).conversations]
    contents = [(m.message_id, m.content, m.annotations) for m in loaded.messages]
    return contents, loaded.damaged, titles


async def until(condition: Callable[[], bool]) -> None:
    while True:
        if condition():
            return
        await anyio.sleep(0.001)


@asynccontextmanager
async def stopped_while_it_writes(directory: Path, verb: str) -> AsyncGenerator[Process]:
    """A process that copies `source`, stopped between the beginning of a file and its end."""
    module = "tests.servers.conversations.stopping_process"
    command = [sys.executable, "-m", module, str(directory), verb]
    async with await anyio.open_process(command) as process:
        try:
            await until(lambda: bool(unfinished(directory)))
            process.send_signal(signal.SIGSTOP)
            yield process
        finally:
            with suppress(ProcessLookupError):
                process.kill()


@pytest.mark.slow
@pytest.mark.parametrize("end", ["goes on", "is killed"])
@pytest.mark.parametrize("verb", ["fork", "merge"])
async def test_an_append_does_not_wait_for_a_process_that_is_stopped_while_it_copies(
    tmp_path: Path, verb: str, end: str
) -> None:
    directory, target = tmp_path / "store", "new" if verb == "fork" else "target"
    async with open_file_store(directory, durability="interval") as store:
        for start in range(0, COUNT, 1_000):
            await store.append_messages(OWNER, "source", users(1_000, start, size=300))
        await store.append_messages(OWNER, "target", [user("t")])
        with anyio.fail_after(20):
            async with stopped_while_it_writes(directory, verb) as process:
                await store.append_messages(OWNER, target, [user("later")])
                [file] = unfinished(directory)
                assert file.stat().st_size < COUNT * 300  # it had some way to go
                if end == "goes on":
                    process.send_signal(signal.SIGCONT)
                    assert process.stdout
                    told = "".join([text async for text in TextReceiveStream(process.stdout)])
                    assert told == ("conflict\n" if verb == "fork" else "copied\n")
                    assert unfinished(directory) == []
        own = ["later"] if verb == "fork" else ["t", "later"]
        copied = COUNT if (verb, end) == ("merge", "goes on") else 0
        assert set(await load_ids(store, target)) == {*own, *(f"m{n}" for n in range(copied))}
    if end == "is killed":
        async with open_file_engine(directory) as engine:
            found = [
                f for step in [s async for s in verify(engine)] for f in step.examination.findings
            ]
        assert [(Path(f.file).name, f.is_damage) for f in found] == [(file.name, False)]
