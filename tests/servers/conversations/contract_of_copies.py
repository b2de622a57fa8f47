"""Contract suite: forks and merges."""

from typing import Any

import pytest

from servers.conversations.contract import Message
from servers.conversations.store import ConversationStore
from servers.conversations.store_errors import (
    ConflictError,
    InvalidError,
    NotFoundError,
    TooLargeError,
)
from servers.conversations.store_values import ConversationUpdate
from tests.servers.conversations.messages import (
    ID,
    OWNER,
    assistant,
    in_seconds,
    list_ids,
    load_ids,
    user,
    users,
)

NO_IDS = ["", "x" * 1_025, "a\0", "\ud800"]


def at(second: int) -> str:
    return f"2026-01-01T00:00:{second:02}.000000Z"


async def load(store: ConversationStore, conversation_id: str = ID) -> list[Message]:
    return (await store.load_conversation(OWNER, conversation_id)).messages


async def load_texts(store: ConversationStore, conversation_id: str) -> list[tuple[object, object]]:
    return [(m.message_id, m.content) for m in await load(store, conversation_id)]


class ContractOfForks:
    async def test_a_fork_is_the_prefix_up_to_and_with_a_message(
        self, store: ConversationStore
    ) -> None:
        turn = [
            user("q", created_at=at(1), turn_id="q"),
            assistant(
                "q/1", [{"type": "tool_use", "id": "c", "name": "n", "input": {}}], turn_id="q"
            ),
            Message(message_id="q/2", role="tool", content="r", tool_call_id="c", turn_id="q"),
        ]
        await store.append_messages(OWNER, ID, [*turn, assistant("q/3", turn_id="q"), user("last")])
        update = ConversationUpdate(title="T", tags=["b", "a"], metadata={"k": 1})
        await store.update_conversation(OWNER, ID, update)
        stored, before = await load(store), await store.get_conversation(OWNER, ID)
        forked = await store.fork_conversation(
            OWNER, ID, up_to_message_id="q/2", new_conversation_id="fork"
        )
        assert (forked.conversation_id, forked.owner, forked.message_count) == ("fork", OWNER, 3)
        assert (forked.title, forked.tags) == ("T", ["b", "a"])
        origin = {"conversation_id": ID, "message_id": "q/2"}
        assert forked.metadata == {"k": 1, "forked_from": origin}
        assert forked.created_at >= before.last_updated
        assert await load(store, "fork") == stored[:3]
        found = await store.get_conversation(OWNER, "fork")
        assert found.model_dump(exclude={"stats"}) == forked.model_dump()
        assert found.stats.messages_by_role == {"user": 1, "assistant": 1, "tool": 1}
        assert await list_ids(store, tag="a") == ["fork", ID]
        assert await store.get_conversation(OWNER, ID) == before
        assert await load(store) == stored

    async def test_a_fork_without_a_message_is_of_all_and_gets_an_id(
        self, store: ConversationStore
    ) -> None:
        await store.append_messages(OWNER, ID, users(3))
        first = await store.fork_conversation(OWNER, ID)
        second = await store.fork_conversation(OWNER, first.conversation_id)
        assert len({ID, first.conversation_id, second.conversation_id}) == 3
        assert first.metadata == {"forked_from": {"conversation_id": ID}}
        assert second.metadata == {"forked_from": {"conversation_id": first.conversation_id}}
        assert await load(store, second.conversation_id) == await load(store)

    async def test_a_fork_and_its_source_go_their_own_ways(self, store: ConversationStore) -> None:
        await store.append_messages(OWNER, ID, users(2))
        await store.fork_conversation(OWNER, ID, new_conversation_id="fork")
        await store.append_messages(OWNER, ID, [user("a", "here")])
        await store.append_messages(OWNER, "fork", [user("a", "there")])
        repeated = await store.append_messages(OWNER, "fork", users(2))
        assert (repeated.appended, repeated.repeated) == (0, 2)
        assert [m.content for m in await load(store)][2:] == ["here"]
        assert [m.content for m in await load(store, "fork")][2:] == ["there"]
        await store.delete_conversation(OWNER, ID)
        assert len(await load(store, "fork")) == 3

    async def test_annotations_are_forked_as_they_are_now_without_delivery(
        self, store: ConversationStore
    ) -> None:
        facts = {"delivery": {"state": "pending"}, "old": 1}
        await store.append_messages(
            OWNER, ID, [user("a", annotations=facts), user("b"), user("c"), user("d")]
        )
        await store.annotate_message(OWNER, ID, "a", {"new": 2})
        await store.annotate_message(OWNER, ID, "b", {"delivery": "pending"})
        await store.annotate_message(OWNER, ID, "c", {"x": 1, "delivery": "pending"})
        await store.annotate_message(OWNER, ID, "c", {"x": None, "y": 2})
        await store.annotate_message(OWNER, ID, "d", {"z": 1})
        await store.fork_conversation(OWNER, ID, up_to_message_id="c", new_conversation_id="fork")
        annotations = [message.annotations for message in await load(store, "fork")]
        assert annotations == [{"old": 1, "new": 2}, None, {"y": 2}]
        listed = (await store.list_deliveries("pending")).deliveries
        assert {delivery.conversation_id for delivery in listed} == {ID}
        result = await store.annotate_message(OWNER, "fork", "a", {"old": None})
        assert result.annotations == {"new": 2}

    async def test_the_new_id_must_be_free(self, store: ConversationStore) -> None:
        await store.append_messages(OWNER, ID, users(2))
        version = (await store.append_messages(OWNER, "there", [user("x")])).version
        for taken in ("there", ID):
            with pytest.raises(ConflictError) as conflict:
                await store.fork_conversation(OWNER, ID, new_conversation_id=taken)
            assert conflict.value.field == "new_conversation_id"
        await store.append_messages("bob", "bobs", [user("x")])
        await store.fork_conversation(OWNER, ID, new_conversation_id="bobs")
        await store.delete_conversation(OWNER, "there")
        forked = await store.fork_conversation(OWNER, ID, new_conversation_id="there")
        assert forked.version > version
        expiry = ConversationUpdate(expires_at=in_seconds(-1))
        await store.update_conversation(OWNER, "there", expiry)
        again = await store.fork_conversation(OWNER, ID, new_conversation_id="there")
        assert again.version > forked.version
        assert await load_ids(store, "there") == ["m0", "m1"]

    async def test_what_is_unknown_or_anothers_is_not_forked(
        self, store: ConversationStore
    ) -> None:
        await store.append_messages("bob", ID, users(2))
        texts: set[str] = set()
        for conversation_id in (ID, "unknown"):
            for message_id in (None, "m0"):
                with pytest.raises(NotFoundError) as missing:
                    await store.fork_conversation(
                        OWNER, conversation_id, up_to_message_id=message_id
                    )
                texts.add(f"{missing.value} {missing.value.field}")
        assert len(texts) == 1
        await store.append_messages(OWNER, "c", users(2))
        with pytest.raises(NotFoundError) as missing:
            await store.fork_conversation(OWNER, "c", up_to_message_id="m2")
        assert missing.value.field == "up_to_message_id"
        for bad in NO_IDS:
            with pytest.raises(InvalidError) as refused:
                await store.fork_conversation(OWNER, "c", new_conversation_id=bad)
            assert refused.value.field == "new_conversation_id"
            with pytest.raises(InvalidError):
                await store.fork_conversation(OWNER, bad)
        assert await list_ids(store) == ["c"]

    async def test_metadata_that_grow_too_large_by_saying_whence_are_refused(
        self, store: ConversationStore
    ) -> None:
        await store.append_messages(OWNER, ID, users(1))
        update = ConversationUpdate(metadata={"k": "x" * (16 * 1024 - 20)})
        await store.update_conversation(OWNER, ID, update)
        with pytest.raises(TooLargeError) as refused:
            await store.fork_conversation(OWNER, ID)
        assert refused.value.field == "metadata"
        assert await list_ids(store) == [ID]

    async def test_an_empty_conversation_is_forked(self, store: ConversationStore) -> None:
        version = (await store.append_messages(OWNER, ID, users(1))).version
        await store.save_conversation(OWNER, ID, [], expected_version=version)
        forked = await store.fork_conversation(OWNER, ID, new_conversation_id="fork")
        assert forked.message_count == 0
        assert await list_ids(store) == ["fork", ID]


class ContractOfMerges:
    async def test_a_merge_is_by_time_then_by_source_then_by_place(
        self, store: ConversationStore
    ) -> None:
        one = [
            user("a", created_at=at(3)),
            user("b", created_at=at(1)),
            user("c", created_at=at(3)),
        ]
        two = [user("d", created_at=at(2)), user("e", created_at=at(3))]
        await store.append_messages(OWNER, "one", one)
        await store.append_messages(OWNER, "two", two)
        update = ConversationUpdate(title="T", tags=["x"], metadata={"k": 1})
        await store.update_conversation(OWNER, "one", update)
        merged = await store.merge_conversations(OWNER, ["one", "two"], "both")
        assert (merged.conversation_id, merged.owner, merged.message_count) == ("both", OWNER, 5)
        assert (merged.title, merged.tags, merged.metadata) == ("T", ["x"], {"k": 1})
        assert await load_ids(store, "both") == ["b", "d", "a", "c", "e"]
        await store.merge_conversations(OWNER, ["two", "one"], "other way")
        assert await load_ids(store, "other way") == ["b", "d", "e", "a", "c"]
        assert (await load(store, "one"), await load(store, "two")) == (one, two)
        by_id = {message.message_id: message for message in [*one, *two]}
        assert await load(store, "both") == [by_id[i] for i in ("b", "d", "a", "c", "e")]

    async def test_repeats_are_dropped_and_other_content_gets_an_id_of_its_own(
        self, store: ConversationStore
    ) -> None:
        for second, name in enumerate(["one", "two", "three"]):
            await store.append_messages(
                OWNER,
                name,
                [user("same", created_at=at(second)), user("other", name, created_at=at(10))],
            )
        await store.append_messages(OWNER, "one", [user("other~2", "mine", created_at=at(20))])
        sources = ["one", "two", "three"]
        await store.merge_conversations(OWNER, sources, "all")
        expected = [
            ("same", "hello"),
            ("other", "one"),
            ("other~3", "two"),
            ("other~4", "three"),
            ("other~2", "mine"),
        ]
        assert await load_texts(store, "all") == expected

    async def test_merging_again_adds_nothing(self, store: ConversationStore) -> None:
        for name in ("one", "two"):
            turn = [
                user("q", name, turn_id="q", created_at=at(1)),
                assistant("q/1", turn_id="q", created_at=at(2)),
                user("z" * 256, name, created_at=at(3)),
            ]
            await store.append_messages(OWNER, name, turn)
        merged = await store.merge_conversations(OWNER, ["one", "two"], "all")
        assert merged.message_count == 6
        for sources in (["all", "one", "two"], ["all", "two"], ["one", "all"], ["all"]):
            again = await store.merge_conversations(OWNER, sources, "all")
            assert again == merged
            long = "z" * 256
            ids = ["q", "q~2", "q/1", "q/1~2", long, long[:254] + "~2"]
            assert await load_ids(store, "all") == ids
        stored = await load(store, "all")
        await store.merge_conversations(OWNER, ["two", "one", "all"], "all")
        assert {m.message_id: m for m in await load(store, "all")} == {
            m.message_id: m for m in stored
        }

    async def test_a_turn_follows_its_message_to_another_id(self, store: ConversationStore) -> None:
        call: list[dict[str, Any]] = [{"type": "tool_use", "id": "c", "name": "n", "input": {}}]
        for second, name in enumerate(["one", "two"]):
            turn = [
                assistant("q/1", call, turn_id="q", created_at=at(second)),
                Message(
                    message_id="q/2",
                    role="tool",
                    content="r",
                    tool_call_id="c",
                    turn_id="q",
                    created_at=at(second + 2),
                ),
                user("q", name, created_at=at(second + 4)),
            ]
            await store.append_messages(OWNER, name, turn)
        await store.merge_conversations(OWNER, ["one", "two"], "all")
        found = [(m.message_id, m.turn_id, m.tool_call_id) for m in await load(store, "all")]
        assert found == [
            ("q/1", "q", None),
            ("q/1~2", "q~2", None),
            ("q/2", "q", "c"),
            ("q/2~2", "q~2", "c"),
            ("q", None, None),
            ("q~2", None, None),
        ]

    async def test_a_merge_into_a_source_keeps_its_facts_and_deliveries(
        self, store: ConversationStore
    ) -> None:
        pending = {"delivery": "pending"}
        await store.append_messages(
            OWNER, "one", [user("a", annotations={**pending, "k": 1}, created_at=at(1))]
        )
        await store.append_messages(
            OWNER, "two", [user("b", annotations=pending), user("a", created_at=at(2))]
        )
        await store.annotate_message(OWNER, "two", "a", {**pending, "l": 2})
        before = await store.update_conversation(OWNER, "two", ConversationUpdate(title="Two"))
        page = await store.load_conversation(OWNER, "two", limit=1)
        merged = await store.merge_conversations(OWNER, ["one", "two"], "two")
        assert (merged.title, merged.created_at) == ("Two", before.created_at)
        assert merged.version > before.version
        first, second = await load(store, "two")
        assert (first.message_id, first.annotations) == ("a", {**pending, "l": 2})
        assert (second.message_id, second.annotations) == ("b", pending)
        assert page.next_cursor
        await store.merge_conversations(OWNER, ["one", "two"], "copy")
        copies = await load(store, "copy")
        assert [message.annotations for message in copies] == [{"k": 1}, None]
        listed = (await store.list_deliveries("pending")).deliveries
        assert {(d.conversation_id, d.message_id) for d in listed} == {
            ("one", "a"),
            ("two", "a"),
            ("two", "b"),
        }

    async def test_a_target_that_is_there_and_no_source_is_a_conflict(
        self, store: ConversationStore
    ) -> None:
        for name in ("one", "two"):
            await store.append_messages(OWNER, name, [user(name)])
        with pytest.raises(ConflictError) as conflict:
            await store.merge_conversations(OWNER, ["one"], "two")
        assert conflict.value.field == "into"
        await store.delete_conversation(OWNER, "two")
        assert (await store.merge_conversations(OWNER, ["one"], "two")).message_count == 1

    async def test_an_unknown_source_and_anothers_are_not_found(
        self, store: ConversationStore
    ) -> None:
        await store.append_messages(OWNER, "one", users(1))
        await store.append_messages("bob", ID, users(1))
        texts: set[str] = set()
        for source in (ID, "unknown"):
            for into in ("new", source):
                with pytest.raises(NotFoundError) as missing:
                    await store.merge_conversations(OWNER, ["one", source], into)
                texts.add(f"{missing.value} {missing.value.field}")
        assert texts == {"there is no such conversation source_ids[1]"}
        assert await list_ids(store) == ["one"]

    async def test_sources_and_target_are_checked(self, store: ConversationStore) -> None:
        await store.append_messages(OWNER, "one", users(1))
        for sources in ([], [f"c{number}" for number in range(101)]):
            with pytest.raises(InvalidError) as refused:
                await store.merge_conversations(OWNER, sources, "new")
            assert refused.value.field == "source_ids"
        for bad in NO_IDS:
            with pytest.raises(InvalidError) as refused:
                await store.merge_conversations(OWNER, ["one", bad], "new")
            assert refused.value.field == "source_ids[1]"
            with pytest.raises(InvalidError) as refused:
                await store.merge_conversations(OWNER, ["one"], bad)
            assert refused.value.field == "into"
        merged = await store.merge_conversations(OWNER, ["one", "one"], "new")
        assert merged.message_count == 1


class ContractOfCopies(ContractOfForks, ContractOfMerges):
    """Both."""
