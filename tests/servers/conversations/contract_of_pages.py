"""Contract suite: loading in pages, and the cursors between them."""

import pytest

from servers.conversations.contract import MAX_PAGE_BYTES, encode_json
from servers.conversations.store import ConversationStore
from servers.conversations.store_errors import InvalidError, StaleCursorError
from tests.servers.conversations.messages import (
    ID,
    OWNER,
    list_ids,
    load_by_pages,
    load_ids,
    user,
    users,
)


class ContractOfPages:
    async def test_without_a_limit_all_is_loaded(self, store: ConversationStore) -> None:
        for start in range(0, 2_000, 1_000):
            await store.append_messages(OWNER, ID, users(1_000, start, size=600))
        loaded = await store.load_conversation(OWNER, ID)
        assert len(loaded.messages) == 2_000
        assert loaded.next_cursor is None
        assert loaded.damaged == 0

    async def test_pages_are_the_latest_in_chronological_order(
        self, store: ConversationStore
    ) -> None:
        await store.append_messages(OWNER, ID, users(10))
        pages = await load_by_pages(store, 4)
        assert pages == [["m0", "m1"], ["m2", "m3", "m4", "m5"], ["m6", "m7", "m8", "m9"]]
        for limit in (1, 3, 5, 9, 10, 11, 500):
            flat = [i for page in await load_by_pages(store, limit) for i in page]
            assert flat == [f"m{n}" for n in range(10)]

    async def test_a_page_that_ends_at_the_beginning_has_no_cursor(
        self, store: ConversationStore
    ) -> None:
        await store.append_messages(OWNER, ID, users(10))
        assert (await store.load_conversation(OWNER, ID, limit=10)).next_cursor is None
        page = await store.load_conversation(OWNER, ID, limit=5)
        last = await store.load_conversation(OWNER, ID, limit=5, before=page.next_cursor)
        assert last.next_cursor is None
        rest = await store.load_conversation(OWNER, ID, before=page.next_cursor)
        assert [m.message_id for m in rest.messages] == [f"m{n}" for n in range(5)]

    async def test_a_cursor_works_on_after_appends_annotations_and_updates(
        self, store: ConversationStore
    ) -> None:
        await store.append_messages(OWNER, ID, users(10))
        page = await store.load_conversation(OWNER, ID, limit=3)
        await store.append_messages(OWNER, ID, users(5, start=10))
        await store.annotate_message(OWNER, ID, "m5", {"later": 1})
        await store.annotate_message(OWNER, ID, "m2", {"later": 2})
        older = await store.load_conversation(OWNER, ID, limit=3, before=page.next_cursor)
        assert [m.message_id for m in older.messages] == ["m4", "m5", "m6"]
        assert [m.annotations for m in older.messages] == [None, {"later": 1}, None]
        await store.annotate_message(OWNER, ID, "m5", {"later": None})
        again = await store.load_conversation(OWNER, ID, limit=3, before=page.next_cursor)
        assert not again.messages[1].annotations
        oldest = await store.load_conversation(OWNER, ID, before=older.next_cursor)
        assert [m.annotations for m in oldest.messages] == [None, None, {"later": 2}, None]

    async def test_a_cursor_from_before_a_rewrite_is_stale(self, store: ConversationStore) -> None:
        version = (await store.append_messages(OWNER, ID, users(10))).version
        page = await store.load_conversation(OWNER, ID, limit=3)
        await store.save_conversation(OWNER, ID, users(9), expected_version=version)
        with pytest.raises(StaleCursorError):
            await store.load_conversation(OWNER, ID, limit=3, before=page.next_cursor)

    async def test_a_cursor_from_before_a_deletion_is_stale(self, store: ConversationStore) -> None:
        await store.append_messages(OWNER, ID, users(10))
        page = await store.load_conversation(OWNER, ID, limit=3)
        await store.delete_conversation(OWNER, ID)
        await store.append_messages(OWNER, ID, users(10))
        with pytest.raises(StaleCursorError):
            await store.load_conversation(OWNER, ID, limit=3, before=page.next_cursor)

    async def test_what_is_no_cursor_of_this_conversation_is_invalid(
        self, store: ConversationStore
    ) -> None:
        await store.append_messages(OWNER, ID, users(10))
        await store.append_messages(OWNER, "other", users(10))
        await store.append_messages("bob", ID, users(10))
        mine = (await store.load_conversation(OWNER, ID, limit=3)).next_cursor
        other = (await store.load_conversation(OWNER, "other", limit=3)).next_cursor
        bobs = (await store.load_conversation("bob", ID, limit=3)).next_cursor
        listing = (await store.list_conversations(OWNER, limit=1)).next_cursor
        assert mine
        assert other
        assert bobs
        assert listing
        wrong = [
            *(other, bobs, listing, "", "0", "null", "W10", "e30", "é", "\ud800", "a" * 100_000),
            *(mine[:-3], mine[3:], mine + "AAAA", " " + mine, mine.upper()),
        ]
        for cursor in wrong:
            with pytest.raises(InvalidError) as refused:
                await store.load_conversation(OWNER, ID, limit=3, before=cursor)
            assert refused.value.field == "before"

    @pytest.mark.parametrize("limit", [0, -1, 501, 10**30])
    async def test_a_limit_out_of_range_is_invalid(
        self, store: ConversationStore, limit: int
    ) -> None:
        with pytest.raises(InvalidError) as refused:
            await store.load_conversation(OWNER, ID, limit=limit)
        assert refused.value.field == "limit"

    async def test_a_page_holds_512_kib_and_never_nothing(self, store: ConversationStore) -> None:
        sizes = [300_000, 200_000, 20_000, 500_000, 10, 10, 524_050, 10]
        for number, size in enumerate(sizes):
            await store.append_messages(OWNER, ID, [user(f"m{number}", "x" * size)])
        before = None
        pages: list[list[str | None]] = []
        for _ in sizes:
            page = await store.load_conversation(OWNER, ID, limit=500, before=before)
            assert page.messages
            assert sum(len(encode_json(m.to_wire())) for m in page.messages) <= MAX_PAGE_BYTES
            pages.insert(0, [m.message_id for m in page.messages])
            before = page.next_cursor
            if before is None:
                break
        assert pages == [["m0", "m1"], ["m2", "m3", "m4", "m5"], ["m6", "m7"]]

    async def test_annotations_count_for_the_size_of_a_page(self, store: ConversationStore) -> None:
        for number in range(50):
            await store.append_messages(OWNER, ID, [user(f"m{number}")])
        for number in range(50):
            await store.annotate_message(OWNER, ID, f"m{number}", {"x": "x" * 15_000})
        before = None
        seen = 0
        for _ in range(50):
            page = await store.load_conversation(OWNER, ID, limit=40, before=before)
            assert sum(len(encode_json(m.to_wire())) for m in page.messages) <= MAX_PAGE_BYTES
            seen += len(page.messages)
            before = page.next_cursor
            if before is None:
                break
        assert seen == 50

    async def test_an_emptied_conversation_has_a_version_and_an_empty_page(
        self, store: ConversationStore
    ) -> None:
        version = (await store.append_messages(OWNER, ID, users(3))).version
        await store.save_conversation(OWNER, ID, [], expected_version=version)
        page = await store.load_conversation(OWNER, ID, limit=10)
        assert (page.messages, page.next_cursor) == ([], None)
        assert page.version > version
        assert await load_ids(store) == []
        assert await list_ids(store) == [ID]
