"""The table itself: what it must be like, and what is not so."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from servers.aws.dynamodb import DynamoDBClient
from servers.conversations.dynamodb_capacity import Provisioned
from servers.conversations.dynamodb_client import NotPermittedError
from servers.conversations.dynamodb_items import INDEX
from servers.conversations.store_errors import UnavailableError

KEYS = {"pk": "HASH", "sk": "RANGE"}
INDEX_KEYS = {"o": "HASH", "s": "RANGE"}
PROJECTED = ("e", "i")
TTL_ATTRIBUTE = "t"
_TTL_ON = ("ENABLED", "ENABLING")
_USABLE = ("ACTIVE", "UPDATING")


async def check_table(client: DynamoDBClient) -> None:
    """Raise `UnavailableError` if the table is not as it must be; it names all that is missing."""
    failed: list[UnavailableError] = []
    wrong: list[str] = []
    checks: list[
        tuple[Callable[[], Awaitable[Mapping[str, Any]]], Callable[[Mapping[str, Any]], list[str]]]
    ] = [(client.describe_table, _check_table), (client.describe_ttl, _check_ttl)]
    for describe, check in checks:
        try:
            wrong += check(await describe())
        except UnavailableError as error:
            failed.append(error)
            if not isinstance(error, NotPermittedError):
                break  # the next would say the same
    texts = [str(error) for error in failed]
    if wrong:
        texts.append(
            f"the DynamoDB table {client.table} in {client.region} can't hold conversations: "
            f"{'; '.join(wrong)}. Make another one with `agentic conversations create-table`, "
            "or mend it"
        )
    if texts:
        pauses = [error.retry_after_seconds for error in failed]
        raise UnavailableError("; ".join(texts), retry_after_seconds=next(iter(pauses), None))


def _check_table(table: Mapping[str, Any]) -> list[str]:
    wrong = find_differences(table)
    status = table.get("TableStatus")
    if status not in _USABLE:
        wrong.append(f"it is {status}, not ACTIVE")
    return wrong


def _check_ttl(ttl: Mapping[str, Any]) -> list[str]:
    if ttl.get("TimeToLiveStatus") in _TTL_ON and ttl.get("AttributeName") == TTL_ATTRIBUTE:
        return []
    return [f"its time to live is not enabled on the attribute {TTL_ATTRIBUTE}"]


def find_differences(table: Mapping[str, Any]) -> list[str]:
    """What of its keys and its index is other than it must be; that can't be changed later."""
    types = _types_of(table)
    return [*_check_keys("its key", _keys_of(table), KEYS, types), *_check_index(table, types)]


def _check_keys(
    what: str, found: Mapping[str, str], wanted: Mapping[str, str], types: Mapping[str, str]
) -> list[str]:
    if found != wanted:
        return [f"{what} is {_render(found)}, not {_render(wanted)}"]
    return [
        f"{name} of {what} is of type {types.get(name)}, not S (a string)"
        for name in wanted
        if types.get(name) != "S"
    ]


def _check_index(table: Mapping[str, Any], types: Mapping[str, str]) -> list[str]:
    indexes: list[Mapping[str, Any]] = table.get("GlobalSecondaryIndexes") or []
    index = next((each for each in indexes if each.get("IndexName") == INDEX), None)
    if index is None:
        return [f"it has no index {INDEX}"]
    wrong = _check_keys(f"the key of its index {INDEX}", _keys_of(index), INDEX_KEYS, types)
    projection: Mapping[str, Any] = index.get("Projection") or {}
    projected: Sequence[str] = projection.get("NonKeyAttributes") or ()
    absent = [name for name in PROJECTED if name not in projected]
    if projection.get("ProjectionType") != "ALL" and absent:
        wrong.append(f"its index {INDEX} does not hold the attributes {', '.join(absent)}")
    if index.get("Backfilling") or index.get("IndexStatus", "ACTIVE") not in _USABLE:
        wrong.append(f"its index {INDEX} is {index.get('IndexStatus')}, not ACTIVE")
    return wrong


def _render(keys: Mapping[str, str]) -> str:
    return ", ".join(f"{name} ({kind})" for name, kind in keys.items())


def _keys_of(table: Mapping[str, Any]) -> dict[str, str]:
    schema: list[Mapping[str, str]] = table.get("KeySchema") or []
    return {each["AttributeName"]: each["KeyType"] for each in schema}


def _types_of(table: Mapping[str, Any]) -> dict[str, str]:
    definitions: list[Mapping[str, str]] = table.get("AttributeDefinitions") or []
    return {each["AttributeName"]: each["AttributeType"] for each in definitions}


def describe_table(
    name: str, capacity: Provisioned | None = None, tags: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """What `CreateTable` is asked for; without `capacity` on demand."""
    index: dict[str, Any] = {
        "IndexName": INDEX,
        "KeySchema": [{"AttributeName": n, "KeyType": kind} for n, kind in INDEX_KEYS.items()],
        "Projection": {"ProjectionType": "INCLUDE", "NonKeyAttributes": list(PROJECTED)},
    }
    table: dict[str, Any] = {
        "TableName": name,
        "KeySchema": [{"AttributeName": n, "KeyType": kind} for n, kind in KEYS.items()],
        "AttributeDefinitions": [
            {"AttributeName": n, "AttributeType": "S"} for n in (*KEYS, *INDEX_KEYS)
        ],
        "GlobalSecondaryIndexes": [index],
        "BillingMode": "PAY_PER_REQUEST" if capacity is None else "PROVISIONED",
        "DeletionProtectionEnabled": True,
    }
    if capacity is not None:
        table["ProvisionedThroughput"] = capacity.throughput()
        index["ProvisionedThroughput"] = capacity.throughput()
    if tags:
        table["Tags"] = to_tags(tags)
    return table


def to_tags(tags: Mapping[str, str]) -> list[dict[str, str]]:
    """Tags as AWS takes them."""
    return [{"Key": key, "Value": value} for key, value in tags.items()]


def describe_ttl() -> dict[str, Any]:
    """What `UpdateTimeToLive` is asked for."""
    return {"Enabled": True, "AttributeName": TTL_ATTRIBUTE}


def describe_recovery() -> dict[str, Any]:
    """What `UpdateContinuousBackups` is asked for."""
    return {"PointInTimeRecoveryEnabled": True}
