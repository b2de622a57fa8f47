"""Contract suite: conversations as documents, into the store and out of it."""

from typing import Any

import pytest

from servers.conversations.contract import encode_json
from servers.conversations.contract_documents import ConversationDocument, ExportFormat
from servers.conversations.store import ConversationStore
from servers.conversations.store_errors import InvalidError, NotFoundError, StaleCursorError
from servers.conversations.store_values import ConversationUpdate
from servers.conversations.transcript_text import render_message
from tests.servers.conversations.documents import (
    document,
    export_messages,
    export_pages,
    export_text,
)
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

NO_IDS = ["", "x" * 1_025, "a\0b", "\ud800"]
FORMATS: set[ExportFormat] = {"json", "markdown"}
LONG_AGO = "2020-01-02T03:04:05.000006Z"
LATER_THAN_THAT = "2021-01-01T00:00:00.000000Z"


class ContractOfExchange:
    async def test_an_export_is_the_facts_and_all_messages_oldest_first(
        self, store: ConversationStore
    ) -> None:
        await store.append_messages(OWNER, ID, [user("a"), assistant("b", metadata={"k": None})])
        await store.update_conversation(OWNER, ID, ConversationUpdate(title="T", tags=["x"]))
        await store.annotate_message(OWNER, ID, "a", {"seen": True})
        page = await store.export_conversation(OWNER, ID)
        assert isinstance(page.document, dict)
        assert page.next_cursor is None
        assert list(page.document) == ["format", "conversation", "messages"]
        assert page.document["format"] == "agentic-conversation/1"
        found = await store.get_conversation(OWNER, ID)
        assert page.document["conversation"] == found.model_dump(exclude={"stats"})
        loaded = (await store.load_conversation(OWNER, ID)).messages
        assert page.document["messages"] == [message.to_wire() for message in loaded]

    async def test_pages_hold_512_kib_and_1000_messages_at_most(
        self, store: ConversationStore
    ) -> None:
        for start in (0, 1_000):
            await store.append_messages(OWNER, ID, users(1_000, start))
        for number in range(4):
            await store.append_messages(OWNER, ID, [user(f"large{number}", "é" * 120_000)])
        await store.append_messages(OWNER, ID, [user("huge", "x" * 524_000), user("last")])
        pages = [page async for page in export_pages(store)]
        assert [len(page["messages"]) for page in pages] == [1_000, 1_000, 2, 2, 1, 1]
        assert all(len(encode_json(page)) <= 512 * 1024 for page in pages[:-2])
        assert len({encode_json(page["conversation"]) for page in pages}) == 1
        stored = (await store.load_conversation(OWNER, ID)).messages
        assert await export_messages(store) == stored

    async def test_annotations_are_exported_as_they_are_now(self, store: ConversationStore) -> None:
        facts = {"k": "x" * 15_000}
        given = [user(f"m{n}", "x" * 4_000, annotations={"old": n}) for n in range(200)]
        await store.append_messages(OWNER, ID, given)
        for number in range(0, 200, 20):
            await store.annotate_message(OWNER, ID, f"m{number}", facts)
        await store.annotate_message(OWNER, ID, "m1", {"old": None})
        stored = (await store.load_conversation(OWNER, ID)).messages
        assert await export_messages(store) == stored
        async for page in export_pages(store):
            assert len(encode_json(page)) <= 512 * 1024
        cursor = (await store.export_conversation(OWNER, ID)).next_cursor
        await store.annotate_message(OWNER, ID, "m199", {"new": 1})
        last = None
        while cursor:
            last = await store.export_conversation(OWNER, ID, cursor=cursor)
            cursor = last.next_cursor
        assert last is not None
        assert isinstance(last.document, dict)
        assert last.document["messages"][-1]["annotations"] == {"old": 199, "new": 1}

    async def test_what_is_appended_while_paging_is_exported_too(
        self, store: ConversationStore
    ) -> None:
        await store.append_messages(OWNER, ID, users(3, size=300_000))
        first = await store.export_conversation(OWNER, ID)
        await store.append_messages(OWNER, ID, [user("new")])
        await store.annotate_message(OWNER, ID, "m0", {"k": 1})
        second = await store.export_conversation(OWNER, ID, cursor=first.next_cursor)
        third = await store.export_conversation(OWNER, ID, cursor=second.next_cursor)
        assert isinstance(third.document, dict)
        assert [message["message_id"] for message in third.document["messages"]] == ["m2", "new"]
        assert third.next_cursor is None

    async def test_a_cursor_from_before_a_rewrite_is_stale(self, store: ConversationStore) -> None:
        version = (await store.append_messages(OWNER, ID, users(3, size=300_000))).version
        for format in FORMATS:
            cursor = (await store.export_conversation(OWNER, ID, format=format)).next_cursor
            assert cursor
            for other in FORMATS - {format}:
                with pytest.raises(InvalidError):
                    await store.export_conversation(OWNER, ID, format=other, cursor=cursor)
            for bad in ("x", "", cursor + "x", cursor[:-2]):
                with pytest.raises(InvalidError) as refused:
                    await store.export_conversation(OWNER, ID, format=format, cursor=bad)
                assert refused.value.field == "cursor"
            await store.append_messages(OWNER, "other", [user()])
            with pytest.raises(InvalidError):
                await store.export_conversation(OWNER, "other", format=format, cursor=cursor)
            version = (
                await store.save_conversation(
                    OWNER, ID, users(4, size=300_000)[::-1], expected_version=version
                )
            ).version
            with pytest.raises(StaleCursorError):
                await store.export_conversation(OWNER, ID, format=format, cursor=cursor)
            version = (
                await store.save_conversation(
                    OWNER, ID, users(4, size=300_000), expected_version=version
                )
            ).version

    async def test_an_empty_conversation_is_exported(self, store: ConversationStore) -> None:
        await store.save_conversation(OWNER, ID, users(1))
        version = (await store.load_conversation(OWNER, ID)).version
        await store.save_conversation(OWNER, ID, [], expected_version=version)
        assert await export_messages(store) == []
        assert "0 messages" in await export_text(store)

    async def test_markdown_pages_joined_are_the_whole(self, store: ConversationStore) -> None:
        await store.append_messages(
            OWNER,
            ID,
            [user("a", "one\ntwo"), user("b", "é\n" * 100_000), user("c", "日" * 150_000)],
        )
        await store.append_messages(OWNER, ID, [user("d", "\n" * 250_000), assistant("e", "end")])
        pages = [page async for page in export_pages(store, format="markdown")]
        assert all(0 < len(page.encode()) <= 512 * 1024 for page in pages)
        text = "".join(pages)
        head, *messages = text.split("\n## ")
        assert head.startswith(f"# Conversation `{ID}`\n")
        assert "5 messages" in head
        contents = ["one\ntwo", "é\n" * 100_000, "日" * 150_000, "\n" * 250_000, "end"]
        for content, message in zip(contents, messages, strict=True):
            _, _, body = message.partition("\n\n")
            assert body.rstrip("\n") == "    " + content.replace("\n", "\n    ")

    @pytest.mark.parametrize(
        "content",
        [
            "aaaaa\n" + "## user\n" * 50_000,
            "\\\n" * 130_000,
            [{"type": "tool_use", "id": "1", "name": "t", "input": {"a": '# "' * 100_000}}],
        ],
        ids=["lines", "backslashes", "one line"],
    )
    async def test_no_markdown_page_begins_with_what_could_pass_for_a_heading(
        self, store: ConversationStore, content: str | list[dict[str, Any]]
    ) -> None:
        await store.append_messages(OWNER, ID, [assistant("a", content), user("b", "end")])
        pages = [page async for page in export_pages(store, format="markdown")]
        assert len(pages) > 2
        for page in pages:
            assert len(encode_json(page)) <= 512 * 1024
            assert page.startswith(("# Conversation `", "## assistant, ", "## user, ", "    "))
        messages = (await store.load_conversation(OWNER, ID)).messages
        assert "".join(pages).endswith("".join(map(render_message, messages)))

    async def test_hostile_titles_and_contents_stay_data_in_markdown(
        self, store: ConversationStore
    ) -> None:
        hostile = "# x\n## user, 2026\n</pre><script>`\x1b[31m\u202e\r\n```\n## assistant"
        await store.append_messages(
            OWNER, ID, [user("a", hostile, name="n`\n# x"), assistant("b", hostile)]
        )
        await store.update_conversation(OWNER, ID, ConversationUpdate(title=hostile))
        text = await export_text(store)
        headings = [line for line in text.split("\n") if line.startswith("#")]
        assert len(headings) == 3
        assert all(
            line.startswith(("# Conversation `", "## user `", "## assistant, "))
            for line in headings
        )
        assert not set(text) & set("\x1b\u202e\r")
        inside = [line for line in text.split("\n") if "script" in line]
        assert all(line.startswith(("    ", "Title: `")) for line in inside)

    async def test_an_unknown_conversation_and_anothers_are_not_found(
        self, store: ConversationStore
    ) -> None:
        await store.append_messages("bob", ID, users(3, size=300_000))
        cursor = (await store.export_conversation("bob", ID)).next_cursor
        texts: set[str] = set()
        for conversation_id in (ID, "unknown"):
            for given in (None, cursor):
                with pytest.raises(NotFoundError) as missing:
                    await store.export_conversation(OWNER, conversation_id, cursor=given)
                texts.add(str(missing.value))
        assert len(texts) == 1

    @pytest.mark.parametrize("conversation_id", NO_IDS)
    async def test_what_cannot_be_an_id_is_not_exported(
        self, store: ConversationStore, conversation_id: str
    ) -> None:
        with pytest.raises(InvalidError) as refused:
            await store.export_conversation(OWNER, conversation_id)
        assert refused.value.field == "conversation_id"

    async def test_what_is_exported_and_imported_is_equal_but_for_owner_and_version(
        self, store: ConversationStore
    ) -> None:
        await store.append_messages(OWNER, ID, users(3, size=300_000))
        await store.append_messages(OWNER, ID, [assistant("a", annotations={"k": 1})])
        await store.annotate_message(OWNER, ID, "m0", {"delivery": {"state": "answered"}})
        await store.update_conversation(
            OWNER,
            ID,
            ConversationUpdate(
                title="T", tags=["b", "a"], metadata={"k": [1]}, expires_at=in_seconds(1_000)
            ),
        )
        async for page in export_pages(store):
            await store.import_conversation("bob", ConversationDocument.model_validate(page))
        both = [await store.get_conversation(owner, ID) for owner in (OWNER, "bob")]
        first, second = (
            found.model_dump(exclude={"owner": True, "version": True, "stats": {"bytes"}})
            for found in both
        )
        assert first == second
        loaded = [(await store.load_conversation(owner, ID)).messages for owner in (OWNER, "bob")]
        assert loaded[0] == loaded[1]

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
