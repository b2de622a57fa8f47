"""The policy of deploy/aws permits what the store asks AWS for, and nothing else."""

from collections.abc import Mapping
from typing import Any

from servers.aws.api import create_api
from servers.aws.dynamodb import DynamoDBClient, Put
from servers.conversations.dynamodb_client import create_client
from servers.conversations.dynamodb_items import INDEX
from servers.conversations.dynamodb_s3 import S3Blobs
from tests.deploy.cloudformation import Template
from tests.deploy.running_compose import ROOT
from tests.fakes.dynamodb_server import REGION, create_table
from tests.fakes.dynamodb_wire import watch

FILE = ROOT / "deploy/aws/conversations.yaml"
_IN_TRANSACTIONS = {"Put": "PutItem", "Delete": "DeleteItem", "Update": "UpdateItem"}
_IN_BATCHES = {"PutRequest": "PutItem", "DeleteRequest": "DeleteItem"}
_OF_S3 = {
    "ListObjectsV2": "ListBucket",
    "GetObject": "GetObject",
    "PutObject": "PutObject",
    "DeleteObject": "DeleteObject",
    "DeleteObjects": "DeleteObject",
}


def actions(template: Template, service: str) -> set[str]:
    statements = template.resources["Policy"]["PolicyDocument"]["Statement"]
    found: set[str] = set()
    for statement in statements:
        named = statement["Action"]
        found |= {named} if isinstance(named, str) else set(named)
    prefix = f"{service}:"
    return {each.removeprefix(prefix) for each in found if each.startswith(prefix)}


def methods(kind: type) -> set[str]:
    return {name for name, each in vars(kind).items() if callable(each) and name[0] != "_"}


def needed(operation: str, body: Mapping[str, Any]) -> set[str]:
    """The actions that IAM wants for a request."""
    if operation == "TransactWriteItems":
        return {_IN_TRANSACTIONS[name] for each in body["TransactItems"] for name in each}
    return {operation}


async def test_the_policy_permits_what_the_store_asks_of_the_table(api: Any) -> None:
    client = create_client(api, create_table(api))
    item = {"pk": "a", "sk": "b", "v": 1}
    exercise = {
        "get": lambda: client.get("a", "b"),
        "put": lambda: client.put(item),
        "query": lambda: client.query("o = :o", {":o": "x"}, index=INDEX),
        "delete": lambda: client.delete("a", "c", "attribute_not_exists(v) OR v < :v", {":v": 1}),
        "update": lambda: client.update("a", "b", {"v": 2}, "attribute_exists(pk)"),
        "write_together": lambda: client.write_together([Put(item)], [("a", "c")]),
        "write_all": lambda: client.write_all([item], [("a", "c")]),
        "describe_table": client.describe_table,
        "describe_ttl": client.describe_ttl,
    }
    assert set(exercise) == methods(DynamoDBClient), "there are others by now"
    with watch(api) as wire:
        await exercise.pop("put")()
        for call in exercise.values():
            await call()
    pairs = zip(wire.operations, wire.bodies, strict=True)
    asked = {action for pair in pairs for action in needed(*pair)}
    template = Template(FILE)
    assert actions(template, "dynamodb") == asked
    assert actions(template, "s3") == set()
    metrics = template.resources["ErrorAlarm"]["Metrics"][1:]
    watched = {each["MetricStat"]["Metric"]["Dimensions"][1]["Value"] for each in metrics}
    assert watched == {name for name in wire.operations if not name.startswith("Describe")}


async def test_the_policy_permits_what_the_store_asks_of_the_bucket(aws: str) -> None:
    api = create_api("x", REGION, aws, service="s3")
    where = {"LocationConstraint": REGION}
    api.create_bucket(Bucket="policy", CreateBucketConfiguration=where)
    blobs = S3Blobs(api, "policy", "ours")
    asked: list[tuple[str, str]] = []

    def note(model: Any, params: Mapping[str, Any], **_: object) -> None:
        asked.append((_OF_S3[model.name], params["url_path"]))

    api.meta.events.register("before-call.s3", note)
    name = f"{1:016d}#a"
    exercise = {
        "put": lambda: blobs.put("pk", name, b"abc"),
        "get": lambda: blobs.get("pk", name, 3, 0, 2),
        "remove": lambda: blobs.remove("pk", name, 3),
        "find_problems": blobs.find_problems,
    }
    for call in exercise.values():
        await call()
    await blobs.put("pk", name, b"abc")
    await blobs.remove_before("pk", 2)
    assert {*exercise, "remove_before"} == methods(S3Blobs), "there are others by now"
    template = Template(FILE, {"AttachmentsBucket": "policy", "TableName": "ours"})
    assert actions(template, "s3") == {action for action, _ in asked}
    objects = [path for action, path in asked if action in ("GetObject", "PutObject")]
    assert objects
    assert all(path.removeprefix("/policy").startswith("/ours/") for path in objects)
