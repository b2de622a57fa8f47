"""Contract suite: search."""

import unicodedata
from typing import Any

import pytest

from servers.conversations.contract import Message
from servers.conversations.contract_results import SearchHit
from servers.conversations.store import ConversationStore
from servers.conversations.store_errors import InvalidError
from servers.conversations.store_values import ConversationUpdate
from tests.servers.conversations.messages import (
    ID,
    OWNER,
    assistant,
    in_seconds,
    user,
)

SENTENCES = {
    "vet": "The vet saw our cat on Monday, and it's well again.",
    "cafe": "We met in the CAFÉ at the corner of Main Street",
    "flat": "Straße und Müller: naïve façade",
    "stroke": "Łódź, smørrebrød, Đặng and IĞDIR",
    "code": "snake_case_name = foo-bar(42) # at https://example.com/a?b=c",
    "zh": "我们明天在图书馆见面吧",
    "ja": "東京タワーでラーメンを食べました",
    "ko": "내일 도서관에서 만나요",
    "th": "พรุ่งนี้เจอกันที่ห้องสมุด",
    "hi": "कल पुस्तकालय में मिलते हैं",
    "ar": "سنلتقي غدًا في المَكْتَبة",
    "emoji": "done 👍🏽 see you",
}


async def find(store: ConversationStore, query: str, **filters: Any) -> list[SearchHit]:
    found = await store.search_conversations(OWNER, query, **filters)
    assert not found.truncated
    return found.hits


async def find_ids(store: ConversationStore, query: str, **filters: Any) -> list[str | None]:
    return [hit.message_id for hit in await find(store, query, **filters)]


async def append(store: ConversationStore, *messages: Message, to: str = ID) -> None:
    await store.append_messages(OWNER, to, messages)


class ContractOfSearch:
    @pytest.mark.parametrize(
        ("query", "found"),
        [
            ("cat", ["vet"]),
            ("CAT monday", ["vet"]),
            ("monday cat", ["vet"]),
            ("cat tuesday", []),
            ("ca", []),
            ("ca*", ["vet", "cafe", "code"]),
            ("c* monday", ["vet"]),
            ('"saw our cat"', ["vet"]),
            ('"our saw"', []),
            ('"saw ou"*', ["vet"]),
            ('"cat on" monday', ["vet"]),
            ("it's", ["vet"]),
            ("its", []),
            ("cafe", ["cafe"]),
            ("café", ["cafe"]),
            ("CAFE\u0301", ["cafe"]),
            ("strasse muller facade NAIVE", ["flat"]),
            ("lodz smorrebrod dang", ["stroke"]),
            ("\u0131\u011fd\u0131r", ["stroke"]),
            ("ŁÓDŹ igdir", ["stroke"]),
            ("snake_case_name", ["code"]),
            ("case name", ["code"]),
            ("foo-bar(42)", ["code"]),
            ("https://example.com/a?b=c", ["code"]),
            ("图书馆", ["zh"]),
            ("馆图", []),
            ("明天 图书", ["zh"]),
            ("ラーメン", ["ja"]),
            ("ﾗｰﾒﾝ", ["ja"]),
            ("東京", ["ja"]),
            ("도서관", ["ko"]),
            (unicodedata.normalize("NFD", "도서관"), ["ko"]),
            ("ห้องสมุด", ["th"]),
            ("पुस्तकालय", ["hi"]),
            ("المكتبة", ["ar"]),
            ("👍", ["emoji"]),
            ("done !!! 👍", ["emoji"]),
            ("OR", []),
            ("cat AND NOT monday", []),
            ("cat OR dog", []),
            ("NEAR(cat monday)", []),
            ("words:cat", []),
            ('cat "', ["vet"]),
            ('"cat', ["vet"]),
            ("(cat)*", ["vet"]),
            ("^cat + monday", ["vet"]),
            ("cat;--' \\ %", ["vet"]),
        ],
    )
    async def test_all_words_must_occur_and_nothing_else_is_syntax(
        self, store: ConversationStore, query: str, found: list[str]
    ) -> None:
        await append(store, *[user(name, text) for name, text in SENTENCES.items()])
        assert sorted(map(str, await find_ids(store, query))) == sorted(found)

    async def test_long_words_are_compared_to_their_ends(self, store: ConversationStore) -> None:
        for long in ("x" * 72, "é" * 72):
            same = [user(f"{long[0]}{end}", f"token {long}{end}.") for end in ("AAA", "AAB", "B")]
            await append(store, *same, user(f"{long[0]}64", long[:64]))
            assert await find_ids(store, f'"token {long}AAA"') == [f"{long[0]}AAA"]
            assert await find_ids(store, f"{long}b") == [f"{long[0]}B"]
            assert await find_ids(store, f"{long}C") == []
            assert await find_ids(store, long) == []
            assert await find_ids(store, long[:64]) == [f"{long[0]}64"]
            assert sorted(map(str, await find_ids(store, f"{long}aa*"))) == [
                f"{long[0]}AAA",
                f"{long[0]}AAB",
            ]
            assert len(await find(store, f"{long[:64]}*")) == 4
        [hit] = await find(store, "x" * 72 + "B")
        assert hit.snippet == "token **" + "x" * 72 + "B**."

    async def test_a_hit_says_what_was_found_and_where(self, store: ConversationStore) -> None:
        at = in_seconds(-3_600)
        text = "before " * 100 + "the RED\n\x1b[31m\u202e car, **red** again" + " after" * 100
        await append(store, assistant("a", text, created_at=at), user("b"))
        [hit] = await find(store, "red car")
        assert (hit.conversation_id, hit.message_id, hit.role) == (ID, "a", "assistant")
        assert hit.created_at == at
        assert hit.score > 0
        assert "the **RED** \ufffd[31m\ufffd **car**, **red** again after" in hit.snippet
        assert hit.snippet.startswith("…before ")
        assert hit.snippet.endswith(" after…")
        assert len(hit.snippet) < 250

    async def test_text_of_content_is_searched_and_nothing_else(
        self, store: ConversationStore
    ) -> None:
        call = {"type": "tool_use", "id": "x", "name": "needle", "input": {"q": "needle"}}
        blocks: list[dict[str, Any]] = [
            {"type": "text", "text": "first needle"},
            {"type": "image", "data": "bmVlZGxl", "mimeType": "image/needle"},
            {"type": "resource_link", "uri": "needle:needle", "name": "needle"},
            {"type": "x.other", "needle": "needle", "text": ["needle"]},
            {"type": "text", "text": "second"},
        ]
        await append(
            store,
            Message(message_id="blocks", role="user", content=blocks),
            assistant("thoughts", "nothing", thoughts="needle", name="needle"),
            Message(message_id="call", role="assistant", content=[call]),
            Message(message_id="result", role="tool", content="a needle", tool_call_id="x"),
            user("facts", "nothing", metadata={"needle": "needle"}, annotations={"a": "needle"}),
        )
        assert sorted(map(str, await find_ids(store, "needle"))) == ["blocks", "result"]
        assert await find_ids(store, "first second") == ["blocks"]
        assert await find_ids(store, "bmVlZGxl") == []

    async def test_a_title_is_found_as_it_is_now(self, store: ConversationStore) -> None:
        await append(store, user("a", "about plants"))
        update = ConversationUpdate(title="The Garden plan", tags=["garden"])
        conversation = await store.update_conversation(OWNER, ID, update)
        [hit] = await find(store, "garden")
        assert (hit.conversation_id, hit.message_id, hit.role) == (ID, None, None)
        assert (hit.snippet, hit.created_at) == ("The **Garden** plan", conversation.created_at)
        assert await find(store, "garden", role="user") == []
        await store.update_conversation(OWNER, ID, ConversationUpdate(title="The house"))
        assert await find(store, "garden") == []
        assert [hit.snippet for hit in await find(store, "house")] == ["The **house**"]
        await append(store, user("b", "more"))
        assert len(await find(store, "house")) == 1
        await store.update_conversation(OWNER, ID, ConversationUpdate(title=None))
        assert await find(store, "house") == []
        assert await find_ids(store, "plants") == ["a"]

    async def test_each_owner_finds_its_own(self, store: ConversationStore) -> None:
        for owner, text in (("ada", "shared secretofada"), ("bob", "shared secretofbob")):
            await store.append_messages(owner, ID, [user("m", text)])
            await store.update_conversation(owner, ID, ConversationUpdate(title=f"for{owner}"))
        for owner, other in (("ada", "bob"), ("bob", "ada")):
            for query in ("shared", "sec*", f"secretof{owner}"):
                found = await store.search_conversations(owner, query)
                assert [hit.snippet.count(owner) for hit in found.hits] == [1], query
            for query in (f"secretof{other}", f"secretof{other}*", f"for{other}"):
                found = await store.search_conversations(owner, query)
                assert (found.hits, found.truncated) == ([], False)
        nobodys = await store.search_conversations("carol", "shared", conversation_id=ID)
        unknown = await store.search_conversations("ada", "shared", conversation_id="none")
        assert nobodys == unknown
        assert unknown.hits == []

    async def test_filters_by_conversation_role_and_time(self, store: ConversationStore) -> None:
        before, now = in_seconds(-7_200), in_seconds(-60)
        await append(
            store,
            user("a", "apple", created_at=before),
            assistant("b", "apple", created_at=now),
            Message(message_id="c", role="tool", content="apple", created_at=now),
        )
        await append(store, user("d", "apple pie", created_at=now), to="other")

        async def ids(**filters: Any) -> str:
            return "".join(sorted(map(str, await find_ids(store, "apple", **filters))))

        assert await ids() == "abcd"
        assert await ids(conversation_id=ID) == "abc"
        assert await ids(role="user") == "ad"
        assert await ids(role="system") == ""
        assert await ids(since=now) == "bcd"
        assert await ids(since=in_seconds(0)) == ""
        assert await ids(since=in_seconds(-3_600), role="user", conversation_id="other") == "d"
        assert await ids(since=before.replace("Z", "+00:00")) == "abcd"

    async def test_a_microsecond_before_the_time_asked_for_is_not_found(
        self, store: ConversationStore
    ) -> None:
        times = [f"2026-01-31T09:30:00.000{number}00Z" for number in (1, 9)]
        await append(store, *[user(at, "apple", created_at=at) for at in times])
        assert await find_ids(store, "apple", since="2026-01-31T09:30:00.000500Z") == times[1:]

    async def test_long_words_without_spaces_are_found_also_taken_apart(
        self, store: ConversationStore
    ) -> None:
        text = "한국어로말씀해주시면감사하겠습니다이문장은띄어쓰기없이길게쓰였습니다그리고끝에참외"
        await append(store, user("a", unicodedata.normalize("NFD", text)))
        assert await find_ids(store, "참외") == ["a"]

    async def test_more_occurrences_in_a_shorter_and_newer_text_come_first(
        self, store: ConversationStore
    ) -> None:
        padding = "word " * 60
        await append(
            store,
            user("old", "fish", created_at=in_seconds(-400 * 86_400)),
            user("long", f"fish {padding}"),
            user("often", f"fish fish fish fish {padding}"),
            user("new", "fish"),
        )
        hits = await find(store, "fish")
        ids = [hit.message_id for hit in hits]
        assert ids[0] == "new"
        assert ids.index("often") < ids.index("long")
        assert ids.index("new") < ids.index("old")
        scores = [hit.score for hit in hits]
        assert scores == sorted(scores, reverse=True)

    async def test_at_most_limit_hits_and_it_is_said_that_there_are_more(
        self, store: ConversationStore
    ) -> None:
        await append(store, *[user(f"m{n}", "berry") for n in range(5)])
        found = await store.search_conversations(OWNER, "berry", limit=3)
        assert (len(found.hits), found.truncated) == (3, True)
        assert [hit.message_id for hit in found.hits] == ["m4", "m3", "m2"]
        found = await store.search_conversations(OWNER, "berry", limit=5)
        assert (len(found.hits), found.truncated) == (5, False)

    async def test_what_is_not_there_any_more_is_not_found(self, store: ConversationStore) -> None:
        await append(store, user("a", "kept apple"), user("b", "dropped apple"))
        await append(store, user("c", "deleted apple"), to="other")
        assert len(await find(store, "apple")) == 3
        await store.delete_conversation(OWNER, "other")
        assert sorted(map(str, await find_ids(store, "apple"))) == ["a", "b"]
        version = (await store.load_conversation(OWNER, ID)).version
        await store.save_conversation(
            OWNER, ID, [user("a", "kept apple")], expected_version=version
        )
        assert await find_ids(store, "apple") == ["a"]
        version = (await store.load_conversation(OWNER, ID)).version
        await store.save_conversation(OWNER, ID, [user("a", "kept pear")], expected_version=version)
        assert await find_ids(store, "apple") == []
        assert await find_ids(store, "pear") == ["a"]
        await append(store, user("d", "again apple"), to="other")
        assert await find_ids(store, "apple") == ["d"]

    async def test_an_expired_conversation_is_not_found(self, store: ConversationStore) -> None:
        await append(store, user("a", "apple"))
        assert await find_ids(store, "apple") == ["a"]
        update = ConversationUpdate(expires_at=in_seconds(-1))
        await store.update_conversation(OWNER, ID, update)
        assert await find_ids(store, "apple") == []

    @pytest.mark.parametrize(
        "query",
        [
            "",
            " ",
            "*",
            '"',
            '""',
            "?!",
            "\u0301",
            "a\0b",
            "\ud800",
            "x" * 1_001,
            " ".join(map(str, range(65))),
            "字" * 65,
        ],
    )
    async def test_a_query_without_words_or_with_too_many_is_invalid(
        self, store: ConversationStore, query: str
    ) -> None:
        with pytest.raises(InvalidError) as raised:
            await store.search_conversations(OWNER, query)
        assert raised.value.field == "query"

    @pytest.mark.parametrize(
        ("field", "value"),
        [
            ("limit", 0),
            ("limit", 101),
            ("conversation_id", ""),
            ("role", "robot"),
            ("since", "yesterday"),
            ("since", "2026-01-31T09:30:00"),
        ],
    )
    async def test_filters_that_can_be_none_are_invalid(
        self, store: ConversationStore, field: str, value: Any
    ) -> None:
        with pytest.raises(InvalidError) as raised:
            await store.search_conversations(OWNER, "apple", **{field: value})
        assert raised.value.field == field
