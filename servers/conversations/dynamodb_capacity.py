"""How much a table may do: on demand, or between bounds that follow its load and the hour."""

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from servers.conversations.dynamodb_items import INDEX

Kind = Literal["read", "write"]
KINDS: tuple[Kind, ...] = ("read", "write")
TARGET_PERCENT = 70.0
"""Of its units a table shall use: more are added above it, and taken away below."""


class Bounds(NamedTuple):
    """Capacity units, at least and at most."""

    least: int
    most: int

    def __str__(self) -> str:
        return f"{self.least} to {self.most}"


@dataclass(frozen=True, slots=True)
class Scheduled:
    """Other bounds from a time of day on, each day."""

    time: str
    """HH:MM."""
    read: Bounds
    write: Bounds


@dataclass(frozen=True, slots=True)
class Provisioned:
    """Bounds of the table, and the same of its index."""

    read: Bounds
    write: Bounds
    scheduled: tuple[Scheduled, ...] = ()
    time_zone: str = "UTC"
    """Of the times."""

    def throughput(self) -> dict[str, int]:
        """What the table and its index begin with."""
        return {"ReadCapacityUnits": self.read.least, "WriteCapacityUnits": self.write.least}

    def of(self, kind: Kind) -> Bounds:
        """Bounds at other hours than those that are scheduled."""
        return self.read if kind == "read" else self.write


@dataclass(frozen=True, slots=True)
class Scalable:
    """What scales by itself: reads or writes of the table, or of its index."""

    table: str
    is_index: bool
    kind: Kind

    def __str__(self) -> str:
        return f"the {self.kind} units of {f'its index {INDEX}' if self.is_index else 'the table'}"

    def to_parameters(self) -> dict[str, str]:
        """As Application Auto Scaling names it."""
        name = f"table/{self.table}"
        what = "index" if self.is_index else "table"
        return {
            "ServiceNamespace": "dynamodb",
            "ResourceId": f"{name}/index/{INDEX}" if self.is_index else name,
            "ScalableDimension": f"dynamodb:{what}:{self.kind.title()}CapacityUnits",
        }


def scalables(table: str) -> list[Scalable]:
    """All four."""
    return [Scalable(table, is_index, kind) for is_index in (False, True) for kind in KINDS]


def target_of(kind: Kind) -> dict[str, Any]:
    """The policy by which units follow the load."""
    metric = f"DynamoDB{kind.title()}CapacityUtilization"
    return {
        "PredefinedMetricSpecification": {"PredefinedMetricType": metric},
        "TargetValue": TARGET_PERCENT,
    }


def actions_of(capacity: Provisioned, kind: Kind) -> dict[str, dict[str, Any]]:
    """What is scheduled, by name."""
    actions: dict[str, dict[str, Any]] = {}
    for scheduled in capacity.scheduled:
        hour, minute = scheduled.time.split(":")
        units = scheduled.read if kind == "read" else scheduled.write
        actions[f"conversations-{hour}{minute}"] = {
            "Schedule": f"cron({int(minute)} {int(hour)} * * ? *)",
            "Timezone": capacity.time_zone,
            "ScalableTargetAction": {"MinCapacity": units.least, "MaxCapacity": units.most},
        }
    return actions
