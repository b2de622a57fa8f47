"""The embedded store's rows that lag behind what was appended, until somebody asks."""

import errno
import os
import sqlite3
import struct
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from itertools import count, islice
from pathlib import Path

import anyio
import pytest
from anyio.from_thread import BlockingPortal

from servers.conversations.file_catalogue import CATALOGUE_LAYOUT
from servers.conversations.file_catalogue_check import CatalogueCheck
from servers.conversations.file_directory import INDEX_NAME, key_of, open_directory
from servers.conversations.file_index import FileIndex
from servers.conversations.file_lag import LagSigns
from servers.conversations.file_locks import LockStripes, stripe_of
from servers.conversations.file_sealing import Sealing
from servers.conversations.file_store import FileConversationStore, open_file_store
from servers.conversations.store_errors import UnavailableError
from servers.conversations.store_values import ConversationUpdate
from tests.servers.conversations.messages import ID, OWNER, assistant, user, users
from tests.servers.conversations.own_sync import open_store_with
from tests.servers.conversations.stored_files import file_of, index_files, make_old

PENDING = {"delivery": "pending"}


def row_of(directory: Path, conversation_id: str = ID) -> tuple[int, int]:
    """Up to where the index holds a conversation, and the time of its file then."""
    with closing(sqlite3.connect(directory / INDEX_NAME)) as connection:
        sql = "SELECT end, mtime_ns FROM conversations WHERE key = ?"
        return connection.execute(sql, (key_of(OWNER, conversation_id),)).fetchone()


def row_end(directory: Path) -> int:
    return row_of(directory)[0]


async def told(store: FileConversationStore) -> list[object]:
    """All that the index tells of conversations."""
    listed = (await store.list_conversations(OWNER)).conversations
    deliveries = (await store.list_deliveries("pending")).deliveries
    figures = [await store.get_conversation(OWNER, c.conversation_id) for c in listed]
    return [listed, deliveries, figures]


async def test_a_row_follows_when_somebody_asks_and_tells_what_a_new_index_would(
    tmp_path: Path,
) -> None:
    directory = tmp_path / "s"
    with anyio.fail_after(30):
        async with (
            open_file_store(directory, sealing=Sealing(after_bytes=3_000)) as one,
            open_file_store(directory) as two,
        ):
            await one.append_messages(OWNER, ID, users(2))
            begun = row_end(directory)
            usage = {"usage": {"input_tokens": 3, "output_tokens": 4}}
            await one.append_messages(OWNER, ID, [assistant("a", metadata=usage)])
            await one.append_messages(OWNER, ID, [user("b", annotations=PENDING)])
            await one.update_conversation(OWNER, ID, ConversationUpdate(title="t", tags=["x"]))
            await one.annotate_message(OWNER, ID, "m1", PENDING)
            assert row_end(directory) == begun
            assert (await two.get_conversation(OWNER, ID)).message_count == 4
            assert row_end(directory) == file_of(directory).stat().st_size
            await two.append_messages(OWNER, ID, users(20, start=4, size=200))  # seals
            before = await told(one)
            assert before == await told(two)
        for file in index_files(directory):
            file.unlink()
        async with open_file_store(directory) as store:
            assert await told(store) == before


async def test_a_listing_compares_what_is_named_and_nothing_else(tmp_path: Path) -> None:
    directory = tmp_path / "s"
    with anyio.fail_after(30):
        async with open_file_store(directory) as store:
            await store.append_messages(OWNER, "other", users(1))
            await store.append_messages(OWNER, ID, users(1))
            await told(store)
            before = row_of(directory, "other")
            make_old(file_of(directory, "other"))  # nobody says so
            await store.append_messages(OWNER, ID, users(2))
            assert (await store.list_conversations(OWNER)).conversations[0].message_count == 2
            assert row_end(directory) == file_of(directory).stat().st_size
            assert row_of(directory, "other") == before
        async with open_file_store(directory) as store:
            assert len((await store.list_conversations(OWNER)).conversations) == 2
            assert row_of(directory, "other") != before


async def test_more_files_than_have_room_to_be_named_are_all_listed(tmp_path: Path) -> None:
    directory = tmp_path / "s"
    stripe = stripe_of(key_of(OWNER, "0"))
    same = (str(n) for n in count() if stripe_of(key_of(OWNER, str(n))) == stripe)
    names = list(islice(same, 10))
    with anyio.fail_after(30):
        async with (
            open_file_store(directory, durability="interval") as one,
            open_file_store(directory) as two,
        ):
            for number in range(2):
                for name in names:
                    await one.append_messages(OWNER, name, [user(f"m{number}")])
                listed = (await two.list_conversations(OWNER)).conversations
                counts = {each.conversation_id: each.message_count for each in listed}
                assert counts == dict.fromkeys(names, number + 1)


async def test_a_row_is_brought_on_before_much_is_missing_and_at_the_end(tmp_path: Path) -> None:
    directory = tmp_path / "s"
    with anyio.fail_after(30):
        async with open_file_store(directory, durability="interval", sealing=None) as store:
            for number in range(8):
                await store.append_messages(OWNER, ID, [user(f"m{number}", "x" * 200_000)])
            assert 1_200_000 < row_end(directory) < 1_500_000 < file_of(directory).stat().st_size
    assert row_end(directory) == file_of(directory).stat().st_size


async def test_figures_are_right_after_what_a_reader_counted_was_taken_back(
    tmp_path: Path,
) -> None:
    directory = tmp_path / "s"
    async with (
        open_file_store(directory) as reader,
        BlockingPortal() as portal,
    ):
        seen: list[int] = []

        def fail_when_read(fd: int) -> None:
            os.fdatasync(fd)
            if not seen and file_of(directory).stat().st_size > 1_000:
                found = portal.call(reader.get_conversation, OWNER, ID)
                seen.append(found.message_count)
                raise OSError(errno.EIO, "I/O error")

        with anyio.fail_after(30):
            async with open_store_with(fail_when_read, directory) as store:
                await store.append_messages(OWNER, ID, [user("a")])
                with pytest.raises(UnavailableError):
                    await store.append_messages(OWNER, ID, [user("b", "x" * 1_000)])
                assert seen == [2]
                await store.append_messages(OWNER, ID, [assistant("c", "y" * 3_000)])
                found = await reader.get_conversation(OWNER, ID)
        assert found.message_count == 2
        assert found.stats.messages_by_role == {"user": 1, "assistant": 1}


class OvertakenSigns(LagSigns):
    """Something happens just after the next time they are read."""

    then: Callable[[], None] | None = None

    def read(self) -> tuple[Sequence[int], Sequence[int]]:
        found = super().read()
        then, self.then = self.then, None
        if then:
            then()
        return found


async def test_what_a_writer_gives_up_on_while_somebody_looks_at_what_is_named_is_compared(
    tmp_path: Path,
) -> None:
    directory = tmp_path / "s"
    with anyio.fail_after(30), ExitStack() as stack:
        async with open_file_store(directory) as store:
            await store.append_messages(OWNER, ID, users(1))
            opened = stack.enter_context(open_directory(directory))
            locks = stack.enter_context(closing(LockStripes(opened)))
            index = FileIndex(directory / INDEX_NAME, locks, CATALOGUE_LAYOUT)
            stack.enter_context(closing(index))
            signs = stack.enter_context(closing(OvertakenSigns(opened)))
            check = CatalogueCheck(opened, index, signs)
            check.run()
            await store.append_messages(OWNER, ID, users(2))
            assert row_end(directory) < file_of(directory).stat().st_size
            signs.then = lambda: signs.give_up(stripe_of(key_of(OWNER, ID)))
            check.run()
            assert row_end(directory) == file_of(directory).stat().st_size


def of_an_earlier_program(path: Path) -> None:
    path.write_bytes(struct.pack("<64Q", *range(64)))


def garbage(path: Path) -> None:
    path.write_bytes(b"../x" * 10_000)


@pytest.mark.parametrize("harm", [of_an_earlier_program, garbage])
async def test_signs_that_say_something_else_cost_a_comparison_only(
    tmp_path: Path, harm: Callable[[Path], None]
) -> None:
    directory = tmp_path / "s"
    with anyio.fail_after(30):
        async with open_file_store(directory) as one, open_file_store(directory) as two:
            await one.append_messages(OWNER, ID, users(1))
            assert await told(two) == await told(one)
            await one.append_messages(OWNER, ID, users(2))
            (directory / "lag").unlink()
            harm(directory / "lag")
            assert (await two.list_conversations(OWNER)).conversations[0].message_count == 2
            await one.append_messages(OWNER, ID, users(3))
            assert (await two.list_conversations(OWNER)).conversations[0].message_count == 3
