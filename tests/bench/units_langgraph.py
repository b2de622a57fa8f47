"""What one checkpoint of langgraph's DynamoDB saver costs, counted as ours is.

A checkpoint holds the whole state of a thread, and a graph saves one after each of its steps.
"""

import importlib.util
import math
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, Protocol

from botocore.exceptions import ClientError

from servers.conversations.contract import Message
from tests.bench.table import Row
from tests.fakes.dynamodb_server import REGION


class Counted(Protocol):
    """Units since the last time."""

    def take(self) -> tuple[float, float]:
        """What was written and read."""
        ...


def measure_checkpoints(
    address: str,
    size: int,
    messages: list[Message],
    metering: Callable[[Any], AbstractContextManager[Counted]],
) -> list[Row]:
    """One written and read that holds `messages`; none where the package is not installed."""
    if importlib.util.find_spec("langgraph_checkpoint_aws") is None:
        return []
    return [
        row
        for compresses in (False, True)
        for row in _measure(address, size, messages, metering, compresses=compresses)
    ]


def _measure(
    address: str,
    size: int,
    messages: list[Message],
    metering: Callable[[Any], AbstractContextManager[Counted]],
    *,
    compresses: bool,
) -> list[Row]:
    from langgraph.checkpoint.base import empty_checkpoint
    from langgraph_checkpoint_aws import (  # pyright: ignore[reportMissingTypeStubs] - it has none
        DynamoDBSaver,
    )

    table = f"checkpoints-{size}-{compresses}"
    saver: Any = DynamoDBSaver(
        table,
        region_name=REGION,
        endpoint_url=address,
        enable_checkpoint_compression=compresses,
    )
    keys = {"PK": "HASH", "SK": "RANGE"}
    saver.client.create_table(
        TableName=table,
        BillingMode="PAY_PER_REQUEST",
        KeySchema=[{"AttributeName": name, "KeyType": kind} for name, kind in keys.items()],
        AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name in keys],
    )
    thread = {"configurable": {"thread_id": "t", "checkpoint_ns": ""}}
    checkpoint = {
        **empty_checkpoint(),
        "channel_values": {"messages": [message.to_wire() for message in messages]},
        "channel_versions": {"messages": "1"},
    }
    name = f"  langgraph's DynamoDBSaver, {'gzip' if compresses else 'plain'}"
    with metering(saver.client) as meter:
        try:
            saver.put(thread, checkpoint, {"source": "loop", "step": 1}, {"messages": "1"})
        except ClientError:  # DynamoDB takes no item of more than 400 KB
            return [Row(f"{name}: refused, its item is too large", math.inf, "units")]
        written, _ = meter.take()
        found = saver.get_tuple(thread)
        _, read = meter.take()
    assert len(found.checkpoint["channel_values"]["messages"]) == len(messages)
    return [
        Row(f"{name}, one checkpoint written", written, "units"),
        Row(f"{name}, read", read, "units"),
    ]
