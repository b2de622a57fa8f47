"""Contract suite: attachments in chunks, read whole or in part, gone with their conversation."""

import anyio
import pytest

from servers.conversations.contract_attachments import (
    MAX_ATTACHMENT_BYTES,
    MAX_ATTACHMENTS,
    MAX_CHUNK_BYTES,
)
from servers.conversations.contract_results import PutAttachmentResult
from servers.conversations.store import ConversationStore
from servers.conversations.store_errors import (
    ConflictError,
    InvalidError,
    NotFoundError,
    TooLargeError,
)
from servers.conversations.store_values import ConversationUpdate
from tests.servers.conversations.messages import ID, OWNER, in_seconds, list_ids, user, users


async def put(
    store: ConversationStore,
    data: bytes,
    attachment_id: str | None = "a",
    conversation_id: str = ID,
    owner: str = OWNER,
    *,
    name: str = "x.png",
    mime_type: str = "image/png",
    offset: int = 0,
    total_size: int | None = None,
) -> PutAttachmentResult:
    return await store.put_attachment(
        owner,
        conversation_id,
        data,
        name=name,
        mime_type=mime_type,
        attachment_id=attachment_id,
        offset=offset,
        total_size=total_size,
    )


async def read(
    store: ConversationStore,
    attachment_id: str = "a",
    conversation_id: str = ID,
    owner: str = OWNER,
) -> bytes:
    return (await store.read_attachment(owner, conversation_id, attachment_id)).data


async def is_absent(store: ConversationStore, attachment_id: str = "a", owner: str = OWNER) -> bool:
    try:
        await store.read_attachment(owner, ID, attachment_id)
    except NotFoundError as error:
        return str(error) == "there is no such attachment"
    return False


class ContractOfAttachments:
    async def test_an_attachment_is_read_as_it_was_put(self, store: ConversationStore) -> None:
        data = bytes(range(256)) * 10
        result = await put(store, data, "an id/..", name="Ünï ☃.png", mime_type="Image/PNG")
        assert (result.attachment_id, result.size, result.complete) == ("an id/..", 2_560, True)
        assert result.uri == "conversation://telegram%3A42/attachments/an%20id%2F.."
        part = await store.read_attachment(OWNER, ID, "an id/..")
        assert (part.name, part.mime_type) == ("Ünï ☃.png", "image/png")
        assert (part.size, part.offset, part.data) == (2_560, 0, data)
        stats = (await store.get_conversation(OWNER, ID)).stats
        assert (stats.attachments, stats.attachment_bytes) == (1, 2_560)
        await put(store, b"x", "second")
        await put(store, b"x", "never complete", total_size=2)
        stats = (await store.get_conversation(OWNER, ID)).stats
        first, second = stats.latest_attachments
        assert first.model_dump() == {
            "attachment_id": "an id/..",
            "name": "Ünï ☃.png",
            "mime_type": "image/png",
            "size": 2_560,
        }
        assert second.attachment_id == "second"

    async def test_the_store_makes_an_id_for_whoever_gives_none(
        self, store: ConversationStore
    ) -> None:
        one, two = await put(store, b"one", None), await put(store, b"two", None)
        assert one.attachment_id != two.attachment_id
        assert await read(store, one.attachment_id) == b"one"
        assert await read(store, two.attachment_id) == b"two"
        with pytest.raises(InvalidError, match="0 bytes") as refused:
            await put(store, b"more", None, offset=3)
        assert refused.value.field == "offset"

    async def test_it_comes_in_chunks_and_is_there_when_the_last_one_is(
        self, store: ConversationStore
    ) -> None:
        for start in (0, 4, 8):
            chunk = b"0123456789"[start : start + 4]
            assert await is_absent(store)
            result = await put(store, chunk, offset=start, total_size=10)
            assert (result.size, result.complete) == (start + len(chunk), start == 8)
        assert await read(store) == b"0123456789"
        with pytest.raises(InvalidError, match="total_size"):
            await put(store, b"x", offset=10, total_size=10)

    async def test_without_a_total_size_it_grows_and_is_always_complete(
        self, store: ConversationStore
    ) -> None:
        assert (await put(store, b"abc")).complete
        assert await read(store) == b"abc"
        assert (await put(store, b"de", offset=3)).size == 5
        assert await read(store) == b"abcde"

    async def test_a_chunk_sent_again_changes_nothing(self, store: ConversationStore) -> None:
        await put(store, b"0123", total_size=8)
        again = await put(store, b"0123", total_size=8)
        assert (again.size, again.complete) == (4, False)
        await put(store, b"4567", offset=4, total_size=8)
        for offset, data in ((0, b"0123"), (4, b"4567"), (0, b"01234567"), (2, b"3"[:0]), (8, b"")):
            result = await put(store, data, offset=offset, total_size=8)
            assert (result.size, result.complete) == (8, True)
        assert await read(store) == b"01234567"

    async def test_a_chunk_that_overlaps_what_is_stored_adds_the_rest(
        self, store: ConversationStore
    ) -> None:
        await put(store, b"0123")
        assert (await put(store, b"2345", offset=2)).size == 6
        assert await read(store) == b"012345"

    async def test_other_bytes_in_a_stored_place_are_a_conflict(
        self, store: ConversationStore
    ) -> None:
        await put(store, b"0123")
        for offset, data in ((0, b"012x"), (2, b"x3"), (3, b"x45"), (0, b"x")):
            with pytest.raises(ConflictError) as refused:
                await put(store, data, offset=offset)
            assert refused.value.field == "data"
        assert await read(store) == b"0123"

    async def test_a_gap_is_refused_and_says_where_to_go_on(self, store: ConversationStore) -> None:
        await put(store, b"0123", total_size=10)
        with pytest.raises(InvalidError, match="4 bytes") as refused:
            await put(store, b"6789", offset=6, total_size=10)
        assert (refused.value.code, refused.value.field) == ("invalid", "offset")
        assert (await put(store, b"456789", offset=4, total_size=10)).complete

    async def test_a_later_chunk_says_the_same_of_the_whole(self, store: ConversationStore) -> None:
        await put(store, b"0123", total_size=10)
        for field, call in {
            "name": put(store, b"4", offset=4, total_size=10, name="other"),
            "mime_type": put(store, b"4", offset=4, total_size=10, mime_type="image/gif"),
            "total_size": put(store, b"4", offset=4, total_size=11),
        }.items():
            with pytest.raises(ConflictError, match="begun with another") as refused:
                await call
            assert refused.value.field == field
        assert (await put(store, b"", offset=4, total_size=10)).size == 4

    async def test_an_empty_file_is_an_attachment_too(self, store: ConversationStore) -> None:
        assert (await put(store, b"", total_size=0)).complete
        assert await read(store) == b""

    async def test_parts_are_read_by_place_and_length(self, store: ConversationStore) -> None:
        data = bytes(range(256)) * 4
        await put(store, data)
        for offset, length, wanted in (
            (0, 10, data[:10]),
            (100, 50, data[100:150]),
            (1_000, 500, data[1_000:]),
            (1_024, 1, b""),
            (1_000, None, data[1_000:]),
        ):
            part = await store.read_attachment(OWNER, ID, "a", offset=offset, length=length)
            assert (part.data, part.offset, part.size) == (wanted, offset, 1_024)
        for offset, length, field in ((1_025, 1, "offset"), (-1, 1, "offset"), (0, 0, "length")):
            with pytest.raises(InvalidError) as refused:
                await store.read_attachment(OWNER, ID, "a", offset=offset, length=length)
            assert refused.value.field == field

    async def test_the_first_one_creates_the_conversation_and_moves_nothing_else(
        self, store: ConversationStore
    ) -> None:
        await put(store, b"x")
        created = await store.get_conversation(OWNER, ID)
        assert created.version > 0
        assert created.message_count == 0
        assert await list_ids(store) == [ID]
        await put(store, b"y", "b")
        after = await store.get_conversation(OWNER, ID)
        assert (after.version, after.last_updated) == (created.version, created.last_updated)
        appended = await store.append_messages(
            OWNER, ID, [user("m")], expected_version=created.version
        )
        assert appended.appended == 1
        assert await read(store) == b"x"

    async def test_what_is_refused_creates_no_conversation(self, store: ConversationStore) -> None:
        for call in (put(store, b"x", offset=1), put(store, b"x", total_size=0)):
            with pytest.raises(InvalidError):
                await call
        assert (await store.load_conversation(OWNER, ID)).version == 0
        assert await list_ids(store) == []

    async def test_a_save_keeps_attachments_and_a_deletion_does_not(
        self, store: ConversationStore
    ) -> None:
        await put(store, b"x")
        version = (await store.append_messages(OWNER, ID, users(3))).version
        await store.save_conversation(OWNER, ID, users(1), expected_version=version)
        assert await read(store) == b"x"
        await store.delete_conversation(OWNER, ID)
        assert await is_absent(store)

    async def test_a_conversation_begun_anew_has_none_of_the_old_ones(
        self, store: ConversationStore
    ) -> None:
        async def delete() -> None:
            await store.delete_conversation(OWNER, ID)

        async def expire() -> None:
            await store.update_conversation(
                OWNER, ID, ConversationUpdate(expires_at=in_seconds(-1))
            )

        for end in (delete, expire):
            await put(store, b"old")
            await put(store, b"ol", "b", total_size=3)
            await end()
            assert await is_absent(store)
            await store.append_messages(OWNER, ID, users(1))
            assert await is_absent(store)
            assert (await store.get_conversation(OWNER, ID)).stats.attachments == 0
            await put(store, b"new")
            assert await read(store) == b"new"
            with pytest.raises(InvalidError, match="0 bytes"):
                await put(store, b"d", "b", offset=2, total_size=3)
            await store.delete_conversation(OWNER, ID)

    async def test_anothers_attachment_looks_like_an_unknown_one(
        self, store: ConversationStore
    ) -> None:
        await put(store, b"bob's", owner="bob")
        await put(store, b"bob's", "incomplete", owner="bob", total_size=9)
        assert await is_absent(store)
        await put(store, b"ada's", "b")
        for attachment_id in ("a", "incomplete", "unknown"):
            assert await is_absent(store, attachment_id)
        assert await is_absent(store, "incomplete", owner="bob")
        await put(store, b"ada's")
        assert await read(store) == b"ada's"
        assert await read(store, owner="bob") == b"bob's"

    async def test_attachments_of_two_conversations_are_apart(
        self, store: ConversationStore
    ) -> None:
        await put(store, b"one")
        await put(store, b"two", conversation_id="other")
        await store.delete_conversation(OWNER, "other")
        assert await read(store) == b"one"

    @pytest.mark.parametrize(
        ("given", "field"),
        [
            ({"name": ""}, "name"),
            ({"name": "x" * 256}, "name"),
            ({"name": "a\nb"}, "name"),
            ({"name": "\ud800"}, "name"),
            ({"mime_type": "png"}, "mime_type"),
            ({"mime_type": "image/png\r\nX-A: b"}, "mime_type"),
            ({"mime_type": "image/"}, "mime_type"),
            ({"mime_type": "a/" + "b" * 254}, "mime_type"),
            ({"mime_type": "text/plain; charset"}, "mime_type"),
            ({"attachment_id": ""}, "attachment_id"),
            ({"attachment_id": "x" * 257}, "attachment_id"),
            ({"attachment_id": "\0"}, "attachment_id"),
            ({"attachment_id": "\udfff"}, "attachment_id"),
            ({"offset": -1}, "offset"),
            ({"total_size": -1}, "total_size"),
        ],
    )
    async def test_what_cannot_be_one_is_refused(
        self, store: ConversationStore, given: dict[str, object], field: str
    ) -> None:
        arguments: dict[str, object] = {"name": "n", "mime_type": "a/b", **given}
        with pytest.raises(InvalidError) as refused:
            await store.put_attachment(OWNER, ID, b"x", **arguments)  # type: ignore[arg-type]
        assert (refused.value.code, refused.value.field) == ("invalid", field)
        assert (await store.load_conversation(OWNER, ID)).version == 0

    async def test_all_that_can_be_read_are_listed_in_pages(self, store: ConversationStore) -> None:
        ids = ["a", "A", "../a", "é", "🙂" * 256, "x" * 256, "6"]
        for number, attachment_id in enumerate(ids):
            await put(store, b"x" * number, attachment_id, name=f"{number}.png")
        await put(store, b"half", "never complete", total_size=9)
        await put(store, b"bob's", owner="bob")
        whole = await store.list_attachments(OWNER, ID)
        assert (whole.next_cursor, whole.damaged) == (None, 0)
        assert sorted(each.attachment_id for each in whole.attachments) == sorted(ids)
        for each in whole.attachments:
            number = ids.index(each.attachment_id)
            assert (each.name, each.size) == (f"{number}.png", number)
            assert each.mime_type == "image/png"
        for limit in (1, 3, 7):
            cursor, paged = None, [*whole.attachments[:0]]
            for _ in ids:
                page = await store.list_attachments(OWNER, ID, limit=limit, cursor=cursor)
                paged += page.attachments
                cursor = page.next_cursor
                if cursor is None:
                    break
                assert len(page.attachments) == limit
            assert (paged, cursor) == (whole.attachments, None)

    async def test_a_list_of_attachments_goes_on_while_others_come(
        self, store: ConversationStore
    ) -> None:
        for number in range(4):
            await put(store, b"x", f"{number}")
        page = await store.list_attachments(OWNER, ID, limit=2)
        for number in range(4, 8):
            await put(store, b"x", f"{number}")
        await store.append_messages(OWNER, ID, users(1))
        rest = await store.list_attachments(OWNER, ID, cursor=page.next_cursor)
        listed = [each.attachment_id for each in [*page.attachments, *rest.attachments]]
        assert len(listed) == len(set(listed))
        assert {"0", "1", "2", "3"} <= set(listed)

    async def test_what_has_no_attachments_lists_none_and_what_is_not_there_is_told(
        self, store: ConversationStore
    ) -> None:
        await put(store, b"x", owner="bob")
        with pytest.raises(NotFoundError):
            await store.list_attachments(OWNER, ID)
        await store.append_messages(OWNER, ID, users(1))
        assert (await store.list_attachments(OWNER, ID)).attachments == []
        await put(store, b"x", "a")
        await put(store, b"x", "b")
        cursor = (await store.list_attachments(OWNER, ID, limit=1)).next_cursor
        assert cursor is not None
        await put(store, b"x", conversation_id="other")
        for conversation_id, limit, wrong, field in (
            (ID, 0, None, "limit"),
            (ID, 101, None, "limit"),
            (ID, 1, "x", "cursor"),
            ("other", 1, cursor, "cursor"),
            ("", 1, None, "conversation_id"),
        ):
            with pytest.raises(InvalidError) as refused:
                await store.list_attachments(OWNER, conversation_id, limit=limit, cursor=wrong)
            assert refused.value.field == field
        await store.delete_conversation(OWNER, ID)
        with pytest.raises(NotFoundError):
            await store.list_attachments(OWNER, ID, cursor=cursor)
        await put(store, b"x", "of a new life")
        [found] = (await store.list_attachments(OWNER, ID)).attachments
        assert found.attachment_id == "of a new life"

    async def test_ids_are_compared_bytewise_and_types_keep_their_parameters(
        self, store: ConversationStore
    ) -> None:
        ids = ["a", "A", "../a", "a/b", "a_b", "é", "e\u0301", "🙂", "x" * 256, "é" * 256]
        for number, attachment_id in enumerate(ids):
            await put(store, b"%d" % number, attachment_id)
        for number, attachment_id in enumerate(ids):
            assert await read(store, attachment_id) == b"%d" % number
        await put(store, b"", "typed", mime_type='Text/Plain; charset="UTF-8"')
        part = await store.read_attachment(OWNER, ID, "typed")
        assert part.mime_type == 'text/plain; charset="UTF-8"'

    async def test_chunks_and_attachments_have_a_largest_size(
        self, store: ConversationStore
    ) -> None:
        for given, field in (
            ({"data": bytes(MAX_CHUNK_BYTES + 1)}, "data"),
            ({"data": b"x", "offset": MAX_ATTACHMENT_BYTES}, "data"),
            ({"data": b"x", "total_size": MAX_ATTACHMENT_BYTES + 1}, "total_size"),
        ):
            with pytest.raises(TooLargeError) as refused:
                await put(store, **given)  # type: ignore[arg-type]
            assert (refused.value.code, refused.value.field) == ("too_large", field)
        assert (await put(store, bytes(MAX_CHUNK_BYTES))).size == MAX_CHUNK_BYTES

    async def test_the_largest_attachment_comes_back_whole(self, store: ConversationStore) -> None:
        whole = b"".join(
            bytes([number]) * MAX_CHUNK_BYTES
            for number in range(MAX_ATTACHMENT_BYTES // MAX_CHUNK_BYTES)
        )
        assert len(whole) == MAX_ATTACHMENT_BYTES
        for offset in range(0, len(whole), MAX_CHUNK_BYTES):
            chunk = whole[offset : offset + MAX_CHUNK_BYTES]
            await put(store, chunk, offset=offset, total_size=len(whole))
        assert await read(store) == whole

    @pytest.mark.parametrize("conversation_id", ["", "x" * 1_025, "a\0b", "\ud800"])
    async def test_what_cannot_name_a_conversation_has_no_attachments(
        self, store: ConversationStore, conversation_id: str
    ) -> None:
        for call in (
            put(store, b"x", conversation_id=conversation_id),
            store.read_attachment(OWNER, conversation_id, "a"),
        ):
            with pytest.raises(InvalidError) as refused:
                await call
            assert refused.value.field == "conversation_id"


class ContractOfManyAttachments:
    """How many there may be, where putting a thousand takes seconds and not minutes."""

    @pytest.mark.slow
    async def test_a_conversation_has_a_thousand_attachments_at_most(
        self, store: ConversationStore
    ) -> None:
        with anyio.fail_after(60):
            for number in range(MAX_ATTACHMENTS):
                await put(store, b"x", f"a{number}")
            with pytest.raises(InvalidError, match="1000 attachments"):
                await put(store, b"x", "one more")
            assert (await put(store, b"xy", "a7")).size == 2
            assert (await store.get_conversation(OWNER, ID)).stats.attachments == MAX_ATTACHMENTS
            await store.delete_conversation(OWNER, ID)
            assert (await put(store, b"x", "one more")).complete
