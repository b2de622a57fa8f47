"""Places of attachments for tests that need no bucket."""

from typing import Any

from servers.aws.dynamodb import DynamoDBClient
from servers.conversations.dynamodb_blobs import ItemBlobs
from servers.conversations.dynamodb_places import Buckets, Places
from servers.conversations.dynamodb_s3 import S3Blobs


def in_table(client: DynamoDBClient) -> Places:
    """All in the table; no head names a bucket."""

    async def refuse() -> Any:
        raise AssertionError("no bucket is needed")

    return Places(client, ItemBlobs(client), Buckets(client.table, refuse))


def in_bucket(client: DynamoDBClient, s3: Any, current: S3Blobs | str) -> Places:
    """New ones in a bucket, or in the table if its name is empty; others wherever they are."""

    async def give() -> Any:
        return s3

    if isinstance(current, S3Blobs):
        blobs = current
    else:
        blobs = S3Blobs(s3, current, client.table) if current else ItemBlobs(client)
    return Places(client, blobs, Buckets(client.table, give))
