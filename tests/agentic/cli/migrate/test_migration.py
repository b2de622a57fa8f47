"""All that one store holds is in the other afterwards, once, whatever came between."""

import re
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from agentic.cli.migrate.rounds import MAX_ROUNDS
from servers.conversations.contract import Message
from servers.conversations.store import ConversationStore
from servers.conversations.store_values import ConversationUpdate
from tests.agentic.cli.migrate.two_stores import Kind, TwoStores, everything, fill, open_two
from tests.servers.conversations.messages import assistant, user


@pytest.mark.parametrize(
    ("source", "target"), [("file", "file"), ("model", "file"), ("file", "model")]
)
async def test_everything_of_all_owners_arrives_and_a_second_run_reads_no_history(
    tmp_path: Path, source: Kind, target: Kind
) -> None:
    async with open_two(tmp_path, source, target) as two:
        await fill(two.source)
        before = await everything(two.source)
        tally = await two.migrate()
        assert await everything(two.source) == await everything(two.target) == before
        assert tally.problems() == []
        assert tally.count() == {"copied": 12}
        assert (tally.messages_copied, tally.attachments_copied) == (136, 2)
        rows = tally.to_json()["conversations"]
        assert {row["messages"] for row in rows} == {0, 3, 31}
        assert len({row["sha256"] for row in rows}) == len(rows)

        again = await two.migrate()
        assert again.count() == {"unchanged": 12}
        assert again.to_json()["conversations"] == [{**row, "outcome": "unchanged"} for row in rows]
        assert two.called("target") == {"list_conversations", "list_deliveries"}
        assert "export_conversation" not in two.called("source")
        assert await everything(two.target) == before


class StoppedError(Exception):
    """The process was killed here."""


def stop_at(two: TwoStores, number: int) -> None:
    """Let the call of this number be the last."""

    def judge(server: str, tool: str) -> None:
        if len(two.hub.calls) >= number:
            raise StoppedError

    two.hub.before = judge


def pages_of(count: int) -> list[Message]:
    """Messages that need as many pages."""
    return [user(f"{n}", "x" * 300_000) for n in range(count)]


async def fill_little(store: ConversationStore) -> None:
    await store.append_messages("ada", "c", pages_of(3))
    await store.update_conversation("ada", "c", ConversationUpdate(title="t", tags=["x"]))
    await store.annotate_message("ada", "c", "1", {"delivery": {"state": "pending"}})
    await store.put_attachment("ada", "c", b"x" * 600_000, name="n", mime_type="a/b")
    await store.append_messages("bob", "d", [user("m")])


@pytest.mark.slow  # one store after the other is filled
async def test_stopped_at_any_call_it_goes_on_and_nothing_is_there_twice(tmp_path: Path) -> None:
    async with open_two(tmp_path) as two:
        await fill_little(two.source)
        await two.migrate()
        number_of_calls = len(two.hub.calls)
    assert number_of_calls > 30
    for number in range(1, number_of_calls + 1, 4):
        async with open_two(tmp_path / str(number)) as two:
            await fill_little(two.source)
            stop_at(two, number)
            with pytest.raises((StoppedError, BaseExceptionGroup)):
                await two.migrate()
            two.hub.before = lambda server, tool: None
            tally = await two.migrate()
            assert tally.problems() == []
            assert await everything(two.target) == await everything(two.source)


async def test_a_large_conversation_goes_on_at_the_page_where_it_was_stopped(
    tmp_path: Path,
) -> None:
    async with open_two(tmp_path) as two:
        await two.source.append_messages("ada", "c", pages_of(3))
        imports: list[str] = []

        def judge(server: str, tool: str) -> None:
            imports.extend([tool] if tool == "import_conversation" else [])
            if len(imports) == 2:
                raise StoppedError

        two.hub.before = judge
        with pytest.raises(BaseExceptionGroup):
            await two.migrate()
        two.hub.before = lambda server, tool: None
        tally = await two.migrate()
        assert (tally.messages_copied, tally.count()) == (2, {"extended": 1})
        assert await everything(two.target) == await everything(two.source)


async def test_what_is_written_meanwhile_is_caught_up(tmp_path: Path) -> None:
    async with open_two(tmp_path) as two:
        await fill(two.source)
        written: list[str] = []

        async def write() -> None:
            await two.source.append_messages("ada", "../é", [user("meanwhile")])
            await two.source.append_messages("new", "c", [user("new")])
            await two.source.annotate_message(
                "bob", "telegram:1", "late", {"delivery": {"state": "delivered", "chat_id": 1}}
            )

        def judge(server: str, tool: str) -> Awaitable[None] | None:
            if server == "target" and tool == "list_conversations" and not written:
                written.append(tool)
            elif server == "target" and tool == "export_conversation" and len(written) < 90:
                written.append(tool)
                return write() if len(written) == 12 else None
            return None

        two.hub.before = judge
        tally = await two.migrate()
        assert len(written) > 12
        assert tally.rounds > 1
        assert tally.problems() == []
        assert await everything(two.target) == await everything(two.source)


async def test_a_source_that_is_written_to_all_the_time_ends_it_after_some_rounds(
    tmp_path: Path,
) -> None:
    async with open_two(tmp_path) as two:
        await two.source.append_messages("ada", "c", [user("m")])

        def judge(server: str, tool: str) -> Awaitable[object] | None:
            if (server, tool) == ("source", "list_owners"):
                return two.source.append_messages("ada", "c", [user()])
            return None

        two.hub.before = judge
        tally = await two.migrate()
        assert tally.rounds == MAX_ROUNDS
        assert tally.problems() == []


async def test_what_was_delivered_since_is_not_delivered_again(tmp_path: Path) -> None:
    async with open_two(tmp_path) as two:
        for owner in ("ada", "bob"):
            waiting = assistant("r", annotations={"delivery": {"state": "pending"}})
            await two.source.append_messages(owner, "c", [user("m"), waiting])
        await two.migrate()
        assert len((await two.target.list_deliveries("pending")).deliveries) == 2
        delivered = {"delivery": {"state": "delivered", "sent": [7]}, "feedback": "up"}
        await two.source.annotate_message("ada", "c", "r", delivered)
        tally = await two.migrate()
        assert (tally.annotations_copied, tally.count()) == (1, {"extended": 1, "unchanged": 1})
        [left] = (await two.target.list_deliveries("pending")).deliveries
        assert left.owner == "bob"
        assert await everything(two.target) == await everything(two.source)


async def test_what_no_version_tells_is_found_by_a_thorough_run(tmp_path: Path) -> None:
    async with open_two(tmp_path) as two:
        await two.source.append_messages("ada", "c", [user("m")])
        await two.migrate()
        await two.source.annotate_message("ada", "c", "m", {"feedback": "up"})
        assert (await two.migrate()).count() == {"unchanged": 1}
        assert (await two.migrate(thorough=True)).count() == {"extended": 1}
        assert await everything(two.target) == await everything(two.source)


async def test_titles_tags_and_metadata_follow_the_source(tmp_path: Path) -> None:
    async with open_two(tmp_path) as two:
        await two.source.append_messages("ada", "c", [user("m")])
        first = ConversationUpdate(title="a", tags=["x"], metadata={"a": 1, "b": 2})
        await two.source.update_conversation("ada", "c", first)
        await two.migrate()
        second = ConversationUpdate(
            title=None, tags=["y"], metadata={"a": None, "c": 3}, expires_at="2100-01-01T00:00:00Z"
        )
        await two.source.update_conversation("ada", "c", second)
        assert (await two.migrate()).count() == {"extended": 1}
        assert await everything(two.target) == await everything(two.source)
        assert (await two.migrate()).count() == {"unchanged": 1}


async def continue_there(store: ConversationStore) -> None:
    await store.append_messages("ada", "c", [user("continued")])


async def change_there(store: ConversationStore) -> None:
    version = await store.read_version("ada", "c")
    changed = [user("m0", "other words"), user("m1")]
    await store.save_conversation("ada", "c", changed, expected_version=version)


async def retitle_there(store: ConversationStore) -> None:
    await store.update_conversation("ada", "c", ConversationUpdate(title="theirs"))


async def deliver_there(store: ConversationStore) -> None:
    await store.annotate_message("ada", "c", "m1", {"delivery": "delivered"})


async def annotate_there(store: ConversationStore) -> None:
    await store.annotate_message("ada", "c", "m0", {"theirs": 1})


async def attach_there(store: ConversationStore) -> None:
    await store.put_attachment("ada", "c", b"x", name="n", mime_type="a/b", attachment_id="x")


async def begin_anew_there(store: ConversationStore) -> None:
    await store.delete_conversation("ada", "c")
    await store.append_messages("ada", "c", [user("m0"), user("m1")])


@pytest.mark.parametrize("has_run_before", [True, pytest.param(False, marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (continue_there, "goes on behind its 2 messages"),
        (change_there, "message 1 is another one there"),
        (retitle_there, "its title there is"),
        (deliver_there, "'delivered' there and 'pending' at the source"),
        (annotate_there, r"annotations there that the source has not: \['theirs'\]"),
        (attach_there, "0 attachments of 0 bytes at the source, 1 of 1 at the target"),
        (begin_anew_there, "is another one there"),
    ],
)
async def test_what_is_other_at_the_target_is_told_and_left_and_the_others_go_on(
    tmp_path: Path,
    change: Callable[[ConversationStore], Awaitable[None]],
    problem: str,
    has_run_before: bool,
) -> None:
    async with open_two(tmp_path) as two:
        for conversation_id in ("b", "c", "d"):
            messages = [user("m0"), user("m1", annotations={"delivery": "pending"})]
            await two.source.append_messages("ada", conversation_id, messages)
        await two.migrate()
        if not has_run_before:
            two.journal.unlink()
        await change(two.target)
        before = await everything(two.target)
        for conversation_id in ("b", "d", "new"):
            await two.source.append_messages("ada", conversation_id, [user("more")])
        tally = await two.migrate(thorough=True)
        [told] = tally.problems()
        assert told.startswith("c of ada: ")
        assert re.search(problem, told)
        after = await everything(two.target)
        assert after["ada c"] == before["ada c"]
        assert after["delivered"] == before["delivered"]
        assert {len(after[f"ada {name}"][1]) for name in ("b", "d")} == {3}
        assert "ada new" in after
        assert tally.count()["differing"] == 1
        again = await two.migrate()
        assert again.problems() == [told]


async def test_what_was_continued_at_the_target_comes_back_the_other_way(tmp_path: Path) -> None:
    async with open_two(tmp_path) as two:
        await fill(two.source)
        await two.migrate()
        await two.target.append_messages("bob", "../é", [user("continued")])
        tally = await two.migrate(backwards=True)
        assert (tally.problems(), tally.messages_copied) == ([], 1)
        assert await everything(two.target) == await everything(two.source)


async def test_what_only_the_target_has_stays_there(tmp_path: Path) -> None:
    async with open_two(tmp_path) as two:
        await two.target.append_messages("ada", "theirs", [user("m")])
        await two.source.append_messages("ada", "mine", [user("m")])
        tally = await two.migrate()
        assert (tally.only_on_target, tally.problems()) == (1, [])
        listed = (await two.target.list_conversations("ada")).conversations
        assert {each.conversation_id for each in listed} == {"mine", "theirs"}


async def test_a_journal_that_is_damaged_or_lost_costs_time_only(tmp_path: Path) -> None:
    async with open_two(tmp_path) as two:
        await fill(two.source)
        await two.migrate()
        before = await everything(two.target)
        two.journal.write_bytes(b"garbage" * 1_000)
        assert (await two.migrate()).count() == {"equal": 12}
        assert (await two.migrate()).count() == {"unchanged": 12}
        two.journal.unlink()
        two.journal.mkdir()
        assert (await two.migrate()).count() == {"equal": 12}
        assert await everything(two.target) == before


async def test_a_target_that_was_emptied_is_filled_again(tmp_path: Path) -> None:
    async with open_two(tmp_path) as two:
        await two.source.append_messages("ada", "c", [user("m")])
        await two.migrate()
        await two.target.delete_conversation("ada", "c")
        assert (await two.migrate()).count() == {"copied": 1}
        assert await everything(two.target) == await everything(two.source)


async def test_what_is_deleted_or_rewritten_while_it_is_read_is_read_again(tmp_path: Path) -> None:
    async with open_two(tmp_path) as two:
        for name in ("gone", "cleared"):
            await two.source.append_messages("ada", name, pages_of(3))
        read: list[str] = []

        async def rewrite() -> None:
            await two.source.delete_conversation("ada", "gone")
            version = await two.source.read_version("ada", "cleared")
            few = pages_of(1)
            await two.source.save_conversation("ada", "cleared", few, expected_version=version)

        def judge(server: str, tool: str) -> Awaitable[None] | None:
            if (server, tool) == ("target", "import_conversation"):
                read.append(tool)
                return rewrite() if len(read) == 2 else None
            return None

        two.hub.before = judge
        tally = await two.migrate()
        assert len(read) > 2
        told = tally.problems()
        assert len(told) <= 1
        assert all("goes on behind its 1 messages" in each for each in told)


@pytest.mark.slow  # so many messages lie between the two
async def test_an_id_that_stands_for_two_messages_arrives_as_two(tmp_path: Path) -> None:
    """A store forgets ids that are thousands of messages away."""
    async with open_two(tmp_path, "file", "file") as two:
        for start in range(0, 5_000, 1_000):
            batch = [user(f"m{number}", "x") for number in range(start, start + 1_000)]
            await two.source.append_messages("ada", "c", batch)
        later = [user("m0", "another"), assistant("m0/1", "an answer", turn_id="m0"), user("m1")]
        await two.source.append_messages("ada", "c", later)
        tally = await two.migrate()
        assert tally.problems() == []
        page = await two.target.load_conversation("ada", "c", limit=3)
        assert [(each.message_id, each.turn_id) for each in page.messages] == [
            ("m0~2", None),
            ("m0/1", "m0~2"),
            ("m1~2", None),
        ]
        assert page.messages[0].content == "another"
        assert await two.target.read_version("ada", "c") > 0
        assert (await two.migrate()).count() == {"unchanged": 1}
        await two.source.append_messages("ada", "c", [user("m2", "x")])
        assert (await two.migrate()).count() == {"extended": 1}
        stored = await two.target.get_conversation("ada", "c")
        assert stored.message_count == 5_004
