"""Opening the store in DynamoDB: its table, where bytes of attachments lie, and its upkeep."""

import logging
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import anyio

from servers.aws.dynamodb import DynamoDBClient
from servers.conversations.dynamodb_blobs import ItemBlobs
from servers.conversations.dynamodb_client import create_client, open_api
from servers.conversations.dynamodb_places import Places, open_buckets
from servers.conversations.dynamodb_s3 import S3Blobs
from servers.conversations.dynamodb_store import DynamoDBConversationStore
from servers.conversations.dynamodb_table import check_table
from servers.conversations.dynamodb_upkeep import keep_up, remove_idle
from servers.conversations.dynamodb_writes import Writer
from servers.conversations.store_errors import ConversationError, UnavailableError

_log = logging.getLogger(__name__)

_CLOSE_SECONDS = 5.0
_CHECK_SECONDS = 3.0
"""For the table to say what it is like, repetitions included: somebody waits for the start."""


@dataclass(frozen=True, slots=True)
class DynamoDBSettings:
    """Which table, and how it is used."""

    table: str
    region: str | None = None
    """None: where AWS's own rules say."""
    endpoint_url: str | None = None
    listing_seconds: float = 60.0
    """So long a listing may lag behind messages: each entry costs as much as they do."""
    listing_shards: int = 1
    """Over how many partitions an owner's listing is spread. All servers must agree."""
    idle_days: float | None = None
    """After how many days that nothing was written a conversation expires. None: never."""
    bucket: str | None = None
    """Of S3, for the bytes of new attachments. None: they lie in the table."""


@asynccontextmanager
async def open_dynamodb_store(
    settings: DynamoDBSettings,
) -> AsyncGenerator[DynamoDBConversationStore]:
    """Open the table, which `agentic conversations create-table` makes.

    Raises:
        UnavailableError: It, or the bucket, is not there, or is not as it must be; the text says
            all that is missing.
    """
    async with open_api(settings.table, settings.region, settings.endpoint_url) as api:
        client = create_client(api, settings.table)
        listings = settings.listing_seconds, settings.listing_shards
        writer = Writer(client, *listings, settings.idle_days)
        asked = create_client(api, settings.table, deadline_seconds=_CHECK_SECONDS)
        async with (
            _open_places(settings, client, asked) as places,
            anyio.create_task_group() as tasks,
        ):
            tasks.start_soon(keep_up, writer)
            tasks.start_soon(remove_idle, writer)
            try:
                yield DynamoDBConversationStore(writer, places)
            finally:
                tasks.cancel_scope.cancel()
                await _list_what_waits(writer)


async def _list_what_waits(writer: Writer) -> None:
    with anyio.move_on_after(_CLOSE_SECONDS, shield=True):
        try:
            await writer.list_what_waits(older_than=anyio.current_time())
        except ConversationError as error:
            _log.warning("some conversations are not listed as they are: %s", error)


@asynccontextmanager
async def _open_places(
    settings: DynamoDBSettings, client: DynamoDBClient, asked: DynamoDBClient
) -> AsyncGenerator[Places]:
    """Where bytes of attachments go, when it and the table, as `asked`, are as they must be."""
    async with open_buckets(settings.table, settings.region) as buckets:
        if settings.bucket is None:
            await check_table(asked)
            yield Places(client, ItemBlobs(client), buckets)
        else:
            blobs = await buckets.find(settings.bucket)
            await _check_both(asked, blobs)
            yield Places(client, blobs, buckets)


async def _check_both(client: DynamoDBClient, blobs: S3Blobs) -> None:
    """At once, so that who starts a server while both are away waits for one of them only."""
    of_bucket: list[str] = []
    of_table: list[UnavailableError] = []

    async def check_bucket() -> None:
        of_bucket.extend(await blobs.find_problems())

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(check_bucket)
        try:
            await check_table(client)
        except UnavailableError as error:
            of_table.append(error)
    texts = [*map(str, of_table), *of_bucket]
    if texts:
        pause = of_table[0].retry_after_seconds if of_table else None
        raise UnavailableError("; ".join(texts), retry_after_seconds=pause)
