"""People are paired with a code: once, in time, and after few tries; over any number of servers."""

import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import anyio
import pytest

from servers.access.contract import ClaimResult
from servers.access.people import MAX_PEOPLE, People, TooManyPeopleError, open_people
from servers.records.errors import RecordsUnavailableError
from servers.records.sqlite_store import open_sqlite_records
from servers.records.store import RecordStore

ADA, BOB = "telegram:42", "telegram:43"
WRONG = "BBBB-BBBB-BBBB"


@asynccontextmanager
async def people_of(folder: Path) -> AsyncGenerator[People]:
    with anyio.fail_after(30):
        async with open_people(partial(open_sqlite_records, folder / "people.sqlite3")) as people:
            yield people


async def test_who_gives_the_code_is_the_owner_from_then_on(tmp_path: Path) -> None:
    async with people_of(tmp_path) as people:
        made = await people.open_pairing("ada")
        assert await people.claim(ADA, made.code) == ClaimResult(outcome="paired", owner="ada")
        assert await people.claim(BOB, made.code) == ClaimResult(outcome="none")
    async with people_of(tmp_path) as people:
        [known] = (await people.list()).identities
        assert (known.identity, known.owner) == (ADA, "ada")
        assert await people.claim(ADA, made.code) == ClaimResult(outcome="paired", owner="ada")
        assert await people.remove(ADA) is True
        assert await people.remove(ADA) is False
        assert await people.claim(ADA, made.code) == ClaimResult(outcome="none")
        assert (await people.list()).identities == []


async def test_a_code_may_be_written_in_small_letters_and_without_dashes(tmp_path: Path) -> None:
    async with people_of(tmp_path) as people:
        small = (await people.open_pairing("ada")).code.lower()
        assert (await people.claim(ADA, small)).outcome == "paired"
        spaced = (await people.open_pairing("bob")).code.replace("-", " ")
        assert (await people.claim(BOB, spaced)).outcome == "paired"


async def test_of_many_who_give_the_code_at_once_one_is_paired(tmp_path: Path) -> None:
    outcomes: list[str] = []
    async with people_of(tmp_path) as one, people_of(tmp_path) as two:
        made = await one.open_pairing("ada")

        async def claim(people: People, number: int) -> None:
            outcomes.append((await people.claim(f"telegram:{number}", made.code)).outcome)

        async with anyio.create_task_group() as tasks:
            for number in range(1, 7):
                tasks.start_soon(claim, (one, two)[number % 2], number)
        assert sorted(outcomes) == ["none"] * 5 + ["paired"]
        assert len((await two.list()).identities) == 1


async def test_after_five_wrong_tries_the_code_counts_no_more(tmp_path: Path) -> None:
    async with people_of(tmp_path) as people:
        made = await people.open_pairing("ada")
        claims = [await people.claim(f"telegram:{number}", WRONG) for number in range(1, 6)]
        assert [claim.tries_left for claim in claims] == [4, 3, 2, 1, 0]
        assert [claim.outcome for claim in claims] == ["wrong"] * 4 + ["withdrawn"]
        assert await people.claim(ADA, made.code) == ClaimResult(outcome="none")


async def test_tries_are_kept_over_a_restart(tmp_path: Path) -> None:
    async with people_of(tmp_path) as people:
        await people.open_pairing("ada")
        await people.claim(BOB, WRONG)
    async with people_of(tmp_path) as people:
        assert (await people.claim(BOB, WRONG)).tries_left == 3


async def test_a_code_counts_for_ten_minutes_and_only_the_latest_does(tmp_path: Path) -> None:
    now = datetime(2026, 1, 31, tzinfo=UTC)
    with anyio.fail_after(30):
        async with open_sqlite_records(tmp_path / "people.sqlite3") as store:

            async def opened() -> RecordStore:
                return store

            people = People(opened, lambda: now)
            first = await people.open_pairing("ada")
            second = await people.open_pairing("ada")
            assert (await people.claim(ADA, first.code)).outcome == "wrong"
            now += timedelta(minutes=10)
            assert (await people.claim(ADA, second.code)).outcome == "none"
            third = await people.open_pairing("ada")
            now += timedelta(minutes=9, seconds=59)
            assert (await people.claim(ADA, third.code)).outcome == "paired"


async def test_the_code_stands_nowhere_and_has_57_bits(tmp_path: Path) -> None:
    async with people_of(tmp_path) as people:
        made = await people.open_pairing("ada")
        codes = {made.code}
        for _ in range(9):
            codes.add((await people.open_pairing("ada")).code)
    assert len(codes) == 10
    kept = b"".join(file.read_bytes() for file in tmp_path.iterdir())
    for code in codes:
        groups = code.split("-")
        assert [len(group) for group in groups] == [4, 4, 4]
        assert not any(letter in code for letter in "AEIOUYL01")
        assert code.encode() not in kept
        assert "".join(groups).encode() not in kept


async def test_a_damaged_record_lets_nobody_in_and_says_so(tmp_path: Path) -> None:
    async with people_of(tmp_path) as people:
        made = await people.open_pairing("ada")
        async with open_sqlite_records(tmp_path / "people.sqlite3") as store:
            record = await store.get("people")
            assert record is not None
            await store.put("people", b'{"people": 1}', record.version)
        with pytest.raises(RecordsUnavailableError, match="damaged: bring it back"):
            await people.claim(ADA, made.code)


async def test_there_is_room_for_as_many_as_may_be_with_the_longest_names(tmp_path: Path) -> None:
    async with people_of(tmp_path) as people:
        made = await people.open_pairing('"' * 256)
        await people.claim(ADA, made.code)
        async with open_sqlite_records(tmp_path / "people.sqlite3") as store:
            record = await store.get("people")
            assert record is not None
            kept = json.loads(record.value)
            longest = [f"t:{number}".ljust(128, '"') for number in range(MAX_PEOPLE - 1)]
            kept["people"] = dict.fromkeys(longest, kept["people"][ADA])
            await store.put("people", json.dumps(kept).encode(), record.version)
        last = await people.open_pairing('"' * 256)
        assert (await people.claim(BOB, last.code)).outcome == "paired"
        assert len((await people.list()).identities) == MAX_PEOPLE
        with pytest.raises(TooManyPeopleError, match="remove somebody first"):
            await people.open_pairing("ada")
