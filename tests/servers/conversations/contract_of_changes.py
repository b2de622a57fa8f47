"""Contract suite: saving a whole list, facts of a conversation, expiry."""

import pytest

from servers.conversations.store import ConversationStore
from servers.conversations.store_errors import (
    ConflictError,
    InvalidError,
    NotFoundError,
    TooLargeError,
)
from servers.conversations.store_values import ConversationUpdate
from tests.servers.conversations.expired import check_gone, fill
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


class ContractOfChanges:
    async def test_saving_creates_and_extends_without_an_expected_version(
        self, store: ConversationStore
    ) -> None:
        first = await store.save_conversation(OWNER, ID, users(3))
        assert (first.message_count, first.appended, first.removed) == (3, 3, 0)
        page = await store.load_conversation(OWNER, ID, limit=1)
        second = await store.save_conversation(OWNER, ID, [*users(3), assistant("r")])
        assert (second.message_count, second.appended, second.removed) == (4, 1, 0)
        assert second.version > first.version
        older = await store.load_conversation(OWNER, ID, before=page.next_cursor)
        assert [m.message_id for m in older.messages] == ["m0", "m1"]
        assert (await store.append_messages(OWNER, ID, [assistant("r")])).repeated == 1

    async def test_saving_what_is_stored_changes_nothing(self, store: ConversationStore) -> None:
        await store.append_messages(OWNER, ID, users(3))
        await store.annotate_message(OWNER, ID, "m1", {"seen": True})
        before = await store.get_conversation(OWNER, ID)
        loaded = (await store.load_conversation(OWNER, ID)).messages
        for same in (users(3), loaded):
            result = await store.save_conversation(OWNER, ID, same)
            assert (result.version, result.appended, result.removed) == (before.version, 0, 0)
        retried = await store.save_conversation(OWNER, ID, users(3), expected_version=0)
        assert retried.version == before.version
        assert await store.get_conversation(OWNER, ID) == before
        assert (await store.load_conversation(OWNER, ID)).messages == loaded

    async def test_dropping_changing_and_reordering_need_an_expected_version(
        self, store: ConversationStore
    ) -> None:
        version = (await store.append_messages(OWNER, ID, users(3))).version
        a, b, c = users(3)
        for wanted in ([a, b], [a, c, b], [a, b, user("m2", "new")], [], [b, c], [user("x")]):
            with pytest.raises(ConflictError) as conflict:
                await store.save_conversation(OWNER, ID, wanted)
            assert conflict.value.current_version == version
            with pytest.raises(ConflictError):
                await store.save_conversation(OWNER, ID, wanted, expected_version=version + 1)
        assert await load_ids(store) == ["m0", "m1", "m2"]

    async def test_a_rewrite_makes_the_history_exactly_the_list(
        self, store: ConversationStore
    ) -> None:
        await store.append_messages(OWNER, ID, users(3))
        await store.annotate_message(OWNER, ID, "m2", {"kept": True})
        await store.update_conversation(
            OWNER, ID, ConversationUpdate(title="t", tags=["x"], metadata={"k": 1})
        )
        stored = (await store.load_conversation(OWNER, ID)).messages
        before = await store.get_conversation(OWNER, ID)
        result = await store.save_conversation(
            OWNER,
            ID,
            [users(3)[2], user("m1", "changed"), user("new")],
            expected_version=before.version,
        )
        assert (result.message_count, result.appended, result.removed) == (3, 1, 1)
        assert result.version > before.version
        m2, m1, new = (await store.load_conversation(OWNER, ID)).messages
        assert (m2.created_at, m2.annotations) == (stored[2].created_at, {"kept": True})
        assert (m1.content, new.message_id) == ("changed", "new")
        after = await store.get_conversation(OWNER, ID)
        assert (after.title, after.tags, after.metadata) == ("t", ["x"], {"k": 1})
        assert after.created_at == before.created_at
        assert (after.message_count, after.stats.messages_by_role) == (3, {"user": 3})
        assert (await store.append_messages(OWNER, ID, [user("m0", "free again")])).appended == 1

    async def test_a_list_with_an_id_twice_is_invalid(self, store: ConversationStore) -> None:
        with pytest.raises(InvalidError):
            await store.save_conversation(OWNER, ID, [user("a"), user("b"), user("a")])
        assert (await store.load_conversation(OWNER, ID)).version == 0

    async def test_saving_with_an_expected_version_of_an_unknown_one(
        self, store: ConversationStore
    ) -> None:
        with pytest.raises(ConflictError) as conflict:
            await store.save_conversation(OWNER, ID, users(1), expected_version=3)
        assert conflict.value.current_version == 0
        assert (await store.save_conversation(OWNER, ID, users(1), expected_version=0)).version

    async def test_update_leaves_what_is_absent_and_clears_what_is_null(
        self, store: ConversationStore
    ) -> None:
        await store.append_messages(OWNER, ID, users(1))
        later = in_seconds(1_000)
        await store.update_conversation(
            OWNER,
            ID,
            ConversationUpdate(
                title="t", tags=["b", "a"], metadata={"k": 1, "l": {"x": None}}, expires_at=later
            ),
        )
        await store.update_conversation(
            OWNER, ID, ConversationUpdate(metadata={"k": None, "m": [2]})
        )
        found = await store.get_conversation(OWNER, ID)
        assert (found.title, found.tags, found.expires_at) == ("t", ["b", "a"], later)
        assert found.metadata == {"l": {"x": None}, "m": [2]}
        cleared = await store.update_conversation(
            OWNER, ID, ConversationUpdate(title=None, expires_at=None, tags=[])
        )
        assert (cleared.title, cleared.tags, cleared.expires_at) == (None, [], None)
        assert cleared.metadata == found.metadata

    async def test_update_moves_the_version_if_it_changes_something_and_never_last_updated(
        self, store: ConversationStore
    ) -> None:
        await store.append_messages(OWNER, ID, users(1))
        before = await store.get_conversation(OWNER, ID)
        same = await store.update_conversation(OWNER, ID, ConversationUpdate())
        assert same.version == before.version
        changed = await store.update_conversation(OWNER, ID, ConversationUpdate(title="t"))
        assert changed.version > before.version
        assert changed.last_updated == before.last_updated
        again = await store.update_conversation(OWNER, ID, ConversationUpdate(title="t"))
        assert again.version == changed.version
        with pytest.raises(ConflictError):
            await store.append_messages(OWNER, ID, [user()], expected_version=before.version)

    @pytest.mark.parametrize(
        ("update", "field"),
        [
            ({"title": "x" * 501}, "title"),
            ({"title": "a\0"}, "title"),
            ({"title": "\ud800"}, "title"),
            ({"tags": ["t"] * 49 + [f"t{n}" for n in range(51)]}, "tags"),
            ({"tags": ["x" * 65]}, "tags"),
            ({"tags": [""]}, "tags"),
            ({"tags": ["\ud800"]}, "tags"),
            ({"metadata": {"n": float("inf")}}, "metadata"),
            ({"metadata": {"\0": 1}}, "metadata"),
            ({"expires_at": "tomorrow"}, "expires_at"),
            ({"expires_at": "2030-01-01T00:00:00"}, "expires_at"),
        ],
    )
    async def test_facts_out_of_range_are_invalid(
        self, store: ConversationStore, update: dict[str, object], field: str
    ) -> None:
        version = (await store.append_messages(OWNER, ID, users(1))).version
        with pytest.raises(InvalidError) as refused:
            await store.update_conversation(
                OWNER, ID, ConversationUpdate.model_construct(None, **update)
            )
        assert (refused.value.field, refused.value.code) == (field, "invalid")
        assert (await store.get_conversation(OWNER, ID)).version == version

    async def test_metadata_over_16_kib_after_the_merge_is_too_large(
        self, store: ConversationStore
    ) -> None:
        await store.append_messages(OWNER, ID, users(1))
        await store.update_conversation(OWNER, ID, ConversationUpdate(metadata={"a": "x" * 9_000}))
        with pytest.raises(TooLargeError) as refused:
            await store.update_conversation(
                OWNER, ID, ConversationUpdate(metadata={"b": "x" * 9_000})
            )
        assert refused.value.code == "too_large"
        many = {f"k{number}": 1 for number in range(500)}
        await store.update_conversation(OWNER, ID, ConversationUpdate(metadata=many))
        removal: dict[str, None] = {f"k{number}": None for number in range(2_000)}
        updated = await store.update_conversation(OWNER, ID, ConversationUpdate(metadata=removal))
        assert set(updated.metadata) == {"a"}

    async def test_updating_an_unknown_one_is_not_found(self, store: ConversationStore) -> None:
        with pytest.raises(NotFoundError):
            await store.update_conversation(OWNER, ID, ConversationUpdate(title="t"))
        assert await list_ids(store) == []

    async def test_what_has_expired_is_not_there(self, store: ConversationStore) -> None:
        cursor = await fill(store)
        await store.update_conversation(OWNER, ID, ConversationUpdate(expires_at=in_seconds(-1)))
        await check_gone(store, cursor)

    async def test_an_expired_id_begins_anew_with_a_version_never_used(
        self, store: ConversationStore
    ) -> None:
        await store.append_messages(OWNER, ID, users(5))
        updated = await store.update_conversation(
            OWNER, ID, ConversationUpdate(title="t", expires_at=in_seconds(-1))
        )
        result = await store.append_messages(OWNER, ID, [user("m0", "x")], expected_version=0)
        assert result.appended == 1
        assert result.version > updated.version
        found = await store.get_conversation(OWNER, ID)
        assert (found.title, found.expires_at, found.message_count) == (None, None, 1)
        assert await load_ids(store) == ["m0"]

    async def test_what_expires_later_is_there(self, store: ConversationStore) -> None:
        await store.append_messages(OWNER, ID, users(1))
        await store.update_conversation(
            OWNER, ID, ConversationUpdate(expires_at="2999-01-01T01:00:00+01:00")
        )
        found = await store.get_conversation(OWNER, ID)
        assert found.expires_at == "2999-01-01T00:00:00.000000Z"
        assert await list_ids(store) == [ID]

    async def test_the_version_alone_is_the_version_of_everything_else(
        self, store: ConversationStore
    ) -> None:
        assert await store.read_version(OWNER, ID) == 0
        appended = await store.append_messages(OWNER, ID, users(2))
        assert await store.read_version(OWNER, ID) == appended.version
        await store.annotate_message(OWNER, ID, "m0", {"seen": True})
        assert await store.read_version(OWNER, ID) == appended.version
        updated = await store.update_conversation(OWNER, ID, ConversationUpdate(title="t"))
        assert await store.read_version(OWNER, ID) == updated.version > appended.version
        assert await store.read_version("bob", ID) == 0
        await store.delete_conversation(OWNER, ID)
        assert await store.read_version(OWNER, ID) == 0
        again = await store.append_messages(OWNER, ID, users(1))
        assert await store.read_version(OWNER, ID) == again.version > updated.version

    async def test_an_expired_conversation_has_no_version(self, store: ConversationStore) -> None:
        await store.append_messages(OWNER, ID, users(1))
        await store.update_conversation(OWNER, ID, ConversationUpdate(expires_at=in_seconds(-1)))
        assert await store.read_version(OWNER, ID) == 0
