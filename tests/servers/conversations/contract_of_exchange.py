"""Contract suite: conversations as documents, into the store and out of it."""

import pytest

from servers.conversations.store import ConversationStore, ConversationUpdate, InvalidError
from tests.servers.conversations.documents import document
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

LONG_AGO = "2020-01-02T03:04:05.000006Z"
LATER_THAN_THAT = "2021-01-01T00:00:00.000000Z"


class ContractOfExchange:
    async def test_what_is_imported_into_an_empty_store_has_the_documents_facts(
        self, store: ConversationStore
    ) -> None:
        expiry = in_seconds(1_000)
        facts = {
            "title": "T",
            "tags": ["b", "a"],
            "metadata": {"k": None},
            "created_at": LONG_AGO,
            "last_updated": LATER_THAN_THAT,
            "expires_at": expiry,
        }
        given = [user("a", created_at=LONG_AGO), assistant("b", annotations={"seen": True})]
        result = await store.import_conversation(OWNER, document(given, owner="bob", **facts))
        assert (result.conversation_id, result.appended) == (ID, 2)
        assert (result.repeated, result.skipped) == (0, 0)
        found = await store.get_conversation(OWNER, ID)
        assert {name: getattr(found, name) for name in facts} == facts
        assert (found.owner, found.message_count) == (OWNER, 2)
        first, second = (await store.load_conversation(OWNER, ID)).messages
        assert (first, second.annotations) == (given[0], {"seen": True})
        assert second.created_at
        assert await list_ids(store, tag="a") == [ID]
        assert await list_ids(store, "bob") == []

    async def test_an_import_into_a_named_conversation_leaves_the_documents_alone(
        self, store: ConversationStore
    ) -> None:
        given = document(users(2), title="T")
        result = await store.import_conversation(OWNER, given, conversation_id="other")
        assert result.conversation_id == "other"
        assert await list_ids(store) == ["other"]

    async def test_importing_twice_adds_nothing(self, store: ConversationStore) -> None:
        hello, again = user(content="hello"), user(content="hello")
        given = document([user("a"), hello, again, user("b"), user("a")])
        first = await store.import_conversation(OWNER, given)
        assert (first.appended, first.repeated, first.skipped) == (4, 1, 0)
        before = await store.get_conversation(OWNER, ID)
        second = await store.import_conversation(OWNER, given)
        assert (second.appended, second.repeated, second.skipped) == (0, 5, 0)
        assert await store.get_conversation(OWNER, ID) == before
        ids = await load_ids(store)
        assert (ids[0], ids[3], len(set(ids))) == ("a", "b", 4)

    async def test_a_document_that_has_grown_adds_what_is_new(
        self, store: ConversationStore
    ) -> None:
        nameless = [user(content="one"), assistant(content="two")]
        await store.import_conversation(OWNER, document(nameless))
        grown = [*nameless, user(content="one")]
        result = await store.import_conversation(OWNER, document(grown))
        assert (result.appended, result.repeated) == (1, 2)
        contents = [m.content for m in (await store.load_conversation(OWNER, ID)).messages]
        assert contents == ["one", "two", "one"]

    async def test_an_id_with_other_content_is_skipped(self, store: ConversationStore) -> None:
        await store.append_messages(OWNER, ID, [user("a", "mine")])
        given = [user("a", "theirs"), user("b"), user("b", "other")]
        result = await store.import_conversation(OWNER, document(given))
        assert (result.appended, result.repeated, result.skipped) == (1, 0, 2)
        loaded = (await store.load_conversation(OWNER, ID)).messages
        assert [(m.message_id, m.content) for m in loaded] == [("a", "mine"), ("b", "hello")]

    async def test_ids_of_any_age_are_recognised(self, store: ConversationStore) -> None:
        odd = ['quo"te', "back\\slash", "é🙂", "\\u0061", '{"seq":1}']
        await store.append_messages(OWNER, ID, [user(name) for name in odd])
        for start in range(0, 5_000, 1_000):
            await store.append_messages(OWNER, ID, users(1_000, start))
        await store.annotate_message(OWNER, ID, "m0", {"k": "m1"})
        given = [*(user(name) for name in odd), *users(20), user("m20", "other"), user("a")]
        result = await store.import_conversation(OWNER, document(given))
        assert (result.appended, result.repeated, result.skipped) == (1, 25, 1)
        await store.append_messages(OWNER, ID, users(1_000, 5_000))
        given = [*users(500, 5_000), user("a"), user("b")]
        result = await store.import_conversation(OWNER, document(given))
        assert (result.appended, result.repeated, result.skipped) == (1, 501, 0)

    async def test_a_conversation_that_is_there_keeps_its_facts(
        self, store: ConversationStore
    ) -> None:
        await store.append_messages(OWNER, ID, [user("a")])
        update = ConversationUpdate(title="mine", tags=["x"], metadata={"k": 1})
        before = await store.update_conversation(OWNER, ID, update)
        given = document(
            [user("b")], title="theirs", tags=["y"], last_updated=LONG_AGO, created_at=LONG_AGO
        )
        await store.import_conversation(OWNER, given)
        after = await store.get_conversation(OWNER, ID)
        kept = ("title", "tags", "metadata", "created_at", "last_updated")
        assert all(getattr(after, name) == getattr(before, name) for name in kept)
        assert after.version > before.version

    async def test_last_updated_is_the_documents_over_several_pages(
        self, store: ConversationStore
    ) -> None:
        for number in range(3):
            page = document([user(f"m{number}")], last_updated=LONG_AGO)
            await store.import_conversation(OWNER, page)
        assert (await store.get_conversation(OWNER, ID)).last_updated == LONG_AGO
        page = document([user("more")], last_updated="2999-01-01T00:00:00Z")
        await store.import_conversation(OWNER, page)
        assert LONG_AGO < (await store.get_conversation(OWNER, ID)).last_updated < in_seconds(60)

    async def test_an_import_begins_anew_where_one_was_deleted(
        self, store: ConversationStore
    ) -> None:
        version = (await store.append_messages(OWNER, ID, users(3))).version
        await store.delete_conversation(OWNER, ID)
        given = document([user("m0", "other")], title="T", last_updated=LONG_AGO)
        assert (await store.import_conversation(OWNER, given)).appended == 1
        found = await store.get_conversation(OWNER, ID)
        assert (found.title, found.last_updated, found.message_count) == ("T", LONG_AGO, 1)
        assert found.version > version

    async def test_an_empty_document_makes_an_empty_conversation(
        self, store: ConversationStore
    ) -> None:
        result = await store.import_conversation(OWNER, document(title="T"))
        assert (result.appended, result.repeated, result.skipped) == (0, 0, 0)
        assert (await store.get_conversation(OWNER, ID)).title == "T"

    async def test_an_expiry_that_is_past_is_not_taken(self, store: ConversationStore) -> None:
        await store.import_conversation(OWNER, document([user("a")], expires_at=LONG_AGO))
        assert (await store.get_conversation(OWNER, ID)).expires_at is None

    async def test_an_import_without_a_place_to_go_is_invalid(
        self, store: ConversationStore
    ) -> None:
        with pytest.raises(InvalidError) as refused:
            await store.import_conversation(OWNER, document(users(1), conversation_id=None))
        assert refused.value.field == "document.conversation.conversation_id"
        nameless = document(users(1), conversation_id=None)
        await store.import_conversation(OWNER, nameless, conversation_id="c")
        assert await list_ids(store) == ["c"]
        for bad in ("", "x" * 1_025, "a\0"):
            with pytest.raises(InvalidError):
                await store.import_conversation(OWNER, nameless, conversation_id=bad)

    async def test_an_import_is_confined_to_its_owner(self, store: ConversationStore) -> None:
        await store.append_messages("bob", ID, [user("m0", "bob's")])
        result = await store.import_conversation(OWNER, document(users(1), owner="bob"))
        assert (result.appended, result.skipped) == (1, 0)
        assert [m.content for m in (await store.load_conversation("bob", ID)).messages] == ["bob's"]
