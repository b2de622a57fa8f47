"""Contract suite: appending, repeats, versions, annotations, deletion."""

from typing import Any

import anyio
import pytest
from pydantic import ValidationError

from servers.conversations.contract import MAX_MESSAGE_BYTES, Message, encode_json
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
    load_ids,
    user,
    users,
)

DIFFERENCES: list[dict[str, Any]] = [
    {"role": "assistant"},
    {"content": "other"},
    {"content": [{"type": "text", "text": "hello"}]},
    {"name": "n"},
    {"thoughts": "t"},
    {"tool_call_id": "c"},
    {"turn_id": "t"},
    {"is_error": True},
    {"metadata": {"a": 1}},
]


class ContractOfMessages:
    async def test_what_is_appended_is_loaded_field_by_field(
        self, store: ConversationStore
    ) -> None:
        given = Message.model_validate(
            {
                "message_id": "m",
                "role": "tool",
                "content": [
                    {"type": "text", "text": 'é\n\u2028\t\x01 \\ " 🙂'},
                    {"type": "image", "data": "AA==", "mimeType": "image/png", "_meta": None},
                    {"type": "x.unknown", "deep": {"null": None, "n": [1, 2.5, -0.0, 10**30]}},
                ],
                "name": "search",
                "thoughts": "hm",
                "tool_call_id": "call-1",
                "is_error": False,
                "turn_id": "m",
                "metadata": {"b": None, "a": {"x": [None]}},
                "annotations": {"delivery": {"state": "pending"}, "none": None},
                "created_at": "2020-01-02T03:04:05.5+02:00",
            }
        )
        await store.append_messages(OWNER, ID, [given])
        loaded = await store.load_conversation(OWNER, ID, limit=1)
        assert loaded.messages == [given]
        assert loaded.messages[0].created_at == "2020-01-02T01:04:05.500000Z"
        assert Message.model_validate(loaded.messages[0].to_wire()) == given

    async def test_order_is_that_of_appending(self, store: ConversationStore) -> None:
        await store.append_messages(OWNER, ID, [user("a", created_at=in_seconds(9_999))])
        await store.append_messages(
            OWNER, ID, [user("b", created_at=in_seconds(-9_999)), user("c")]
        )
        assert await load_ids(store) == ["a", "b", "c"]

    async def test_absent_ids_and_times_are_made_and_told(self, store: ConversationStore) -> None:
        before = in_seconds(-1)
        result = await store.append_messages(OWNER, ID, [user(), user(), user("mine")])
        assert len(set(result.message_ids)) == 3
        assert result.message_ids[2] == "mine"
        loaded = await store.load_conversation(OWNER, ID)
        assert [message.message_id for message in loaded.messages] == result.message_ids
        assert all(before <= str(m.created_at) <= in_seconds(1) for m in loaded.messages)

    async def test_a_repeated_append_is_counted_and_stored_once(
        self, store: ConversationStore
    ) -> None:
        first = await store.append_messages(OWNER, ID, [user("a"), assistant("b")])
        again = await store.append_messages(OWNER, ID, [user("a"), assistant("b")])
        assert (again.appended, again.repeated, again.version) == (0, 2, first.version)
        assert again.message_ids == ["a", "b"]
        partly = await store.append_messages(OWNER, ID, [assistant("b"), user("c")])
        assert (partly.appended, partly.repeated) == (1, 1)
        assert partly.version > first.version
        assert await load_ids(store) == ["a", "b", "c"]

    async def test_a_repeat_within_one_batch_is_stored_once(self, store: ConversationStore) -> None:
        result = await store.append_messages(OWNER, ID, [user("a"), user("b"), user("a")])
        assert (result.appended, result.repeated) == (2, 1)
        assert result.message_ids == ["a", "b", "a"]
        with pytest.raises(ConflictError):
            await store.append_messages(OWNER, "new", [user("a"), user("a", "other")])
        assert (await store.load_conversation(OWNER, "new")).version == 0

    async def test_time_annotations_and_absent_facts_do_not_make_another_content(
        self, store: ConversationStore
    ) -> None:
        await store.append_messages(OWNER, ID, [user("a")])
        again = user("a", created_at=in_seconds(5), annotations={"x": 1}, metadata={})
        result = await store.append_messages(OWNER, ID, [again])
        assert result.repeated == 1

    @pytest.mark.parametrize("difference", DIFFERENCES, ids=str)
    async def test_an_id_with_other_content_is_a_conflict_and_stores_nothing(
        self, store: ConversationStore, difference: dict[str, Any]
    ) -> None:
        version = (await store.append_messages(OWNER, ID, [user("a")])).version
        other = user("a").model_copy(update=difference)
        with pytest.raises(ConflictError, match="'a'") as conflict:
            await store.append_messages(OWNER, ID, [user("b"), other])
        assert conflict.value.current_version == version
        assert await load_ids(store) == ["a"]

    async def test_at_least_4096_messages_are_remembered_for_repeats(
        self, store: ConversationStore
    ) -> None:
        for start in range(0, 4_096, 1_000):
            await store.append_messages(OWNER, ID, users(min(1_000, 4_096 - start), start))
        result = await store.append_messages(OWNER, ID, users(2))
        assert (result.appended, result.repeated) == (0, 2)
        with pytest.raises(ConflictError):
            await store.append_messages(OWNER, ID, [user("m0", "other")])

    async def test_appending_nothing_changes_and_creates_nothing(
        self, store: ConversationStore
    ) -> None:
        result = await store.append_messages(OWNER, ID, [])
        assert (result.version, result.message_ids, result.appended) == (0, [], 0)
        assert (await store.list_conversations(OWNER)).conversations == []
        version = (await store.append_messages(OWNER, ID, [user()])).version
        assert (await store.append_messages(OWNER, ID, [])).version == version
        assert (await store.append_messages(OWNER, ID, [], expected_version=99)).version == version

    async def test_expected_version_is_compared(self, store: ConversationStore) -> None:
        with pytest.raises(ConflictError) as conflict:
            await store.append_messages(OWNER, ID, [user("a")], expected_version=7)
        assert conflict.value.current_version == 0
        first = await store.append_messages(OWNER, ID, [user("a")], expected_version=0)
        second = await store.append_messages(OWNER, ID, [user("b")], expected_version=first.version)
        for stale in (0, first.version, second.version + 1, -1):
            with pytest.raises(ConflictError) as conflict:
                await store.append_messages(OWNER, ID, [user("c")], expected_version=stale)
            assert conflict.value.current_version == second.version
        assert await load_ids(store) == ["a", "b"]

    async def test_a_retry_succeeds_though_its_expected_version_is_stale(
        self, store: ConversationStore
    ) -> None:
        await store.append_messages(OWNER, ID, [user("a")], expected_version=0)
        version = (await store.append_messages(OWNER, ID, [user("b")])).version
        retried = await store.append_messages(OWNER, ID, [user("a")], expected_version=0)
        assert (retried.repeated, retried.version) == (1, version)
        with pytest.raises(ConflictError):
            await store.append_messages(OWNER, ID, [user("a"), user("c")], expected_version=0)

    async def test_a_batch_over_the_limits_is_refused_whole(self, store: ConversationStore) -> None:
        with pytest.raises(InvalidError) as refused:
            await store.append_messages(OWNER, ID, users(1_001))
        assert refused.value.code == "invalid"
        large = [user(f"m{n}", "x" * 450_000) for n in range(7)]
        with pytest.raises(TooLargeError) as too_large:
            await store.append_messages(OWNER, ID, large)
        assert too_large.value.code == "too_large"
        assert (await store.load_conversation(OWNER, ID)).version == 0
        assert (await store.append_messages(OWNER, ID, users(1_000))).appended == 1_000
        assert (await store.append_messages(OWNER, "large", large[:6])).appended == 6

    async def test_what_came_past_the_model_is_still_refused(
        self, store: ConversationStore
    ) -> None:
        for content in ("a\0b", "\ud800", [{"type": "text", "text": "x", "n": float("nan")}]):
            message = Message.model_construct(role="user", content=content)
            with pytest.raises(InvalidError):
                await store.append_messages(OWNER, ID, [message])
        assert (await store.load_conversation(OWNER, ID)).version == 0

    async def test_sixteen_writers_at_once_lose_and_double_nothing(
        self, store: ConversationStore
    ) -> None:
        async def write(writer: int) -> None:
            for number in range(6):
                batch = [user(f"{writer}-{number}-a"), user(f"{writer}-{number}-b")]
                await store.append_messages(OWNER, ID, batch)
                await store.append_messages(OWNER, ID, batch)

        with anyio.fail_after(60):
            async with anyio.create_task_group() as tasks:
                for writer in range(16):
                    tasks.start_soon(write, writer)
        ids = await load_ids(store)
        assert len(ids) == len(set(ids)) == 16 * 6 * 2
        for writer in range(16):
            mine = [i for i in ids if i and i.startswith(f"{writer}-")]
            assert mine == [f"{writer}-{n}-{x}" for n in range(6) for x in "ab"]
        assert all(ids[n + 1] == str(ids[n])[:-1] + "b" for n in range(0, len(ids), 2))

    async def test_of_writers_that_expect_the_same_version_one_wins(
        self, store: ConversationStore
    ) -> None:
        version = (await store.append_messages(OWNER, ID, [user("a")])).version
        outcomes: list[bool] = []

        async def write(writer: int) -> None:
            try:
                await store.append_messages(
                    OWNER, ID, [user(f"w{writer}")], expected_version=version
                )
                outcomes.append(True)
            except ConflictError:
                outcomes.append(False)

        with anyio.fail_after(30):
            async with anyio.create_task_group() as tasks:
                for writer in range(12):
                    tasks.start_soon(write, writer)
        assert outcomes.count(True) == 1
        assert len(outcomes) == 12

    async def test_annotations_merge_by_key_and_null_removes(
        self, store: ConversationStore
    ) -> None:
        await store.append_messages(OWNER, ID, [user("a", annotations={"x": 1, "y": {"z": 1}})])
        before = await store.get_conversation(OWNER, ID)
        result = await store.annotate_message(
            OWNER, ID, "a", {"y": {"w": 2}, "new": [1], "x": None}
        )
        assert (result.message_id, result.annotations) == ("a", {"y": {"w": 2}, "new": [1]})
        assert (await store.load_conversation(OWNER, ID)).messages[0].annotations == (
            result.annotations
        )
        nothing = await store.annotate_message(OWNER, ID, "a", {"y": None, "new": None, "no": None})
        assert nothing.annotations == {}
        assert not (await store.load_conversation(OWNER, ID)).messages[0].annotations
        after = await store.get_conversation(OWNER, ID)
        assert (after.version, after.last_updated) == (before.version, before.last_updated)
        assert (await store.annotate_message(OWNER, ID, "a", {})).annotations == {}

    async def test_annotating_does_not_disturb_writers_and_repeats(
        self, store: ConversationStore
    ) -> None:
        version = (await store.append_messages(OWNER, ID, [user("a")])).version
        await store.annotate_message(OWNER, ID, "a", {"seen": True})
        result = await store.append_messages(OWNER, ID, [user("b")], expected_version=version)
        assert result.version > version
        assert (await store.append_messages(OWNER, ID, [user("a")])).repeated == 1

    async def test_an_old_message_can_be_annotated(self, store: ConversationStore) -> None:
        for start in range(0, 5_000, 1_000):
            await store.append_messages(OWNER, ID, users(1_000, start))
        await store.annotate_message(OWNER, ID, "m3", {"old": True})
        await store.annotate_message(OWNER, ID, "m3", {"twice": True})
        loaded = await store.load_conversation(OWNER, ID)
        assert loaded.messages[3].annotations == {"old": True, "twice": True}
        assert loaded.messages[4].annotations is None

    @pytest.mark.parametrize("message_id", ["b", "", "A", "a ", "x" * 300, 'a"', "\ud800", "\0"])
    async def test_annotating_what_is_not_there_is_not_found_or_invalid(
        self, store: ConversationStore, message_id: str
    ) -> None:
        await store.append_messages(OWNER, ID, [user("a", content='a" b {"message_id":"b"}')])
        with pytest.raises((NotFoundError, InvalidError)):
            await store.annotate_message(OWNER, ID, message_id, {"x": 1})

    async def test_annotations_over_16_kib_after_the_merge_are_refused(
        self, store: ConversationStore
    ) -> None:
        await store.append_messages(OWNER, ID, [user("a")])
        await store.annotate_message(OWNER, ID, "a", {"x": "x" * 9_000})
        with pytest.raises(TooLargeError):
            await store.annotate_message(OWNER, ID, "a", {"y": "y" * 9_000})
        with pytest.raises(InvalidError):
            await store.annotate_message(OWNER, ID, "a", {"y": float("nan")})
        replaced = await store.annotate_message(OWNER, ID, "a", {"x": None, "y": "y" * 9_000})
        assert set(replaced.annotations) == {"y"}

    async def test_many_annotations_are_removed_at_once(self, store: ConversationStore) -> None:
        many = {f"k{number}": 1 for number in range(1_200)}
        await store.append_messages(OWNER, ID, [user("a", annotations=many)])
        removal: dict[str, None] = {f"k{number}": None for number in range(2_000)}
        assert len(encode_json(removal)) > 16 * 1024
        assert (await store.annotate_message(OWNER, ID, "a", removal)).annotations == {}
        with pytest.raises(TooLargeError):
            await store.annotate_message(OWNER, ID, "a", {"k" * 70_000: None})

    async def test_a_message_of_the_full_size_can_be_stored_and_annotated(
        self, store: ConversationStore
    ) -> None:
        empty = len(encode_json({"role": "user", "content": ""}))
        content = "x" * (MAX_MESSAGE_BYTES - empty)
        annotations = {"a": "x" * 16_000}
        long_id = "i" * 256
        await store.append_messages(OWNER, ID, [user(content=content)])
        await store.append_messages(OWNER, ID, [user(long_id, content, annotations=annotations)])
        await store.annotate_message(OWNER, ID, long_id, {"a": "y" * 16_000})
        page = await store.load_conversation(OWNER, ID, limit=10)
        assert [message.message_id for message in page.messages] == [long_id]
        assert page.messages[0].annotations == {"a": "y" * 16_000}
        older = await store.load_conversation(OWNER, ID, limit=10, before=page.next_cursor)
        assert [message.content for message in older.messages] == [content]
        with pytest.raises(ValidationError, match="at most 524288 bytes"):
            user(content=content + "x")
        past_the_model = Message.model_construct(role="user", content=content + "x")
        with pytest.raises(TooLargeError):
            await store.append_messages(OWNER, ID, [past_the_model])

    @pytest.mark.parametrize(
        ("created_at", "reason"),
        [
            ("2026-01-01T00:00:00+02:60", "an RFC 3339 time with an offset"),
            ("2026-01-01T00:00:00-24:00", "an RFC 3339 time with an offset"),
            ("2026-02-30T00:00:00Z", "is no such date or time"),
            ("2026-01-01T00:00:60Z", "is no such date or time"),
            ("0001-01-01T00:00:00+01:00", "of the years 1 to 9999"),
        ],
    )
    async def test_a_time_that_is_none_is_refused_and_told_why(
        self, created_at: str, reason: str
    ) -> None:
        with pytest.raises(ValidationError, match=reason):
            user(created_at=created_at)

    async def test_a_deleted_conversation_is_gone_with_all_that_belongs_to_it(
        self, store: ConversationStore
    ) -> None:
        await store.append_messages(OWNER, ID, [user("a", annotations={"delivery": "pending"})])
        await store.update_conversation(
            OWNER, ID, ConversationUpdate(title="t", tags=["x"], metadata={"k": 1})
        )
        assert (await store.delete_conversation(OWNER, ID)).deleted
        assert not (await store.delete_conversation(OWNER, ID)).deleted
        loaded = await store.load_conversation(OWNER, ID)
        assert (loaded.messages, loaded.version) == ([], 0)
        for tag in (None, "x"):
            assert (await store.list_conversations(OWNER, tag=tag)).conversations == []
        assert (await store.list_deliveries("pending")).deliveries == []
        with pytest.raises(NotFoundError):
            await store.annotate_message(OWNER, ID, "a", {"x": 1})
        await store.append_messages(OWNER, ID, [user("a", "new content")])
        found = await store.get_conversation(OWNER, ID)
        assert (found.title, found.tags, found.metadata, found.message_count) == (None, [], {}, 1)

    async def test_a_version_is_never_used_again_not_even_after_deletion(
        self, store: ConversationStore
    ) -> None:
        seen: list[int] = []
        for round_ in range(3):
            for number in range(3):
                result = await store.append_messages(
                    OWNER, ID, [user(f"{round_}-{number}"), user()]
                )
                seen.append(result.version)
            updated = await store.update_conversation(
                OWNER, ID, ConversationUpdate(title=str(round_))
            )
            seen.append(updated.version)
            saved = await store.save_conversation(OWNER, ID, [], expected_version=seen[-1])
            seen.append(saved.version)
            await store.delete_conversation(OWNER, ID)
            fresh = await store.append_messages(OWNER, ID, [user("x")], expected_version=0)
            seen.append(fresh.version)
        assert seen == sorted(set(seen))
        assert seen[0] > 0
