"""Making the table of conversations; what is there already is looked at, and never destroyed."""

from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import anyio

from servers.aws.failures import explain
from servers.conversations.dynamodb_calls import AnswerError, Calls
from servers.conversations.dynamodb_capacity import Provisioned
from servers.conversations.dynamodb_client import open_api
from servers.conversations.dynamodb_scaling import plan_scaling
from servers.conversations.dynamodb_steps import Step
from servers.conversations.dynamodb_table import (
    TTL_ATTRIBUTE,
    describe_recovery,
    describe_table,
    describe_ttl,
    find_differences,
    to_tags,
)
from servers.conversations.store_errors import UnavailableError

_DEADLINE_SECONDS = 15.0
"""Of one call with all its repetitions."""
_POLL_SECONDS = 2.0
_TOLD_EACH_SECONDS = 10.0
_FIRST_POLL_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class Wanted:
    """The table to make."""

    table: str
    region: str | None = None
    """None: where AWS's own rules say."""
    endpoint_url: str | None = None
    """Of DynamoDB; that of auto scaling is AWS's, or what AWS_ENDPOINT_URL says."""
    capacity: Provisioned | None = None
    """None: on demand."""
    tags: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True, slots=True)
class Outcome:
    """What `create_table` found and did."""

    region: str
    made: bool
    """Whether it was not there before."""
    done: tuple[str, ...]
    """What was added to it, in words."""
    differences: tuple[str, ...]
    """What is other than wanted. If there are some nothing was added."""


@asynccontextmanager
async def open_apis(wanted: Wanted) -> AsyncGenerator[tuple[Any, Any]]:
    """Botocore's clients of DynamoDB and of auto scaling; the latter if it is needed.

    Raises:
        UnavailableError: There is no region, or a profile that AWS's files don't hold.
    """
    async with AsyncExitStack() as stack:
        opening = open_api(wanted.table, wanted.region, wanted.endpoint_url)
        tables = await stack.enter_async_context(opening)
        scaling = None
        if wanted.capacity is not None:
            opening = open_api(wanted.table, wanted.region, None, service="application-autoscaling")
            scaling = await stack.enter_async_context(opening)
        yield tables, scaling


async def create_table(
    wanted: Wanted, apis: tuple[Any, Any], tell: Callable[[str], None], *, limit_seconds: float
) -> Outcome:
    """Make the table, or what is missing of it, and wait until it can be used.

    `tell` is told how it goes on.

    Raises:
        UnavailableError: It can't be done, or takes longer than `limit_seconds`. To call it again
            goes on with what was begun.
    """
    deadline = min(_DEADLINE_SECONDS, limit_seconds / 2)
    region = str(apis[0].meta.region_name)
    tables, scaling = (
        Calls(api, lambda error: explain(error, wanted.table, region), deadline_seconds=deadline)
        for api in apis
    )
    with anyio.move_on_after(limit_seconds):
        return await _Creation(wanted, region, tables, scaling, tell).run()
    raise UnavailableError(
        f"the table {wanted.table} was not ready after {limit_seconds:g} seconds; AWS goes on with "
        "what was begun: run it again to see, and to go on",
        retry_after_seconds=_TOLD_EACH_SECONDS,
    )


class _Creation:
    """One run of `create_table`."""

    def __init__(
        self,
        wanted: Wanted,
        region: str,
        tables: Calls,
        scaling: Calls,
        tell: Callable[[str], None],
    ) -> None:
        self._wanted = wanted
        self._tables = tables
        self._scaling = scaling
        self._tell = tell
        self._region = region
        self._made = False
        self._done: list[str] = []

    async def run(self) -> Outcome:
        table = await self._describe()
        if table is None:
            table = await self._create()
        differences = self._compare(table)
        if not differences:
            table = await self._wait_until_active()
            plan = await self._plan(table)
            differences = [each for each in plan if isinstance(each, str)]
            if not differences:
                await self._do([each for each in plan if isinstance(each, Step)])
        return Outcome(self._region, self._made, tuple(self._done), tuple(differences))

    async def _describe(self) -> Mapping[str, Any] | None:
        ask = partial(self._tables.api.describe_table, TableName=self._wanted.table)
        try:
            return (await self._tables.run(ask, {"ResourceNotFoundException"}))["Table"]
        except AnswerError:
            return None

    async def _create(self) -> Mapping[str, Any]:
        wanted = self._wanted
        request = describe_table(wanted.table, wanted.capacity, wanted.tags)
        ask = partial(self._tables.api.create_table, **request)
        self._tell(f"Making the table {wanted.table} in {self._region}.")
        try:
            made: Mapping[str, Any] = await self._tables.run(ask, {"ResourceInUseException"})
        except AnswerError:  # somebody else makes it at the same time, or our own call was repeated
            return await self._wait_until_active()
        self._made = True
        return made["TableDescription"]

    async def _wait_until_active(self) -> Mapping[str, Any]:
        """Until the table and its index can be used and changed."""
        begun = told = anyio.current_time()
        pause = _FIRST_POLL_SECONDS
        while True:
            table = await self._describe()
            states = _states(table or {})
            if table is not None and set(states.values()) == {"ACTIVE"}:
                return table
            if states.get("the table") not in ("ACTIVE", "CREATING", "UPDATING", None):
                raise UnavailableError(
                    f"the table {self._wanted.table} in {self._region} is {states['the table']}: "
                    "wait until it is gone or can be used, or take another name"
                )
            now = anyio.current_time()
            if now - told >= _TOLD_EACH_SECONDS:
                told = now
                text = ", ".join(f"{name} is {state}" for name, state in states.items())
                self._tell(f"After {now - begun:.0f} s {text or 'the table is not there yet'}.")
            await anyio.sleep(pause)
            pause = min(2 * pause, _POLL_SECONDS)

    def _compare(self, table: Mapping[str, Any]) -> list[str]:
        differences = find_differences({**table, "GlobalSecondaryIndexes": _settled(table)})
        billing: Mapping[str, str] = table.get("BillingModeSummary") or {}
        is_on_demand = billing.get("BillingMode") == "PAY_PER_REQUEST"
        if is_on_demand and self._wanted.capacity is not None:
            differences.append("its capacity is on demand, not provisioned")
        if not is_on_demand and self._wanted.capacity is None:
            differences.append("its capacity is provisioned, not on demand")
        return differences

    async def _plan(self, table: Mapping[str, Any]) -> list[Step | str]:
        planned: list[Step | str] = [
            *await self._plan_ttl(),
            *await self._plan_recovery(),
            *await self._plan_tags(str(table["TableArn"])),
        ]
        if not table.get("DeletionProtectionEnabled"):
            planned.append(
                self._step(
                    "it is protected against deletion",
                    "update_table",
                    DeletionProtectionEnabled=True,
                )
            )
        if self._wanted.capacity is not None:
            planned += await plan_scaling(self._scaling, self._wanted.table, self._wanted.capacity)
        return planned

    async def _plan_ttl(self) -> list[Step | str]:
        answer = await self._tables.ask("describe_time_to_live", TableName=self._wanted.table)
        ttl = answer["TimeToLiveDescription"]
        match ttl.get("TimeToLiveStatus"):
            case "ENABLED" | "ENABLING":
                name = ttl.get("AttributeName")
                wrong = f"its time to live is on the attribute {name}, not {TTL_ATTRIBUTE}"
                return [] if name == TTL_ATTRIBUTE else [wrong]
            case "DISABLING":
                return ["its time to live is being disabled: wait an hour"]
            case _:
                return [
                    self._step(
                        f"its time to live is the attribute {TTL_ATTRIBUTE}",
                        "update_time_to_live",
                        TimeToLiveSpecification=describe_ttl(),
                    )
                ]

    async def _plan_recovery(self) -> list[Step | str]:
        answer = await self._tables.ask("describe_continuous_backups", TableName=self._wanted.table)
        recovery = answer["ContinuousBackupsDescription"].get("PointInTimeRecoveryDescription", {})
        if recovery.get("PointInTimeRecoveryStatus") == "ENABLED":
            return []
        return [
            self._step(
                "it can be restored to any moment of the last 35 days",
                "update_continuous_backups",
                PointInTimeRecoverySpecification=describe_recovery(),
            )
        ]

    async def _plan_tags(self, arn: str) -> list[Step | str]:
        wanted = self._wanted.tags
        if not wanted:
            return []
        found: dict[str, str] = {}
        more: dict[str, str] = {}
        while True:
            answer = await self._tables.ask("list_tags_of_resource", ResourceArn=arn, **more)
            found |= {each["Key"]: each["Value"] for each in answer["Tags"]}
            if not answer.get("NextToken"):
                break
            more = {"NextToken": answer["NextToken"]}
        missing = {key: value for key, value in wanted.items() if key not in found}
        planned: list[Step | str] = [
            f"its tag {key} is {found[key]}, not {value}"
            for key, value in wanted.items()
            if key in found and found[key] != value
        ]
        if missing:

            async def tag() -> None:
                await self._tables.ask("tag_resource", ResourceArn=arn, Tags=to_tags(missing))

            planned.append(Step(f"it is tagged {', '.join(missing)}", tag))
        return planned

    async def _do(self, steps: list[Step]) -> None:
        for step in steps:
            try:
                await step.act()
            except UnavailableError as error:
                done = f" What is done stays: {'; '.join(self._done)}." if self._done else ""
                raise UnavailableError(f"{error}.{done} Run it again then: it goes on") from None
            self._done.append(step.text)
            self._tell(f"Done: {step.text}.")
            await self._wait_until_active()

    def _step(self, text: str, operation: str, **parameters: object) -> Step:
        async def act() -> None:
            ask = partial(
                getattr(self._tables.api, operation), TableName=self._wanted.table, **parameters
            )
            while True:
                try:
                    await self._tables.run(ask, _NOT_YET)
                except AnswerError:
                    await anyio.sleep(_POLL_SECONDS)
                else:
                    return

        return Step(text, act)


_NOT_YET = {"ContinuousBackupsUnavailableException", "ResourceInUseException"}
"""Another change of the table is still going on."""


def _states(table: Mapping[str, Any]) -> dict[str, str]:
    states = {"the table": str(table["TableStatus"])} if "TableStatus" in table else {}
    indexes: list[Mapping[str, Any]] = table.get("GlobalSecondaryIndexes") or []
    for index in indexes:
        states[f"its index {index['IndexName']}"] = str(index.get("IndexStatus", "ACTIVE"))
    return states


def _settled(table: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The indexes as if they could be used: for that there is a wait."""
    indexes: list[Mapping[str, Any]] = table.get("GlobalSecondaryIndexes") or []
    return [{**index, "IndexStatus": "ACTIVE", "Backfilling": False} for index in indexes]
