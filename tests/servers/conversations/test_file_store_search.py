"""The embedded store's search: what it keeps beside the conversations, and when that is wrong."""

import signal
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from servers.conversations.file_engine import open_file_engine
from servers.conversations.file_expiry import Expiry
from servers.conversations.file_search import FileSearch, open_file_search
from servers.conversations.file_store import FileConversationStore, open_file_store
from servers.conversations.file_sweeper import Sweeping
from servers.conversations.search_query import parse_query
from servers.conversations.store_errors import InvalidError, UnavailableError
from servers.conversations.store_values import ConversationUpdate
from tests.servers.conversations.crowded_reader import SPARE
from tests.servers.conversations.messages import ID, OWNER, in_seconds, list_ids, user
from tests.servers.conversations.stored_files import file_of, index_files, make_indexes_anew


async def find(store: FileConversationStore, query: str, owner: str = OWNER) -> list[str]:
    found = await store.search_conversations(owner, query, limit=100)
    assert not found.truncated
    return sorted(f"{hit.conversation_id}/{hit.message_id}" for hit in found.hits)


def search_files(directory: Path) -> list[Path]:
    return sorted(directory.glob("search.sqlite3*"))


def remove(files: list[Path]) -> None:
    assert files
    for file in files:
        file.unlink()


@asynccontextmanager
async def open_with_search(
    directory: Path,
) -> AsyncGenerator[tuple[FileConversationStore, FileSearch]]:
    async with open_file_engine(directory) as engine, open_file_search(engine) as search:
        yield FileConversationStore(engine, search), search


async def fill(store: FileConversationStore, count: int = 3) -> None:
    for number in range(count):
        await store.append_messages(OWNER, f"c{number}", [user("m", f"apple number{number}")])
    await store.update_conversation(OWNER, "c0", ConversationUpdate(title="Fruit"))


ALL = ["c0/m", "c1/m", "c2/m"]


async def test_what_another_process_appended_is_found_at_once(tmp_path: Path) -> None:
    async with open_file_store(tmp_path / "s") as one, open_file_store(tmp_path / "s") as two:
        await fill(one)
        assert await find(two, "apple") == ALL
        await one.append_messages(OWNER, "c1", [user("n", "apple pie")])
        assert await find(two, "pie") == ["c1/n"]
        await two.append_messages(OWNER, "c1", [user("o", "apple pie")])
        assert await find(one, "pie") == ["c1/n", "c1/o"]
        await two.delete_conversation(OWNER, "c1")
        assert await find(one, "apple") == ["c0/m", "c2/m"]


@pytest.mark.parametrize("harm", ["search", "catalogue", "both", "old copy of search"])
async def test_either_index_is_made_anew_when_it_is_gone_or_put_back(
    tmp_path: Path, harm: str
) -> None:
    directory = tmp_path / "s"
    async with open_file_store(directory) as store:
        await fill(store, 2)
        assert await find(store, "apple") == ALL[:2]
    kept = {file: file.read_bytes() for file in search_files(directory)}
    async with open_file_store(directory) as store:
        await fill(store)
        await store.append_messages(OWNER, "c0", [user("n", "apple again")])
        assert await find(store, "apple") == ["c0/m", "c0/n", "c1/m", "c2/m"]
    if harm != "catalogue":
        remove(search_files(directory))
    if harm in ("catalogue", "both"):
        remove(index_files(directory))
    if harm == "old copy of search":
        for file, data in kept.items():
            file.write_bytes(data)
    async with open_file_store(directory) as store:
        assert await find(store, "apple") == ["c0/m", "c0/n", "c1/m", "c2/m"]
        assert await find(store, "fruit") == ["c0/None"]
        await store.delete_conversation(OWNER, "c2")
        assert await find(store, "apple") == ["c0/m", "c0/n", "c1/m"]


@pytest.mark.parametrize("later", [1, 5, 9])
@pytest.mark.parametrize("is_read_between", [True, False])
async def test_what_follows_a_file_of_before_that_was_brought_back_is_found(
    tmp_path: Path, later: int, is_read_between: bool
) -> None:
    """From a back-up, or because a power loss took the end away: the indexes are of after that."""
    directory = tmp_path / "s"
    async with open_file_store(directory) as store:
        await store.append_messages(OWNER, ID, [user(f"{n}", "first pear") for n in range(3)])
    before = file_of(directory).read_bytes()
    async with open_file_store(directory) as store:
        await store.append_messages(OWNER, ID, [user(f"a{n}", "lost apple") for n in range(5)])
        assert len(await find(store, "apple")) == 5
    file_of(directory).write_bytes(before)
    async with open_file_store(directory) as store:
        if is_read_between:
            assert await find(store, "apple") == []
        found = [f"{ID}/b{n}" for n in range(later)]
        for n in range(later):
            await store.append_messages(OWNER, ID, [user(f"b{n}", "fresh plum")])
        assert await find(store, "plum") == found
        assert len(await find(store, "pear")) == 3
        assert await find(store, "apple") == []
        await store.append_messages(OWNER, ID, [user("end", "fresh plum")])
        assert await find(store, "plum") == [*found, f"{ID}/end"]


async def test_the_search_index_of_another_store_is_not_gone_on_with(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    for directory, fruit, count in ((one, "apple", 4), (other, "pear", 9)):
        async with open_file_store(directory) as store:
            for n in range(count):
                await store.append_messages(OWNER, ID, [user(f"{n}", fruit)])
            assert len(await find(store, fruit)) == count
    remove(search_files(one))
    for file in search_files(other):
        (one / file.name).write_bytes(file.read_bytes())
    async with open_file_store(one) as store:
        assert len(await find(store, "apple")) == 4
        assert await find(store, "pear") == []
        for n in range(9):
            await store.append_messages(OWNER, ID, [user(f"b{n}", "apple")])
        assert len(await find(store, "apple")) == 13


async def test_either_index_may_vanish_while_it_serves(tmp_path: Path) -> None:
    directory = tmp_path / "s"
    async with open_file_store(directory) as store:
        await fill(store)
        for files in (search_files, index_files, search_files):
            assert await find(store, "apple") == ALL
            remove(files(directory))
            assert await find(store, "apple") == ALL


async def test_search_answers_all_or_says_that_it_does_not_while_it_is_made_anew(
    tmp_path: Path,
) -> None:
    async with open_file_store(tmp_path) as store, open_file_engine(tmp_path) as engine:

        async def make_anew() -> None:
            while True:
                await make_indexes_anew(engine)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(make_anew)
            for count in range(1, 101):
                await store.append_messages(OWNER, ID, [user(f"m{count}", f"apple {count}")])
                found = await store.search_conversations(OWNER, "apple", limit=100)
                assert found.truncated or len(found.hits) == count
            tasks.cancel_scope.cancel()
        assert len(await find(store, "apple")) == 100


@pytest.mark.parametrize("content", [b"", b"no database at all", b"x" * 100_000, None])
async def test_a_damaged_or_foreign_search_index_is_made_anew(
    tmp_path: Path, content: bytes | None
) -> None:
    directory = tmp_path / "s"
    async with open_file_store(directory) as store:
        await fill(store)
        assert await find(store, "apple") == ALL
    file = directory / "search.sqlite3"
    if content is None:
        file.unlink()
        with closing(sqlite3.connect(file)) as connection, connection:
            connection.execute("CREATE TABLE state (other)")
    else:
        file.write_bytes(content)
    async with open_file_store(directory) as store:
        assert await find(store, "apple") == ALL
        assert await list_ids(store) == ["c2", "c1", "c0"]


async def test_a_mark_that_is_no_text_is_a_damage_of_the_search_index_alone(tmp_path: Path) -> None:
    async with open_file_store(tmp_path) as store:
        await fill(store)
        assert await find(store, "apple") == ALL
    with closing(sqlite3.connect(tmp_path / "search.sqlite3")) as connection, connection:
        connection.executescript("""
            CREATE TABLE other AS SELECT * FROM state; DROP TABLE state;
            ALTER TABLE other RENAME TO state; UPDATE state SET mark = NULL;
        """)  # as a flipped bit in a record's header does
    async with open_file_store(tmp_path) as store:
        assert await find(store, "apple") == ALL
        assert await list_ids(store) == ["c2", "c1", "c0"]


async def test_damage_inside_the_search_index_never_harms_another_verb(tmp_path: Path) -> None:
    directory = tmp_path / "s"
    async with open_file_store(directory) as store:
        await fill(store)
        assert await find(store, "apple") == ALL
    file = directory / "search.sqlite3"
    whole = file.read_bytes()
    for page in range(0, len(whole), 4_096):
        file.write_bytes(whole[: page + 100] + b"\xff" * 1_000 + whole[page + 1_100 :])
        async with open_file_store(directory) as store:
            try:
                found = await store.search_conversations(OWNER, "apple")
                assert {hit.conversation_id for hit in found.hits} <= {"c0", "c1", "c2"}
            except UnavailableError:
                pass
            assert await list_ids(store) == ["c2", "c1", "c0"]


@pytest.mark.parametrize(
    "change",
    [
        "conversation_id = CAST(conversation_id AS BLOB)",
        "conversation_id = 'c2', end = 1",
        "generation = 'x'",
    ],
)
async def test_a_row_of_the_catalogue_that_is_not_as_it_was_written_is_made_anew(
    tmp_path: Path, change: str
) -> None:
    directory = tmp_path / "s"
    async with open_file_store(directory) as store:
        await fill(store)
        assert await find(store, "apple") == ALL
        with closing(sqlite3.connect(directory / "index.sqlite3")) as connection, connection:
            connection.execute("PRAGMA ignore_check_constraints = ON")  # as flipped bits do
            connection.execute(f"UPDATE conversations SET {change} WHERE conversation_id = 'c1'")
        assert await find(store, "apple") == ALL


async def test_a_search_index_that_cannot_be_used_is_an_error_with_advice_and_nothing_else_fails(
    tmp_path: Path,
) -> None:
    directory = tmp_path / "s"
    (directory / "search.sqlite3").mkdir(parents=True)
    async with open_file_store(directory) as store:
        await fill(store)
        with pytest.raises(UnavailableError, match="search"):
            await store.search_conversations(OWNER, "apple")
        assert await list_ids(store) == ["c2", "c1", "c0"]


@pytest.mark.parametrize("name", ["index", "search", "searching"])
async def test_a_lock_that_cannot_be_opened_is_an_error_that_names_it_and_not_an_empty_answer(
    tmp_path: Path, name: str
) -> None:
    directory = tmp_path / "s"
    async with open_file_store(directory) as store:
        await fill(store)
        assert await find(store, "apple") == ALL
    (directory / "locks" / name).unlink()
    (directory / "locks" / name).symlink_to(tmp_path)
    async with open_file_store(directory) as store:
        await store.append_messages(OWNER, ID, [user("new", "pear")])
        with pytest.raises(UnavailableError, match=f"locks/{name}: a symbolic link"):
            await store.search_conversations(OWNER, "pear")
        assert await list_ids(store) == [ID, "c2", "c1", "c0"]


async def test_while_another_process_keeps_it_locked_what_is_in_it_is_found(tmp_path: Path) -> None:
    directory = tmp_path / "s"
    async with open_file_store(directory) as store:
        await fill(store)
        assert await find(store, "apple") == ALL
        path = directory / "search.sqlite3"
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            await store.append_messages(OWNER, ID, [user("new", "apple")])
            await store.delete_conversation(OWNER, "c1")
            found = await store.search_conversations(OWNER, "apple")
            assert sorted(hit.conversation_id for hit in found.hits) == ["c0", "c2"]
            assert found.truncated
            connection.rollback()
        assert await find(store, "apple") == ["c0/m", "c2/m", f"{ID}/new"]


async def test_a_conversation_whose_file_vanished_is_not_found(tmp_path: Path) -> None:
    directory = tmp_path / "s"
    async with open_with_search(directory) as (store, _):
        await fill(store)
        assert await find(store, "apple") == ALL
    file_of(directory, "c1").unlink()
    async with open_with_search(directory) as (store, search):
        assert await find(store, "apple") == ["c0/m", "c2/m"]
        await search.catch_up(60)
        assert b"number1" not in b"".join(file.read_bytes() for file in search_files(directory))


async def test_nothing_of_what_was_deleted_is_left_after_the_upkeep(tmp_path: Path) -> None:
    directory = tmp_path / "s"
    async with open_with_search(directory) as (store, search):
        await fill(store)
        secrets = [user(f"s{n}", f"secretword{n} apple " * 50) for n in range(50)]
        await store.append_messages(OWNER, ID, secrets)
        await store.append_messages(OWNER, "kept", [user("a", "apple"), user("b", "secretword99")])
        await store.update_conversation(OWNER, ID, ConversationUpdate(title="Secretword"))
        await store.update_conversation(OWNER, "kept", ConversationUpdate(title="Secretword"))
        await store.update_conversation(OWNER, "kept", ConversationUpdate(title="A garden"))
        assert len(await find(store, "secretword*")) == 52
        await store.delete_conversation(OWNER, ID)
        version = (await store.load_conversation(OWNER, "kept")).version
        await store.save_conversation(OWNER, "kept", [user("a", "apple")], expected_version=version)
        assert await find(store, "secretword*") == []
        await search.catch_up(60)
        left = b"".join(file.read_bytes() for file in directory.rglob("*") if file.is_file())
        assert b"ecretword" not in left
        assert await find(store, "apple") == [*ALL, "kept/a"]
        assert await find(store, "garden") == ["kept/None"]


async def test_soon_after_a_deletion_its_words_leave_the_index_by_themselves(
    tmp_path: Path,
) -> None:
    directory = tmp_path / "s"

    async def wait_until_gone(word: bytes) -> None:
        with anyio.fail_after(5):
            while word in b"".join(f.read_bytes() for f in search_files(directory)):  # noqa: ASYNC110 - a file
                await anyio.sleep(0.01)

    sweeping = Sweeping(after_deletion_seconds=0)
    async with open_file_store(directory, sweeping=sweeping) as store:
        await fill(store)
        await store.append_messages(OWNER, ID, [user("a", "secretword")])
        await store.append_messages(OWNER, "kept", [user("a", "apple"), user("b", "privateword")])
        assert len(await find(store, "secretword")) == len(await find(store, "privateword")) == 1
        await store.delete_conversation(OWNER, ID)
        await wait_until_gone(b"secretword")
        version = await store.read_version(OWNER, "kept")
        await store.save_conversation(OWNER, "kept", [user("a", "apple")], expected_version=version)
        await wait_until_gone(b"privateword")
        assert await find(store, "apple") == [*ALL, "kept/a"]


async def test_an_expired_conversation_loses_its_entries_though_nobody_wrote_to_it(
    tmp_path: Path,
) -> None:
    async with open_with_search(tmp_path / "s") as (store, search):
        await fill(store)
        assert await find(store, "apple") == ALL
        update = ConversationUpdate(expires_at=in_seconds(-1))
        await store.update_conversation(OWNER, "c1", update)
        assert await find(store, "apple") == ["c0/m", "c2/m"]
        await search.catch_up(60)
        assert await find(store, "apple") == ["c0/m", "c2/m"]


async def test_what_counted_as_expired_for_a_moment_is_found(tmp_path: Path) -> None:
    """As by a clock that ran ahead: it was taken in while it was not there."""
    directory = tmp_path / "s"
    async with open_file_engine(directory) as engine, open_file_search(engine) as search:
        await fill(FileConversationStore(engine, search))
    ahead = Expiry(idle_days=1e-9)
    async with (
        open_file_engine(directory, expiry=ahead) as engine,
        open_file_search(engine) as search,
    ):
        assert await find(FileConversationStore(engine, search), "apple") == []
        await search.catch_up(60)
    async with open_with_search(directory) as (store, _):
        assert await find(store, "apple") == ALL


async def test_where_few_files_can_be_opened_an_answer_is_all_or_says_that_it_is_not(
    tmp_path: Path,
) -> None:
    directory = tmp_path / "s"
    async with open_file_store(directory) as store:
        for number in range(20):
            await store.append_messages(OWNER, f"c{number}", [user("m", "apple")])
    module = "tests.servers.conversations.crowded_reader"
    asked = subprocess.run(
        [sys.executable, "-m", module, str(directory), OWNER, "apple"],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    answers = [line.split() for line in asked.stdout.splitlines()]
    assert len(answers) == len(SPARE)
    assert {answer for line in answers for answer in line[:2]} == {"20", "-"}
    assert all(line[2:] == ["20", "20"] for line in answers)
    assert "damaged" not in asked.stderr


@pytest.mark.slow
async def test_a_long_history_is_found_in_full_and_parts_are_written_anew(tmp_path: Path) -> None:
    directory = tmp_path / "s"
    async with open_with_search(directory) as (store, search):
        for start in range(0, 20_000, 1_000):
            await store.append_messages(
                OWNER,
                "long",
                [user(f"m{n}", f"word{n} common") for n in range(start, start + 1000)],
            )
            await store.append_messages(OWNER, f"other{start}", [user("o", "common rare")])
        await search.catch_up(60)
        assert await find(store, "word19999") == ["long/m19999"]
        assert await find(store, "word0") == ["long/m0"]
        assert len(await find(store, "rare")) == 20
        found = await store.search_conversations(OWNER, "common", limit=100)
        assert (len(found.hits), found.truncated) == (100, True)
        for start in range(0, 20_000, 2_000):
            await store.delete_conversation(OWNER, f"other{start}")
        assert len(await find(store, "rare")) == 10
        await search.catch_up(60)
        assert len(await find(store, "rare")) == 10
        assert await find(store, "word12345") == ["long/m12345"]
        await store.delete_conversation(OWNER, "long")
        await search.catch_up(60)
        assert await find(store, "word*") == []
        assert len(await find(store, "common")) == 10


@pytest.mark.crash
@pytest.mark.parametrize("seconds", [0.05, 0.2, 0.5])
async def test_a_process_killed_while_it_takes_words_in_leaves_an_index_that_goes_on(
    tmp_path: Path, seconds: float
) -> None:
    directory = tmp_path / "s"
    async with open_file_store(directory) as store:
        for number in range(20):
            messages = [user(f"m{n}", f"apple word{n}") for n in range(500)]
            await store.append_messages(OWNER, f"c{number}", messages)
    command = [sys.executable, "-m", "tests.servers.conversations.searching_process", directory]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"begins\n"
        await anyio.sleep(seconds)
        process.kill()
    assert process.returncode in (0, -signal.SIGKILL)
    async with open_file_store(directory) as store:
        with anyio.fail_after(60):
            while (await store.search_conversations(OWNER, "word7")).truncated:
                pass
        assert await find(store, "word7") == sorted(f"c{n}/m7" for n in range(20))


async def test_two_processes_that_search_at_once_read_everything_once(tmp_path: Path) -> None:
    directory = tmp_path / "s"
    async with open_file_store(directory) as one, open_file_store(directory) as two:
        for number in range(30):
            messages = [user(f"m{n}", "apple") for n in range(20)]
            await one.append_messages(OWNER, f"c{number}", messages)
        results: list[int] = []

        async def search(store: FileConversationStore) -> None:
            found = await store.search_conversations(OWNER, "apple", conversation_id="c7")
            results.append(len(found.hits))

        with anyio.fail_after(30):
            async with anyio.create_task_group() as tasks:
                for store in (one, two, one, two):
                    tasks.start_soon(search, store)
        assert results == [20] * 4
        with closing(sqlite3.connect(directory / "search.sqlite3")) as connection:
            assert connection.execute("SELECT count(*) FROM documents").fetchone() == (600,)


@given(st.text() | st.text(alphabet='a*" -+^():{}ANDORT\0\ud800字'))
def test_any_string_is_a_query_or_invalid(query: str) -> None:
    try:
        terms = parse_query(query)
    except InvalidError:
        terms = []
    assert all(term.words for term in terms)


@settings(max_examples=5, deadline=None)
@given(
    queries=st.lists(
        st.text(max_size=60) | st.text(alphabet='ab*" -+^():{}ANDORT字½', max_size=40),
        min_size=5,
        max_size=30,
    )
)
def test_any_string_is_safe_to_search_and_any_text_is_found_by_itself(queries: list[str]) -> None:
    async def run(directory: Path) -> None:
        async with open_file_store(directory) as store:
            for number, query in enumerate(queries):
                try:
                    await store.append_messages(OWNER, f"c{number}", [user("q", query or "x")])
                    found = await store.search_conversations(OWNER, query, limit=100)
                except (InvalidError, ValueError):
                    continue
                assert f"c{number}" in [hit.conversation_id for hit in found.hits]

    with tempfile.TemporaryDirectory() as directory:
        anyio.run(run, Path(directory, "s"))
