"""Contract suite: listings, figures, deliveries."""

from typing import Any

import pytest

from servers.conversations.contract import MAX_PAGE_BYTES, Message, encode_json
from servers.conversations.store import ConversationStore
from servers.conversations.store_errors import InvalidError
from servers.conversations.store_values import ConversationUpdate
from tests.servers.conversations.documents import document
from tests.servers.conversations.messages import (
    ID,
    OWNER,
    assistant,
    in_seconds,
    list_ids,
    user,
    users,
)


class ContractOfListings:
    async def test_newest_first_by_the_last_message_change(self, store: ConversationStore) -> None:
        for name in ("a", "b", "c", "d"):
            await store.append_messages(OWNER, name, [user("m", created_at=in_seconds(-9_999))])
        assert await list_ids(store) == ["d", "c", "b", "a"]
        await store.append_messages(OWNER, "b", [user("n")])
        version = (await store.append_messages(OWNER, "a", [user("n")])).version
        assert await list_ids(store) == ["a", "b", "d", "c"]
        await store.update_conversation(OWNER, "c", ConversationUpdate(title="t"))
        await store.annotate_message(OWNER, "c", "m", {"x": 1})
        await store.append_messages(OWNER, "c", [user("m")])
        assert await list_ids(store) == ["a", "b", "d", "c"]
        await store.append_messages(OWNER, "d", [user("n")])
        await store.save_conversation(OWNER, "a", [], expected_version=version)
        assert await list_ids(store) == ["a", "d", "b", "c"]

    async def test_a_listed_conversation_is_the_one_that_get_shows(
        self, store: ConversationStore
    ) -> None:
        await store.append_messages(OWNER, ID, users(3))
        await store.update_conversation(
            OWNER, ID, ConversationUpdate(title="é", tags=["x"], metadata={"k": [None]})
        )
        [listed] = (await store.list_conversations(OWNER)).conversations
        found = await store.get_conversation(OWNER, ID)
        assert listed.model_dump() == found.model_dump(exclude={"stats"})
        assert (listed.owner, listed.message_count, listed.title) == (OWNER, 3, "é")
        assert listed.version == (await store.load_conversation(OWNER, ID)).version

    async def test_pages_by_cursor_and_by_offset(self, store: ConversationStore) -> None:
        for number in range(7):
            await store.append_messages(OWNER, f"c{number}", [user()])
        newest_first = [f"c{number}" for number in range(6, -1, -1)]
        seen: list[str] = []
        cursor = None
        for _ in range(4):
            page = await store.list_conversations(OWNER, limit=2, cursor=cursor)
            seen += [conversation.conversation_id for conversation in page.conversations]
            cursor = page.next_cursor
            if cursor is None:
                break
        assert seen == newest_first
        assert await list_ids(store, limit=3, offset=2) == newest_first[2:5]
        assert await list_ids(store, offset=7) == []
        assert await list_ids(store, offset=1_000_000_000) == []
        page = await store.list_conversations(OWNER, limit=3, offset=2)
        assert await list_ids(store, cursor=page.next_cursor) == newest_first[5:]
        assert (await store.list_conversations(OWNER, limit=7)).next_cursor is None

    async def test_new_conversations_do_not_disturb_a_cursor(
        self, store: ConversationStore
    ) -> None:
        for number in range(4):
            await store.append_messages(OWNER, f"c{number}", [user()])
        page = await store.list_conversations(OWNER, limit=2)
        await store.append_messages(OWNER, "new", [user()])
        assert await list_ids(store, cursor=page.next_cursor) == ["c1", "c0"]

    async def test_tags_match_exactly(self, store: ConversationStore) -> None:
        for name, tags in {"a": ["x", "y"], "b": ["X"], "c": ["xy"], "d": ["x"], "e": []}.items():
            await store.append_messages(OWNER, name, [user()])
            await store.update_conversation(OWNER, name, ConversationUpdate(tags=tags))
        await store.append_messages("bob", "f", [user()])
        await store.update_conversation("bob", "f", ConversationUpdate(tags=["x"]))
        assert await list_ids(store, tag="x") == ["d", "a"]
        assert await list_ids(store, tag="X") == ["b"]
        assert await list_ids(store, tag="%") == []
        page = await store.list_conversations(OWNER, tag="x", limit=1)
        assert await list_ids(store, tag="x", cursor=page.next_cursor) == ["a"]
        await store.update_conversation(OWNER, "a", ConversationUpdate(tags=["z"]))
        assert await list_ids(store, tag="x") == ["d"]

    async def test_arguments_out_of_range_are_invalid(self, store: ConversationStore) -> None:
        for number in range(3):
            await store.append_messages(OWNER, f"c{number}", [user()])
            await store.append_messages("bob", f"c{number}", [user()])
        mine = (await store.list_conversations(OWNER, limit=1)).next_cursor
        bobs = (await store.list_conversations("bob", limit=1)).next_cursor
        messages = (await store.load_conversation(OWNER, "c0", limit=1)).next_cursor
        assert messages is None
        wrong: list[tuple[dict[str, Any], str]] = [
            ({"limit": 0}, "limit"),
            ({"limit": 1_001}, "limit"),
            ({"offset": -1}, "offset"),
            ({"offset": 1_000_000_001}, "offset"),
            ({"cursor": mine, "offset": 1}, "cursor"),
            ({"cursor": bobs}, "cursor"),
            ({"cursor": mine, "tag": "x"}, "cursor"),
            ({"cursor": "x"}, "cursor"),
            ({"cursor": ""}, "cursor"),
            ({"tag": "\ud800"}, "tag"),
        ]
        for arguments, field in wrong:
            with pytest.raises(InvalidError) as refused:
                await list_ids(store, **arguments)
            assert refused.value.field == field
        with pytest.raises(InvalidError):
            await store.list_deliveries("x", limit=0)
        with pytest.raises(InvalidError):
            await store.list_deliveries("x", cursor=mine)
        with pytest.raises(InvalidError):
            await store.list_deliveries("\ud800")

    async def test_a_page_of_a_listing_holds_512_kib(self, store: ConversationStore) -> None:
        for number in range(40):
            await store.append_messages(OWNER, f"c{number:02}", [user()])
            await store.update_conversation(
                OWNER, f"c{number:02}", ConversationUpdate(metadata={"x": "x" * 16_000})
            )
        seen: list[str] = []
        cursor = None
        for _ in range(40):
            page = await store.list_conversations(OWNER, limit=1_000, cursor=cursor)
            assert len(encode_json([c.model_dump() for c in page.conversations])) < (
                MAX_PAGE_BYTES + 100
            )
            seen += [conversation.conversation_id for conversation in page.conversations]
            cursor = page.next_cursor
            if cursor is None:
                break
        assert seen == [f"c{number:02}" for number in range(39, -1, -1)]

    async def test_figures_follow_every_change(self, store: ConversationStore) -> None:
        usage = {"usage": {"input_tokens": 100, "output_tokens": 7}}
        messages = [
            user("a", created_at="2020-01-01T00:00:00Z"),
            assistant("b", metadata=usage),
            assistant("c", metadata={"usage": {"input_tokens": "many"}}),
            Message(message_id="d", role="tool", content="x", tool_call_id="t"),
        ]
        await store.append_messages(OWNER, ID, messages[:2])
        result = await store.append_messages(OWNER, ID, messages[2:])
        stats = (await store.get_conversation(OWNER, ID)).stats
        stored = (await store.load_conversation(OWNER, ID)).messages
        assert stats.messages_by_role == {"user": 1, "assistant": 2, "tool": 1}
        assert (stats.input_tokens, stats.output_tokens) == (100, 7)
        assert stats.first_message_at == "2020-01-01T00:00:00.000000Z"
        assert stats.last_message_at == stored[-1].created_at
        assert stats.bytes == sum(len(encode_json(m.to_wire())) for m in stored)
        await store.save_conversation(OWNER, ID, stored[2:3], expected_version=result.version)
        stats = (await store.get_conversation(OWNER, ID)).stats
        assert stats.messages_by_role == {"assistant": 1}
        assert stats.input_tokens == 0
        assert stats.first_message_at == stats.last_message_at == stored[2].created_at

    async def test_deliveries_are_found_by_state_over_all_owners(
        self, store: ConversationStore
    ) -> None:
        await store.append_messages("ada", "x", [assistant("a")])
        await store.append_messages("bob", "y", [assistant("b", annotations={"delivery": "sent"})])
        await store.append_messages("ada", "z", [assistant("c"), assistant("d")])
        await store.annotate_message("ada", "z", "d", {"delivery": {"state": "sent", "to": 1}})
        await store.annotate_message("ada", "x", "a", {"delivery": "sent", "other": 2})
        await store.annotate_message("ada", "z", "c", {"delivery": {"no_state": "sent"}})
        found = (await store.list_deliveries("sent")).deliveries
        assert [(d.owner, d.conversation_id, d.message_id) for d in found] == [
            ("ada", "x", "a"),
            ("bob", "y", "b"),
            ("ada", "z", "d"),
        ]
        assert found[0].annotations == {"delivery": "sent", "other": 2}
        assert {d.state for d in found} == {"sent"}
        mine = (await store.list_deliveries("sent", owner="bob")).deliveries
        assert [d.message_id for d in mine] == ["b"]
        assert (await store.list_deliveries("Sent")).deliveries == []
        assert (await store.list_deliveries("")).deliveries == []

    async def test_owners_are_those_who_have_conversations(self, store: ConversationStore) -> None:
        assert (await store.list_owners()).owners == []
        odd = ["ada", "Ada", "ad", "ada ", "é", "🙂" * 64, "telegram:-100", "a'b"]
        for owner in odd:
            await store.append_messages(owner, ID, users(1))
            await store.append_messages(owner, "another", [])
        assert sorted((await store.list_owners()).owners) == sorted(odd)
        await store.delete_conversation("ada", ID)
        version = await store.read_version("Ada", ID)
        await store.save_conversation("Ada", ID, [], expected_version=version)
        assert sorted((await store.list_owners()).owners) == sorted(set(odd) - {"ada"})

    async def test_pages_of_owners_hold_each_once(self, store: ConversationStore) -> None:
        names = [f"owner-{number}" for number in range(7)]
        for owner in names:
            await store.append_messages(owner, ID, users(1))
        seen: list[str] = []
        cursor = None
        for _ in range(7):
            page = await store.list_owners(limit=3, cursor=cursor)
            assert len(page.owners) <= 3
            seen += page.owners
            cursor = page.next_cursor
            if cursor is None:
                break
        assert sorted(seen) == names
        other = (await store.list_conversations("owner-1")).next_cursor or "x"
        mistakes: list[dict[str, Any]] = [{"limit": 0}, {"limit": 1_001}, {"cursor": other}]
        for wrong in mistakes:
            with pytest.raises(InvalidError):
                await store.list_owners(**wrong)

    async def test_the_figures_of_the_store_are_those_of_all_owners_or_not_told(
        self, store: ConversationStore
    ) -> None:
        await store.append_messages("ada", "x", users(3))
        await store.append_messages("bob", "x", users(2))
        await store.append_messages("ada", "gone", users(1))
        await store.delete_conversation("ada", "gone")
        await store.append_messages("eve", "expired", users(1))
        expiry = ConversationUpdate(expires_at=in_seconds(-1))
        await store.update_conversation("eve", "expired", expiry)
        stats = await store.get_stats()
        assert stats.owners in (None, 2)
        assert stats.conversations in (None, 2)
        assert stats.messages in (None, 5)
        assert stats.messages is None or stats.bytes > 5 * len("m0")
        assert (stats.counted_since is None) == (not stats.units)

    async def test_a_delivery_changes_its_state(self, store: ConversationStore) -> None:
        await store.append_messages(
            OWNER, ID, [assistant("a", annotations={"delivery": "pending"})]
        )
        await store.annotate_message(OWNER, ID, "a", {"delivery": "delivered"})
        assert (await store.list_deliveries("pending")).deliveries == []
        assert len((await store.list_deliveries("delivered")).deliveries) == 1
        await store.annotate_message(OWNER, ID, "a", {"delivery": None})
        assert (await store.list_deliveries("delivered")).deliveries == []

    async def test_deliveries_survive_a_save_that_keeps_the_message(
        self, store: ConversationStore
    ) -> None:
        version = (await store.append_messages(OWNER, ID, [*users(2), assistant("a")])).version
        await store.annotate_message(OWNER, ID, "a", {"delivery": "pending"})
        version = (
            await store.save_conversation(OWNER, ID, [assistant("a")], expected_version=version)
        ).version
        assert len((await store.list_deliveries("pending")).deliveries) == 1
        await store.save_conversation(OWNER, ID, [], expected_version=version)
        assert (await store.list_deliveries("pending")).deliveries == []

    async def test_deliveries_of_what_was_imported_come_in_their_order_whoever_comes_first(
        self, store: ConversationStore
    ) -> None:
        """Whose is first of what was stored at one time is left open; each comes once."""
        told = {"last_updated": "2020-01-01T00:00:00Z"}
        for conversation_id in ("c0", "c1", "c2"):
            batch = [
                assistant(f"{conversation_id}-{n}", annotations={"delivery": "pending"})
                for n in range(3)
            ]
            await store.import_conversation(
                OWNER, document(batch, **told), conversation_id=conversation_id
            )
        await store.append_messages(
            OWNER, "new", [assistant("new", annotations={"delivery": "pending"})]
        )
        seen: list[str] = []
        cursor = None
        for _ in range(10):
            page = await store.list_deliveries("pending", limit=1, cursor=cursor)
            seen += [delivery.message_id for delivery in page.deliveries]
            cursor = page.next_cursor
        assert cursor is None
        assert seen[-1] == "new"
        for conversation_id in ("c0", "c1", "c2"):
            mine = [each for each in seen if each.startswith(conversation_id)]
            assert mine == [f"{conversation_id}-{n}" for n in range(3)]

    async def test_pages_of_deliveries(self, store: ConversationStore) -> None:
        pending = {"delivery": "pending"}
        for number in range(3):
            batch = [assistant(f"{number}-{n}", annotations=pending) for n in range(3)]
            await store.append_messages(OWNER, f"c{number}", batch)
        seen: list[str] = []
        cursor = None
        for _ in range(9):
            page = await store.list_deliveries("pending", limit=2, cursor=cursor)
            seen += [delivery.message_id for delivery in page.deliveries]
            cursor = page.next_cursor
            if cursor is None:
                break
        assert seen == [f"{number}-{n}" for number in range(3) for n in range(3)]
