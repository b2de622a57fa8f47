"""The contract suite: what every back end of `RecordStore` must do.

A back end's test file derives from `RecordStoreContract` and supplies the fixtures `store`, opened
and empty, and `second`, the same records as another process would open them.
"""

from contextlib import suppress
from datetime import UTC, datetime, timedelta

import anyio
import pytest

from servers.records.checks import MAX_KEY_BYTES, MAX_VALUE_BYTES
from servers.records.errors import InvalidRecordError, RecordConflictError
from servers.records.store import Record, RecordPage, RecordStore

NASTY_KEYS = [
    "a",
    " ",
    "tokens/../x",
    "a/b",
    "a%2Fb",
    "é",
    "e\u0301",
    "日本",
    "🦊",
    "\U0010ffff",
    "\ue000",
    "'; DROP TABLE records; --",
    "%",
    "_",
    "x" * MAX_KEY_BYTES,
    "é" * (MAX_KEY_BYTES // 2),
]
NO_KEYS = ["", "\0", "a\0b", "a\nb", "\x7f", "\x85", "\ud800", "x" * (MAX_KEY_BYTES + 1), "é" * 257]


def soon(seconds: float = 3_600) -> datetime:
    return datetime.now(UTC) + timedelta(seconds=seconds)


async def pages(store: RecordStore, prefix: str = "", limit: int = 100) -> list[RecordPage]:
    found = [await store.list(prefix, limit)]
    with anyio.fail_after(60):
        while (after := found[-1].after) is not None:
            found.append(await store.list(prefix, limit, after))
    return found


async def keys(store: RecordStore, prefix: str = "", limit: int = 100) -> list[str]:
    return [each.key for page in await pages(store, prefix, limit) for each in page.records]


async def count_up(store: RecordStore, key: str, times: int) -> list[int]:
    """Add to the number in a record; the versions this gave."""
    made: list[int] = []
    with anyio.fail_after(60):
        while len(made) < times:
            found = await store.get(key)
            value, version = (b"0", 0) if found is None else (found.value, found.version)
            with suppress(RecordConflictError):  # somebody was faster
                made.append(await store.put(key, b"%d" % (int(value) + 1), version))
    return made


class RecordStoreContract:
    async def test_what_was_put_is_there_for_every_process(
        self, store: RecordStore, second: RecordStore
    ) -> None:
        version = await store.put("a", b"one", 0)
        assert version > 0
        expected = Record("a", b"one", version)
        assert await store.get("a") == expected
        assert await second.get("a") == expected
        assert await second.list() == RecordPage((expected,), None)
        later = await second.put("a", b"two", version)
        assert later > version
        assert await store.get("a") == Record("a", b"two", later)

    async def test_what_is_not_there_is_none_and_its_deletion_no_error(
        self, store: RecordStore
    ) -> None:
        assert await store.get("a") is None
        assert await store.list() == RecordPage((), None)
        assert await store.delete("a") is False
        assert await store.delete("a", 0) is False

    async def test_a_value_is_any_bytes_up_to_its_limit(self, store: RecordStore) -> None:
        for key, value in (("a", b""), ("b", b"\0\xff\n"), ("c", bytes(MAX_VALUE_BYTES))):
            version = await store.put(key, value, 0)
            assert await store.get(key) == Record(key, value, version)
        with pytest.raises(InvalidRecordError, match="value has at most 262,144 bytes"):
            await store.put("d", bytes(MAX_VALUE_BYTES + 1), 0)
        assert await store.get("d") is None

    async def test_another_version_than_the_expected_is_a_conflict(
        self, store: RecordStore
    ) -> None:
        with pytest.raises(RecordConflictError) as nothing:
            await store.put("a", b"x", 1)
        assert nothing.value.current_version == 0
        first = await store.put("a", b"one", 0)
        second = await store.put("a", b"two", first)
        for wrong in (0, first, second + 1, 2**53 - 1):
            with pytest.raises(RecordConflictError) as late:
                await store.put("a", b"x", wrong)
            assert late.value.current_version == second
            with pytest.raises(RecordConflictError) as late:
                await store.delete("a", wrong)
            assert late.value.current_version == second
        assert await store.get("a") == Record("a", b"two", second)
        assert await store.delete("a", second) is True
        with pytest.raises(RecordConflictError) as gone:
            await store.delete("a", second)
        assert gone.value.current_version == 0

    async def test_no_version_comes_again_not_even_after_deletion(self, store: RecordStore) -> None:
        versions: list[int] = []
        for _ in range(5):
            versions.append(await store.put("a", b"x", 0))
            versions.append(await store.put("a", b"x", versions[-1]))
            assert await store.delete("a")
            assert await store.get("a") is None
        assert versions == sorted(set(versions))

    async def test_an_expired_record_is_not_there_for_any_verb(
        self, store: RecordStore, second: RecordStore
    ) -> None:
        until = soon()
        first = await store.put("b", b"x", 0, until)
        assert await second.get("b") == Record("b", b"x", first, until)
        assert (await second.list()).records == (Record("b", b"x", first, until),)
        over = await store.put("b", b"x", first, soon(-1))
        assert await second.get("b") is None
        assert await keys(second) == []
        with pytest.raises(RecordConflictError) as gone:
            await second.put("b", b"y", over)
        assert gone.value.current_version == 0
        assert await store.delete("b") is False
        later = await second.put("b", b"y", 0)
        assert later > over
        assert await store.get("b") == Record("b", b"y", later)

    async def test_a_change_without_an_expiry_takes_it_away(self, store: RecordStore) -> None:
        version = await store.put("a", b"x", 0, soon())
        version = await store.put("a", b"x", version)
        assert await store.get("a") == Record("a", b"x", version, None)

    async def test_what_expires_is_there_until_then(self, store: RecordStore) -> None:
        until = soon(0.3)
        await store.put("a", b"x", 0, until)
        with anyio.fail_after(30):
            while (found := await store.get("a")) is not None:
                assert found.expires_at == until
                await anyio.sleep(0.01)
        assert datetime.now(UTC) >= until

    async def test_any_text_without_control_characters_is_a_key_of_its_own(
        self, store: RecordStore
    ) -> None:
        versions = {key: await store.put(key, key.encode(), 0) for key in NASTY_KEYS}
        for key in NASTY_KEYS:
            assert await store.get(key) == Record(key, key.encode(), versions[key])
        assert await keys(store) == sorted(NASTY_KEYS, key=str.encode)
        for key in NASTY_KEYS:
            assert key in await keys(store, key)

    @pytest.mark.parametrize("key", NO_KEYS, ids=ascii)
    async def test_what_cannot_be_a_key_is_refused_by_every_verb(
        self, store: RecordStore, key: str
    ) -> None:
        with pytest.raises(InvalidRecordError, match="key"):
            await store.get(key)
        with pytest.raises(InvalidRecordError, match="key"):
            await store.put(key, b"", 0)
        with pytest.raises(InvalidRecordError, match="key"):
            await store.delete(key)
        with pytest.raises(InvalidRecordError, match="after"):
            await store.list(after=key)
        if key:
            with pytest.raises(InvalidRecordError, match="prefix"):
                await store.list(key)

    async def test_other_arguments_that_cannot_be_are_refused(self, store: RecordStore) -> None:
        for version in (-1, 2**53):
            with pytest.raises(InvalidRecordError, match="expected_version"):
                await store.put("a", b"", version)
            with pytest.raises(InvalidRecordError, match="expected_version"):
                await store.delete("a", version)
        for limit in (0, 1_001):
            with pytest.raises(InvalidRecordError, match="limit"):
                await store.list(limit=limit)
        for moment in (datetime(2030, 1, 1), datetime(1969, 1, 1, tzinfo=UTC)):  # noqa: DTZ001
            with pytest.raises(InvalidRecordError, match="expires_at"):
                await store.put("a", b"", 0, moment)
        assert await keys(store) == []

    async def test_a_list_goes_through_a_prefix_in_pages(self, store: RecordStore) -> None:
        wanted = [f"b/{number:02d}" for number in range(12)]
        for key in (*reversed(wanted), "a", "b", "b.", "b0", "c", "B/1"):
            await store.put(key, b"x", 0)
        await store.delete("b/05")
        wanted.remove("b/05")
        for limit in (1, 3, 11, 12, 1_000):
            assert await keys(store, "b/", limit) == wanted
            sizes = [len(page.records) for page in await pages(store, "b/", limit)]
            assert max(sizes) <= limit
        assert await keys(store, "nothing") == []
        for after, expected in (
            ("a", wanted),
            ("b/05", wanted[5:]),
            ("b/05x", wanted[5:]),
            ("b0", []),
            ("b/11", []),
        ):
            page = await store.list("b/", 1_000, after)
            assert [each.key for each in page.records] == expected

    async def test_a_page_ends_at_a_mebibyte(self, store: RecordStore) -> None:
        for key in "abcdef":
            await store.put(key, bytes(MAX_VALUE_BYTES), 0)
        found = await pages(store)
        assert len(found) > 1
        assert [each.key for page in found for each in page.records] == list("abcdef")
        assert all(len(page.records) <= 4 for page in found)

    async def test_of_sixteen_writers_at_once_none_loses_a_change(
        self, store: RecordStore, second: RecordStore
    ) -> None:
        made: list[int] = []

        async def write(each: RecordStore) -> None:
            made.extend(await count_up(each, "a", 1))

        async with anyio.create_task_group() as tasks:
            for number in range(16):
                tasks.start_soon(write, (store, second)[number % 2])
        found = await store.get("a")
        assert found is not None
        assert found.value == b"16"
        assert len(set(made)) == 16
        assert found.version == max(made)

    async def test_of_those_who_make_a_record_at_once_one_does(
        self, store: RecordStore, second: RecordStore
    ) -> None:
        outcomes: list[int] = []

        async def make(each: RecordStore) -> None:
            try:
                await each.put("a", b"x", 0)
                outcomes.append(0)
            except RecordConflictError as error:
                outcomes.append(error.current_version)

        async with anyio.create_task_group() as tasks:
            for number in range(8):
                tasks.start_soon(make, (store, second)[number % 2])
        found = await store.get("a")
        assert found is not None
        assert sorted(outcomes) == [0] + [found.version] * 7

    async def test_a_mark_moves_with_every_change_of_any_process(
        self, store: RecordStore, second: RecordStore
    ) -> None:
        mark = store.change_mark()
        if mark is None:  # only reading tells
            return
        version = 0
        for writer in (second, store, second):
            assert store.change_mark() == mark
            version = await writer.put("a", b"x", version)
            assert store.change_mark() != mark
            mark = store.change_mark()
        await second.delete("a")
        assert store.change_mark() != mark

    async def test_no_value_is_in_a_repr_or_an_error(self, store: RecordStore) -> None:
        version = await store.put("a", b"secret", 0)
        assert "secret" not in repr(await store.get("a"))
        with pytest.raises(RecordConflictError) as late:
            await store.put("a", b"secret", version + 1)
        assert "secret" not in str(late.value)
