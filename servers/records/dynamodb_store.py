"""Records in the DynamoDB table of the conversations, for any number of machines.

All of one purpose share a partition key that begins with a line break, which no conversation's
does: an owner is not empty. The sort key is the record's. An item holds

v    the version          d    the value; not there: the record was deleted
e    when it expires      t    when DynamoDB may remove the item
w    made anew for each write: tells a writer whether what stands there is its own

What is deleted or has expired stays as an item for a day, so that its version is not used again by
a server whose clock is late.
"""

import secrets
import time
from collections.abc import AsyncGenerator, Hashable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime

import anyio

from servers.aws.api import open_api, pauses_at_random
from servers.aws.dynamodb import Attributes, DynamoDBClient, TakenError, verb
from servers.aws.failures import AwsError
from servers.records.checks import (
    PAGE_BYTES,
    check_key,
    check_limit,
    check_prefix,
    check_value,
    check_version,
    to_microseconds,
    to_moment,
)
from servers.records.errors import RecordConflictError, RecordsUnavailableError
from servers.records.store import Record, RecordPage

_IS_THERE = "attribute_exists(d) AND (attribute_not_exists(e) OR e > :now)"
_IS_NOT_THERE = "attribute_not_exists(pk) OR (v < :v AND (attribute_not_exists(d) OR e <= :now))"
_KEPT_SECONDS = 86_400
"""More than any two clocks differ."""
_TRIES = 20
"""Of a deletion while others write, some ten seconds."""
_MICRO = 1_000_000


class DynamoDBRecordStore:
    """A `RecordStore` in a table. Made by `open_dynamodb_records`."""

    def __init__(self, client: DynamoDBClient, purpose: str) -> None:
        self.client = client
        self._pk = f"\nrecords\n{purpose}"

    async def get(self, key: str) -> Record | None:
        """See `RecordStore`."""
        check_key(key)
        verb.set("get_record")
        item = await self.client.get(self._pk, key)
        return None if item is None else self._to_record(item, _now())

    async def put(
        self, key: str, value: bytes, expected_version: int, expires_at: datetime | None = None
    ) -> int:
        """See `RecordStore`."""
        check_key(key)
        check_value(value)
        check_version(expected_version)
        verb.set("put_record")
        content: Attributes = {"d": value}
        until = to_microseconds(expires_at)
        if until is not None:
            content = {**content, "e": until, "t": max(until, _now()) // _MICRO + _KEPT_SECONDS}
        if expected_version:
            version = expected_version + 1
            found = await self._replace(key, {**content, "v": version}, expected_version)
        else:
            version = _now() // 1_000
            found = await self._create(key, content, version)
            if found is not None and self._to_record(found, _now()) is None:
                # What was there has the greater version: the clock of who wrote it goes before.
                version = self._version_of(found) + 1
                found = await self._create(key, content, version)
        if found is not None:
            raise self._conflict(key, found)
        return version

    async def delete(self, key: str, expected_version: int | None = None) -> bool:
        """See `RecordStore`."""
        check_key(key)
        if expected_version is not None:
            check_version(expected_version)
        pauses = pauses_at_random()
        for _ in range(_TRIES):
            verb.set("delete_record")
            version = expected_version
            if not version:
                item = await self.client.get(self._pk, key)
                record = None if item is None else self._to_record(item, _now())
                if record is None:
                    return False
                if version == 0:
                    raise RecordConflictError(key, record.version)
                version = record.version
            tombstone: Attributes = {"v": version, "t": _now() // _MICRO + _KEPT_SECONDS}
            found = await self._replace(key, tombstone, version)
            if found is None:
                return True
            if expected_version is not None:
                raise self._conflict(key, found)
            await anyio.sleep(next(pauses))
        raise RecordsUnavailableError(
            f"others write to the record {key!r} all the time: try again", retry_after_seconds=1.0
        )

    async def list(
        self, prefix: str = "", limit: int = 100, after: str | None = None
    ) -> RecordPage:
        """See `RecordStore`."""
        check_prefix(prefix)
        check_limit(limit)
        if after is not None:
            check_key(after, "after")
        verb.set("list_records")
        condition, values = "pk = :pk", {":pk": self._pk}
        if prefix:
            condition += " AND begins_with(sk, :begin)"
            values[":begin"] = prefix
        start = None
        if after is not None and after.startswith(prefix):
            start = {"pk": {"S": self._pk}, "sk": {"S": after}}
        elif after is not None and after.encode() > prefix.encode():
            return RecordPage((), None)
        items, more = await self.client.query(condition, values, limit=limit, start=start)
        return self._to_page(items, more["sk"]["S"] if more else None)

    def change_mark(self) -> Hashable | None:
        """See `RecordStore`: only reading tells."""
        return None

    async def _create(self, key: str, content: Attributes, version: int) -> Attributes | None:
        values = {":v": version, ":now": _now()}
        return await self._write(key, {**content, "v": version}, _IS_NOT_THERE, values)

    async def _replace(self, key: str, content: Attributes, version: int) -> Attributes | None:
        values = {":expected": version, ":now": _now()}
        return await self._write(key, content, f"v = :expected AND {_IS_THERE}", values)

    async def _write(
        self, key: str, content: Attributes, condition: str, values: Attributes
    ) -> Attributes | None:
        """Put an item in; None if it stands there now, else what does."""
        item: Attributes = {**content, "pk": self._pk, "sk": key, "w": secrets.token_hex(8)}
        try:
            await self.client.put(item, condition, values)
        except TakenError as error:
            found = error.item or {}
            # The answer to the same call was lost before.
            return None if found.get("w") == item["w"] else found
        return None

    def _conflict(self, key: str, found: Attributes) -> RecordConflictError:
        record = self._to_record(found, _now()) if found else None
        return RecordConflictError(key, 0 if record is None else record.version)

    def _to_page(self, items: Sequence[Attributes], after: str | None) -> RecordPage:
        now, size = _now(), 0
        found: list[Record] = []
        for item in items:
            record = self._to_record(item, now)
            if record is None:
                continue
            size += len(record.value)
            if found and size > PAGE_BYTES:
                return RecordPage(tuple(found), found[-1].key)
            found.append(record)
        return RecordPage(tuple(found), after)

    def _to_record(self, item: Attributes, now: int) -> Record | None:
        """The record in an item; None if it is not there any more."""
        version, value, expires_at = self._version_of(item), item.get("d"), item.get("e")
        if value is None:
            return None
        if not isinstance(value, bytes) or not isinstance(expires_at, int | None):
            raise self._damaged(item)
        if expires_at is not None and expires_at <= now:
            return None
        return Record(str(item["sk"]), value, version, to_moment(expires_at))

    def _version_of(self, item: Attributes) -> int:
        version = item.get("v")
        if not isinstance(version, int):
            raise self._damaged(item)
        return version

    def _damaged(self, item: Attributes) -> RecordsUnavailableError:
        return RecordsUnavailableError(
            f"the item {str(item.get('sk'))!r} of {self._pk!r} in the DynamoDB table "
            f"{self.client.table} is no record: it was not written by this program; delete it"
        )


@asynccontextmanager
async def open_dynamodb_records(
    table: str, region: str | None, endpoint_url: str | None, purpose: str
) -> AsyncGenerator[DynamoDBRecordStore]:
    """Records for one purpose in a table that `agentic conversations create-table` makes.

    Nothing is asked of the table yet.

    Raises:
        RecordsUnavailableError: There is no region, or a profile that AWS's files don't hold.
    """
    async with AsyncExitStack() as stack:
        try:
            api = await stack.enter_async_context(open_api(table, region, endpoint_url))
        except AwsError as error:
            raise to_unavailable(error) from None
        yield DynamoDBRecordStore(DynamoDBClient(api, table, to_unavailable), purpose)


def to_unavailable(error: AwsError) -> RecordsUnavailableError:
    """The store's error for one of AWS."""
    return RecordsUnavailableError(str(error), retry_after_seconds=error.retry_after_seconds)


def _now() -> int:
    """In microseconds since 1970."""
    return time.time_ns() // 1_000
