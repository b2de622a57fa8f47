"""The table is made as it must be; what is there is completed, or told of, and never destroyed."""

import os
from collections.abc import Awaitable, Callable, Generator
from dataclasses import replace
from itertools import count
from typing import Any

import pytest

from servers.aws.api import create_api
from servers.conversations.dynamodb_capacity import Bounds, Provisioned, Scheduled, scalables
from servers.conversations.dynamodb_client import create_client
from servers.conversations.dynamodb_creation import Outcome, Wanted, create_table, open_apis
from servers.conversations.dynamodb_table import check_table, describe_table
from servers.conversations.store_errors import UnavailableError
from tests.fakes.aws_answers import Answers, open_aws_answers
from tests.fakes.dynamodb_server import REGION

_NUMBERS = count()
_CAPACITY = Provisioned(
    read=Bounds(5, 50),
    write=Bounds(4, 40),
    scheduled=(
        Scheduled("07:00", Bounds(20, 200), Bounds(10, 100)),
        Scheduled("22:30", Bounds(5, 50), Bounds(4, 40)),
    ),
    time_zone="Europe/Berlin",
)


@pytest.fixture(scope="module")
def scaling(aws: str) -> Any:
    return create_api("x", REGION, aws, service="application-autoscaling")


@pytest.fixture
def wanted() -> Wanted:
    """A table that isn't there yet."""
    return Wanted(f"made-{next(_NUMBERS)}", REGION)


Make = Callable[[Wanted], Awaitable[Outcome]]


@pytest.fixture
def told() -> list[str]:
    return []


@pytest.fixture
def make(api: Any, scaling: Any, told: list[str]) -> Make:
    """Makes a table at moto."""

    async def make(wanted: Wanted) -> Outcome:
        return await create_table(wanted, (api, scaling), told.append, limit_seconds=10)

    return make


@pytest.fixture(scope="module")
def proxy(aws: str) -> Generator[tuple[Answers, Any]]:
    with open_aws_answers(aws) as answers:
        yield answers, create_api("x", REGION, answers.address)


@pytest.fixture
def answers(proxy: tuple[Answers, Any]) -> Answers:
    proxy[0].clear()
    return proxy[0]


@pytest.fixture
def remake(proxy: tuple[Answers, Any], told: list[str]) -> Make:
    """Makes a table where also `answers` are given."""

    async def make(wanted: Wanted) -> Outcome:
        return await create_table(wanted, (proxy[1], None), told.append, limit_seconds=10)

    return make


async def fail(make: Make, wanted: Wanted) -> str:
    with pytest.raises(UnavailableError) as caught:
        await make(wanted)
    return str(caught.value)


async def test_a_table_is_made_with_all_that_belongs_to_it(
    api: Any, make: Make, wanted: Wanted
) -> None:
    outcome = await make(replace(wanted, tags={"team": "support"}))
    assert (outcome.made, outcome.region, outcome.differences) == (True, REGION, ())
    await check_table(create_client(api, wanted.table))
    table = api.describe_table(TableName=wanted.table)["Table"]
    assert table["DeletionProtectionEnabled"]
    assert table["BillingModeSummary"]["BillingMode"] == "PAY_PER_REQUEST"
    backups = api.describe_continuous_backups(TableName=wanted.table)
    recovery = backups["ContinuousBackupsDescription"]["PointInTimeRecoveryDescription"]
    assert recovery["PointInTimeRecoveryStatus"] == "ENABLED"
    tags = api.list_tags_of_resource(ResourceArn=table["TableArn"])["Tags"]
    assert tags == [{"Key": "team", "Value": "support"}]


async def test_a_second_run_changes_nothing(answers: Answers, remake: Make, wanted: Wanted) -> None:
    again = replace(wanted, tags={"a": "b"})
    assert (await remake(again)).made
    answers.asked.clear()
    assert await remake(again) == Outcome(REGION, False, (), ())
    assert set(answers.asked) == {
        "DescribeTable",
        "DescribeTimeToLive",
        "DescribeContinuousBackups",
        "ListTagsOfResource",
    }


async def test_what_a_run_that_was_broken_off_left_out_is_added(
    api: Any, make: Make, wanted: Wanted, told: list[str]
) -> None:
    request = describe_table(wanted.table) | {"DeletionProtectionEnabled": False}
    api.create_table(**request)
    outcome = await make(replace(wanted, tags={"a": "b"}))
    assert not outcome.made
    assert outcome.done == (
        "its time to live is the attribute t",
        "it can be restored to any moment of the last 35 days",
        "it is tagged a",
        "it is protected against deletion",
    )
    assert told == [f"Done: {text}." for text in outcome.done]
    assert api.describe_table(TableName=wanted.table)["Table"]["DeletionProtectionEnabled"]


def _with_key(request: dict[str, Any]) -> None:
    request["KeySchema"] = [{"AttributeName": "id", "KeyType": "HASH"}]
    request["AttributeDefinitions"][0]["AttributeName"] = "id"
    del request["AttributeDefinitions"][1]


def _with_number(request: dict[str, Any]) -> None:
    request["AttributeDefinitions"][1]["AttributeType"] = "N"


def _without_index(request: dict[str, Any]) -> None:
    del request["GlobalSecondaryIndexes"]
    del request["AttributeDefinitions"][2:]


def _with_projection(request: dict[str, Any]) -> None:
    projection = {"ProjectionType": "INCLUDE", "NonKeyAttributes": ["e"]}
    request["GlobalSecondaryIndexes"][0]["Projection"] = projection


def _with_index_key(request: dict[str, Any]) -> None:
    request["GlobalSecondaryIndexes"][0]["KeySchema"].pop()
    del request["AttributeDefinitions"][3]


OTHERS: list[tuple[Callable[[dict[str, Any]], None], str]] = [
    (_with_key, "its key is id (HASH), not pk (HASH), sk (RANGE)"),
    (_with_number, "sk of its key is of type N, not S (a string)"),
    (_without_index, "it has no index listing"),
    (_with_projection, "its index listing does not hold the attributes i"),
    (_with_index_key, "the key of its index listing is o (HASH), not o (HASH), s (RANGE)"),
]


@pytest.mark.parametrize(("change", "text"), OTHERS)
async def test_another_table_of_that_name_is_told_of_and_left(
    api: Any, make: Make, wanted: Wanted, change: Callable[[dict[str, Any]], None], text: str
) -> None:
    request = describe_table(wanted.table)
    change(request)
    api.create_table(**request)
    outcome = await make(wanted)
    assert (outcome.made, outcome.done, outcome.differences) == (False, (), (text,))
    ttl = api.describe_time_to_live(TableName=wanted.table)["TimeToLiveDescription"]
    assert ttl["TimeToLiveStatus"] == "DISABLED"
    with pytest.raises(UnavailableError) as caught:
        await check_table(create_client(api, wanted.table))
    assert f"conversations: {text}; its time to live is not enabled on" in str(caught.value)


async def test_other_settings_are_told_of_and_left(api: Any, make: Make, wanted: Wanted) -> None:
    api.create_table(**describe_table(wanted.table, tags={"a": "b"}))
    api.update_time_to_live(
        TableName=wanted.table,
        TimeToLiveSpecification={"Enabled": True, "AttributeName": "ttl"},
    )
    outcome = await make(replace(wanted, tags={"a": "c"}))
    assert outcome.done == ()
    assert outcome.differences == (
        "its time to live is on the attribute ttl, not t",
        "its tag a is b, not c",
    )


@pytest.mark.slow  # moto takes seconds to import its auto scaling
async def test_capacity_follows_the_load_and_the_hour(
    scaling: Any, make: Make, wanted: Wanted
) -> None:
    wanted = replace(wanted, capacity=_CAPACITY)
    assert len((await make(wanted)).done) == 2 + 4 * 4
    place = scalables(wanted.table)[-1].to_parameters()
    ids = {"ResourceIds": [place["ResourceId"]], "ServiceNamespace": "dynamodb"}
    targets = scaling.describe_scalable_targets(**ids)["ScalableTargets"]
    bounds = {t["ScalableDimension"]: (t["MinCapacity"], t["MaxCapacity"]) for t in targets}
    assert bounds == {
        "dynamodb:index:ReadCapacityUnits": (5, 50),
        "dynamodb:index:WriteCapacityUnits": (4, 40),
    }
    (policy,) = scaling.describe_scaling_policies(**place)["ScalingPolicies"]
    assert policy["TargetTrackingScalingPolicyConfiguration"] == {
        "PredefinedMetricSpecification": {
            "PredefinedMetricType": "DynamoDBWriteCapacityUtilization"
        },
        "TargetValue": 70.0,
    }
    actions = scaling.describe_scheduled_actions(**place)["ScheduledActions"]
    assert [(a["Schedule"], a["Timezone"], a["ScalableTargetAction"]) for a in actions] == [
        ("cron(0 7 * * ? *)", "Europe/Berlin", {"MinCapacity": 10, "MaxCapacity": 100}),
        ("cron(30 22 * * ? *)", "Europe/Berlin", {"MinCapacity": 4, "MaxCapacity": 40}),
    ]


@pytest.mark.slow  # many calls of moto's auto scaling
async def test_bounds_that_a_schedule_has_moved_are_as_wanted(
    scaling: Any, make: Make, wanted: Wanted
) -> None:
    wanted = replace(wanted, capacity=_CAPACITY)
    await make(wanted)
    place = scalables(wanted.table)[0].to_parameters()
    scaling.register_scalable_target(**place, MinCapacity=20, MaxCapacity=200)
    assert await make(wanted) == Outcome(REGION, False, (), ())


@pytest.mark.slow  # many calls of moto's auto scaling
async def test_other_bounds_schedules_and_capacity_are_told_of(make: Make, wanted: Wanted) -> None:
    await make(replace(wanted, capacity=replace(_CAPACITY, scheduled=())))
    other = replace(_CAPACITY, read=Bounds(6, 60), scheduled=())
    assert (await make(replace(wanted, capacity=other))).differences == (
        "the read units of the table go from 5 to 50, not from 6 to 60",
        "the read units of its index listing go from 5 to 50, not from 6 to 60",
    )
    assert (await make(wanted)).differences == ("its capacity is provisioned, not on demand",)
    await make(replace(wanted, capacity=_CAPACITY))
    later = replace(_CAPACITY, time_zone="UTC", scheduled=_CAPACITY.scheduled[:1])
    differences = (await make(replace(wanted, capacity=later))).differences
    assert differences[:2] == (
        "the read units of the table don't go from 20 to 200 at cron(0 7 * * ? *) of UTC, "
        "but do otherwise",
        "the read units of the table also have a schedule that was not asked for: "
        "at cron(30 22 * * ? *) of Europe/Berlin",
    )


async def test_a_table_that_is_being_made_is_waited_for(
    answers: Answers, remake: Make, wanted: Wanted
) -> None:
    await remake(wanted)
    answers.asked.clear()
    answers.give("DescribeTable", {"Table": {**describe_table(wanted.table), **_ON_DEMAND}})
    answers.give("DescribeTable", {"Table": {"TableStatus": "CREATING"}})
    assert await remake(wanted) == Outcome(REGION, False, (), ())
    assert answers.asked.count("DescribeTable") == 3


_ON_DEMAND = {
    "TableStatus": "CREATING",
    "BillingModeSummary": {"BillingMode": "PAY_PER_REQUEST"},
}


async def test_a_wait_has_an_end(
    answers: Answers, proxy: tuple[Answers, Any], wanted: Wanted
) -> None:
    state = {"Table": {**describe_table(wanted.table), **_ON_DEMAND}}
    answers.always("DescribeTable", state)
    with pytest.raises(UnavailableError) as caught:
        await create_table(wanted, (proxy[1], None), print, limit_seconds=0.1)
    text = str(caught.value)
    assert f"the table {wanted.table} was not ready after 0.1 seconds" in text
    assert "run it again to see" in text


async def test_a_table_that_is_being_deleted_is_not_waited_for(
    answers: Answers, remake: Make, wanted: Wanted
) -> None:
    for _ in range(2):
        state = {**_ON_DEMAND, "TableStatus": "DELETING"}
        answers.give("DescribeTable", {"Table": {**describe_table(wanted.table), **state}})
    assert "is DELETING: wait until it is gone" in await fail(remake, wanted)


@pytest.mark.parametrize(
    ("operation", "action"),
    [
        ("DescribeTable", "dynamodb:DescribeTable"),
        ("CreateTable", "dynamodb:CreateTable"),
        ("UpdateTimeToLive", "dynamodb:UpdateTimeToLive"),
        ("UpdateContinuousBackups", "dynamodb:UpdateContinuousBackups"),
    ],
)
async def test_an_action_that_is_not_permitted_is_named_and_the_next_run_goes_on(
    answers: Answers, remake: Make, wanted: Wanted, operation: str, action: str
) -> None:
    answers.forbid(operation, action)
    assert f"AWS does not permit {action}: add it to the IAM policy" in await fail(remake, wanted)
    outcome = await remake(wanted)
    assert outcome.made == (operation in ("DescribeTable", "CreateTable"))
    assert not outcome.differences


async def test_a_limit_of_the_account_is_told_and_not_waited_for(
    answers: Answers, remake: Make, wanted: Wanted
) -> None:
    limit = "Subscriber limit exceeded: There is a limit of 2500 tables per account"
    answers.refuse("CreateTable", "LimitExceededException", limit)
    text = await fail(remake, wanted)
    assert "the AWS account has reached a limit" in text
    assert "Service Quotas" in text


async def test_what_passes_is_waited_for(answers: Answers, remake: Make, wanted: Wanted) -> None:
    answers.refuse("CreateTable", "LimitExceededException", "Too many operations for the table")
    answers.refuse("UpdateTimeToLive", "ThrottlingException")
    assert (await remake(wanted)).made
    assert answers.asked.count("CreateTable") == answers.asked.count("UpdateTimeToLive") == 2


async def test_two_who_make_it_at_once_both_have_it(
    answers: Answers, remake: Make, wanted: Wanted
) -> None:
    await remake(wanted)
    answers.refuse("DescribeTable", "ResourceNotFoundException")
    assert await remake(wanted) == Outcome(REGION, False, (), ())


@pytest.mark.parametrize(
    ("region", "text"),
    [("no where", "that is no name of a region"), ("", "no AWS region is set")],
)
async def test_a_region_that_is_none_is_told(
    wanted: Wanted, region: str, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_DEFAULT_REGION", raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", os.devnull)
    with pytest.raises(UnavailableError, match=text):
        async with open_apis(replace(wanted, region=region or None)):
            pass


async def test_all_that_a_table_lacks_is_told_at_once(
    answers: Answers, remake: Make, wanted: Wanted
) -> None:
    api = create_api("x", REGION, answers.address)
    client = create_client(api, wanted.table)

    async def check() -> str:
        with pytest.raises(UnavailableError) as caught:
            await check_table(client)
        return str(caught.value)

    assert "it, or its index, is not there: make it with `agentic" in await check()
    request = describe_table(wanted.table)
    _without_index(request)
    state = {"TableStatus": "ARCHIVING"}
    answers.give("DescribeTable", {"Table": {**request, **state}})
    answers.give("DescribeTimeToLive", {"TimeToLiveDescription": {"TimeToLiveStatus": "DISABLED"}})
    assert (
        "it has no index listing; it is ARCHIVING, not ACTIVE; its time to live is not enabled on "
        "the attribute t. Make another one"
    ) in await check()
    answers.forbid("DescribeTable", "dynamodb:DescribeTable")
    answers.forbid("DescribeTimeToLive", "dynamodb:DescribeTimeToLive")
    text = await check()
    assert "permit dynamodb:DescribeTable: add" in text
    assert "permit dynamodb:DescribeTimeToLive: add" in text
    filling: dict[str, Any] = describe_table(wanted.table) | {"TableStatus": "ACTIVE"}
    filling["GlobalSecondaryIndexes"][0]["IndexStatus"] = "CREATING"
    answers.give("DescribeTable", {"Table": filling})
    answers.forbid("DescribeTimeToLive", "dynamodb:DescribeTimeToLive")
    text = await check()
    assert "permit dynamodb:DescribeTimeToLive: add" in text
    assert "its index listing is CREATING, not ACTIVE" in text
