"""Who is known elsewhere under which identity: paired with a one-time code, kept in one record."""

import hashlib
import hmac
import secrets
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Annotated, TypeVar

import anyio
from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, ValidationError

from servers.access.contract import (
    PAIRING_ALPHABET,
    PAIRING_GROUP_CHARACTERS,
    PAIRING_GROUPS,
    ClaimResult,
    IdentitiesResult,
    Identity,
    PairingResult,
    check_owner,
)
from servers.records.errors import RecordConflictError, RecordsUnavailableError
from servers.records.store import RecordStore

PAIRING_MINUTES = 10
PAIRING_TRIES = 5
MAX_PEOPLE = 200
"""So that all of them fit into one record, whatever they are called."""
PURPOSE = "people"
"""Of their records, among those of others."""
_KEY = "people"
_WRITES = 20
"""Tries of one change, while others change the same."""

T = TypeVar("T")


class _Person(BaseModel):
    model_config = ConfigDict(frozen=True)

    owner: Annotated[str, AfterValidator(check_owner)]
    paired_at: AwareDatetime
    code_sha256: str
    """So that the same code, given again by the same person, is known for a repeat."""


class _Pairing(BaseModel):
    model_config = ConfigDict(frozen=True)

    owner: Annotated[str, AfterValidator(check_owner)]
    code_sha256: str
    """57 random bits that count for ten minutes need no slow hash."""
    expires_at: AwareDatetime
    tries_left: int


class _State(BaseModel):
    """One record, so that a code is used up in the same moment in which somebody is paired."""

    model_config = ConfigDict(frozen=True)

    people: dict[str, _Person] = {}
    pairing: _Pairing | None = None


class TooManyPeopleError(Exception):
    """No more can be paired; the text says what to do."""


class People:
    """Identities, such as `telegram:42`, and the owners they were paired with.

    Methods raise `RecordError` when the records can't be used. To repeat a call is safe.
    """

    def __init__(
        self,
        open_records: Callable[[], Awaitable[RecordStore]],
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """`open_records` is called once, when something is asked for."""
        self._open_records = open_records
        self._now = now
        self._store: RecordStore | None = None
        self._opening = anyio.Lock()

    async def open_pairing(self, owner: str) -> PairingResult:
        """Make a code, in the place of one that is open; who gives it first is this owner.

        Raises:
            TooManyPeopleError: There are as many as there may be.
        """
        code = "-".join(
            "".join(secrets.choice(PAIRING_ALPHABET) for _ in range(PAIRING_GROUP_CHARACTERS))
            for _ in range(PAIRING_GROUPS)
        )
        expires_at = self._now() + timedelta(minutes=PAIRING_MINUTES)
        pairing = _Pairing(
            owner=owner, code_sha256=_hash(code), expires_at=expires_at, tries_left=PAIRING_TRIES
        )

        def change(state: _State) -> tuple[_State, PairingResult]:
            if len(state.people) >= MAX_PEOPLE:
                raise TooManyPeopleError(
                    f"{MAX_PEOPLE} people are paired, which is the most there may be: remove "
                    "somebody first"
                )
            result = PairingResult(code=code, owner=owner, expires_at=expires_at.isoformat())
            return _State(people=state.people, pairing=pairing), result

        return await self._change(change)

    async def claim(self, identity: str, code: str) -> ClaimResult:
        """Pair this identity if the code is the one that is open; else that is one try less."""
        given = _hash(code)

        def change(state: _State) -> tuple[_State, ClaimResult]:
            known = state.people.get(identity)
            if known is not None:
                is_repeat = hmac.compare_digest(given, known.code_sha256)
                outcome = ClaimResult(outcome="paired", owner=known.owner)
                return state, outcome if is_repeat else ClaimResult(outcome="none")
            pairing = state.pairing
            if pairing is None or pairing.expires_at <= self._now():
                return state, ClaimResult(outcome="none")
            if hmac.compare_digest(given, pairing.code_sha256):
                person = _Person(owner=pairing.owner, paired_at=self._now(), code_sha256=given)
                found = {**state.people, identity: person}
                return _State(people=found), ClaimResult(outcome="paired", owner=person.owner)
            left = pairing.tries_left - 1
            if left <= 0:
                return _State(people=state.people), ClaimResult(outcome="withdrawn", tries_left=0)
            poorer = pairing.model_copy(update={"tries_left": left})
            wrong = ClaimResult(outcome="wrong", tries_left=left)
            return _State(people=state.people, pairing=poorer), wrong

        return await self._change(change)

    async def list(self) -> IdentitiesResult:
        """All, the first one first."""
        _, state = await self._read(await self._open())
        people = sorted(state.people.items(), key=lambda item: item[1].paired_at)
        return IdentitiesResult(
            identities=[
                Identity(
                    identity=identity,
                    owner=person.owner,
                    paired_at=person.paired_at.isoformat(),
                )
                for identity, person in people
            ]
        )

    async def remove(self, identity: str) -> bool:
        """Take an identity back; whether there was one."""

        def change(state: _State) -> tuple[_State, bool]:
            others = {key: person for key, person in state.people.items() if key != identity}
            return state.model_copy(update={"people": others}), identity in state.people

        return await self._change(change)

    async def _change(self, change: Callable[[_State], tuple[_State, T]]) -> T:
        store = await self._open()
        for _ in range(_WRITES):
            version, state = await self._read(store)
            changed, result = change(state)
            if changed == state:
                return result
            try:
                await store.put(_KEY, changed.model_dump_json().encode(), version)
            except RecordConflictError:
                continue
            return result
        raise RecordsUnavailableError(
            "others change who is paired all the time: try again", retry_after_seconds=1.0
        )

    async def _read(self, store: RecordStore) -> tuple[int, _State]:
        record = await store.get(_KEY)
        if record is None:
            return 0, _State()
        try:
            return record.version, _State.model_validate_json(record.value)
        except ValidationError:
            raise RecordsUnavailableError(
                f"the record {_KEY!r} of who was paired is damaged: bring it back from a back-up, "
                "or delete it (people.sqlite3, or the table's item) and pair them anew"
            ) from None

    async def _open(self) -> RecordStore:
        async with self._opening:
            if self._store is None:
                self._store = await self._open_records()
            return self._store


@asynccontextmanager
async def open_people(
    open_records: Callable[[], AbstractAsyncContextManager[RecordStore]],
) -> AsyncGenerator[People]:
    """People in records, which are opened when they are first asked for."""
    async with AsyncExitStack() as stack:
        yield People(lambda: stack.enter_async_context(open_records()))


def _hash(code: str) -> str:
    """Of a code as people write it: in small letters, with other dashes or none."""
    plain = "".join(character for character in code.upper() if character in PAIRING_ALPHABET)
    return hashlib.sha256(plain.encode()).hexdigest()
