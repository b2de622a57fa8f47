"""Contract suite: what makes two conversations different, and what can name one."""

import unicodedata

import pytest

from servers.conversations.store import ConversationStore
from servers.conversations.store_errors import InvalidError, NotFoundError
from servers.conversations.store_values import ConversationUpdate
from tests.servers.conversations.messages import ID, OWNER, list_ids, load_ids, user

IDS = [
    "a/b",
    "a_b",
    "A_B",
    "../x",
    "..",
    ".",
    "/etc/passwd",
    "CON",
    "con",
    "NUL",
    "nul.txt",
    "COM1:",
    "a\\b",
    "~",
    ".jsonl",
    " ",
    "a ",
    "🙂",
    "*",
    "%2e%2e",
    "'; DROP TABLE conversations; --",
    "a\nb",
    unicodedata.normalize("NFC", "é"),
    unicodedata.normalize("NFD", "é"),
    "x" * 1_024,
    "x" * 1_023,
    "é" * 512,
    "..//" * 256,
]
OWNERS = [
    "ada",
    "Ada",
    "..",
    "../ada",
    "a/b",
    "a_b",
    "NUL",
    "🙂",
    "é",
    "e\u0301",
    "x" * 256,
    "x" * 255,
]


class ContractOfIdentity:
    async def test_every_id_is_a_conversation_of_its_own(self, store: ConversationStore) -> None:
        for number, conversation_id in enumerate(IDS):
            await store.append_messages(OWNER, conversation_id, [user(f"m{number}")])
        for number, conversation_id in enumerate(IDS):
            assert await load_ids(store, conversation_id) == [f"m{number}"]
            found = await store.get_conversation(OWNER, conversation_id)
            assert found.conversation_id == conversation_id
        listed = await store.list_conversations(OWNER)
        assert {c.conversation_id for c in listed.conversations} == set(IDS)

    @pytest.mark.parametrize(
        "conversation_id", ["", "x" * 1_025, "é" * 513, "a\0b", "\0", "\ud800", "a\udfffb"]
    )
    async def test_what_cannot_be_an_id_is_refused_by_every_verb(
        self, store: ConversationStore, conversation_id: str
    ) -> None:
        calls = [
            store.load_conversation(OWNER, conversation_id),
            store.append_messages(OWNER, conversation_id, [user()]),
            store.save_conversation(OWNER, conversation_id, [user()]),
            store.annotate_message(OWNER, conversation_id, "m", {"a": 1}),
            store.read_version(OWNER, conversation_id),
            store.delete_conversation(OWNER, conversation_id),
            store.get_conversation(OWNER, conversation_id),
            store.update_conversation(OWNER, conversation_id, ConversationUpdate(title="t")),
        ]
        for call in calls:
            with pytest.raises(InvalidError) as refused:
                await call
            assert refused.value.field == "conversation_id"

    @pytest.mark.parametrize("owner", ["", "x" * 257, "a\0", "a\n", "\ud800", "a\x85"])
    async def test_what_cannot_be_an_owner_is_refused(
        self, store: ConversationStore, owner: str
    ) -> None:
        for call in [
            store.load_conversation(owner, ID),
            store.append_messages(owner, ID, [user()]),
            store.list_conversations(owner),
            store.list_deliveries("pending", owner=owner),
        ]:
            with pytest.raises(InvalidError):
                await call

    async def test_the_same_id_under_two_owners_is_two_conversations(
        self, store: ConversationStore
    ) -> None:
        await store.append_messages("ada", ID, [user("a")])
        await store.append_messages("bob", ID, [user("b")])
        assert await load_ids(store, ID, "ada") == ["a"]
        assert await load_ids(store, ID, "bob") == ["b"]
        await store.delete_conversation("bob", ID)
        assert await load_ids(store, ID, "ada") == ["a"]
        assert await load_ids(store, ID, "bob") == []

    async def test_every_owner_is_one_of_their_own(self, store: ConversationStore) -> None:
        for number, owner in enumerate(OWNERS):
            await store.append_messages(owner, ID, [user(f"m{number}")])
            await store.append_messages(owner, owner, [user()])
        for number, owner in enumerate(OWNERS):
            assert await load_ids(store, ID, owner) == [f"m{number}"]
            assert set(await list_ids(store, owner)) == {ID, owner}

    async def test_owner_and_id_do_not_run_into_each_other(self, store: ConversationStore) -> None:
        pairs = [("a", "bc"), ("ab", "c"), ("Ada", "x"), ("ada", "x"), ("a:b", "c"), ("a", "b:c")]
        for number, (owner, conversation_id) in enumerate(pairs):
            await store.append_messages(owner, conversation_id, [user(f"m{number}")])
        for number, (owner, conversation_id) in enumerate(pairs):
            assert await load_ids(store, conversation_id, owner) == [f"m{number}"]

    async def test_anothers_conversation_looks_like_an_unknown_one(
        self, store: ConversationStore
    ) -> None:
        await store.append_messages("bob", ID, [user("b")])
        for conversation_id in (ID, "unknown"):
            loaded = await store.load_conversation("ada", conversation_id, limit=10)
            assert (loaded.messages, loaded.version, loaded.next_cursor, loaded.damaged) == (
                *([], 0, None),
                0,
            )
            assert not (await store.delete_conversation("ada", conversation_id)).deleted
            texts: set[str] = set()
            for call in [
                store.get_conversation("ada", conversation_id),
                store.update_conversation("ada", conversation_id, ConversationUpdate(title="t")),
                store.annotate_message("ada", conversation_id, "b", {"a": 1}),
            ]:
                with pytest.raises(NotFoundError) as missing:
                    await call
                texts.add(str(missing.value))
            assert len(texts) == 1
        assert (await store.list_conversations("ada")).conversations == []
        assert (await store.list_deliveries("pending", owner="ada")).deliveries == []
