"""The table itself: what it must be like, and how it is made."""

from collections.abc import Mapping
from typing import Any

from servers.conversations.dynamodb_client import DynamoDBClient
from servers.conversations.dynamodb_items import INDEX
from servers.conversations.store_errors import UnavailableError

KEYS = {"pk": "HASH", "sk": "RANGE"}
INDEX_KEYS = {"o": "HASH", "s": "RANGE"}
PROJECTED = ("e", "i")
TTL_ATTRIBUTE = "t"


async def check_table(client: DynamoDBClient) -> None:
    """Raise `UnavailableError` if the table is not as it must be; it names all that is missing."""
    table, ttl = await client.describe()
    missing = [*_check_keys(table), *_check_index(table)]
    if table.get("TableStatus") not in ("ACTIVE", "UPDATING"):
        missing.append(f"it is {table.get('TableStatus')}, not ACTIVE")
    if (
        ttl.get("TimeToLiveStatus") not in ("ENABLED", "ENABLING")
        or ttl.get("AttributeName") != TTL_ATTRIBUTE
    ):
        missing.append(f"its time to live is not enabled on the attribute {TTL_ATTRIBUTE}")
    if missing:
        raise UnavailableError(
            f"the DynamoDB table {client.table} in {client.region} can't hold conversations: "
            f"{'; '.join(missing)}. Make another one with `agentic conversations create-table`, "
            "or mend it"
        )


def _check_keys(table: Mapping[str, Any]) -> list[str]:
    found = _keys_of(table)
    types = _types_of(table)
    if found != KEYS:
        return [f"its key is {found}, not {KEYS}"]
    return [f"its key {name} is no string" for name in KEYS if types.get(name) != "S"]


def _check_index(table: Mapping[str, Any]) -> list[str]:
    indexes: list[Mapping[str, Any]] = table.get("GlobalSecondaryIndexes") or []
    index = next((each for each in indexes if each.get("IndexName") == INDEX), None)
    if index is None:
        return [f"it has no index {INDEX}"]
    missing: list[str] = []
    if _keys_of(index) != INDEX_KEYS:
        missing.append(f"the key of its index {INDEX} is {_keys_of(index)}, not {INDEX_KEYS}")
    projection: Mapping[str, Any] = index.get("Projection") or {}
    projected = set(projection.get("NonKeyAttributes") or ())
    if projection.get("ProjectionType") != "ALL" and not projected >= set(PROJECTED):
        missing.append(f"its index {INDEX} does not hold the attributes {', '.join(PROJECTED)}")
    return missing


def _keys_of(table: Mapping[str, Any]) -> dict[str, str]:
    schema: list[Mapping[str, str]] = table.get("KeySchema") or []
    return {each["AttributeName"]: each["KeyType"] for each in schema}


def _types_of(table: Mapping[str, Any]) -> dict[str, str]:
    definitions: list[Mapping[str, str]] = table.get("AttributeDefinitions") or []
    return {each["AttributeName"]: each["AttributeType"] for each in definitions}


def describe_table(name: str) -> dict[str, Any]:
    """What `CreateTable` is asked for, on demand."""
    return {
        "TableName": name,
        "KeySchema": [{"AttributeName": n, "KeyType": kind} for n, kind in KEYS.items()],
        "AttributeDefinitions": [
            {"AttributeName": n, "AttributeType": "S"} for n in (*KEYS, *INDEX_KEYS)
        ],
        "GlobalSecondaryIndexes": [
            {
                "IndexName": INDEX,
                "KeySchema": [
                    {"AttributeName": n, "KeyType": kind} for n, kind in INDEX_KEYS.items()
                ],
                "Projection": {
                    "ProjectionType": "INCLUDE",
                    "NonKeyAttributes": list(PROJECTED),
                },
            }
        ],
        "BillingMode": "PAY_PER_REQUEST",
    }
