"""deploy/aws/conversations.yaml makes the table that `agentic conversations create-table` makes."""

import subprocess
import sys
from pathlib import Path

import pytest

from servers.conversations.dynamodb_capacity import (
    Bounds,
    Provisioned,
    Scheduled,
    actions_of,
    scalables,
    target_of,
)
from servers.conversations.dynamodb_table import describe_recovery, describe_table, describe_ttl
from tests.deploy.cloudformation import Template
from tests.deploy.running_compose import ROOT

FILE = ROOT / "deploy/aws/conversations.yaml"
_UNITS = {"ReadMin": 5, "ReadMax": 50, "WriteMin": 4, "WriteMax": 40}
_BUSY = {"BusyReadMin": 20, "BusyReadMax": 200, "BusyWriteMin": 10, "BusyWriteMax": 100}
_CAPACITY = Provisioned(
    Bounds(5, 50),
    Bounds(4, 40),
    (
        Scheduled("07:00", Bounds(20, 200), Bounds(10, 100)),
        Scheduled("22:00", Bounds(5, 50), Bounds(4, 40)),
    ),
    "Europe/Berlin",
)


@pytest.mark.parametrize("capacity", [None, _CAPACITY])
def test_the_template_makes_the_table_of_the_command(capacity: Provisioned | None) -> None:
    kind = "on-demand" if capacity is None else "provisioned"
    table = Template(FILE, {"TableName": "ours", "Capacity": kind, **_UNITS}).resources["Table"]
    assert table.pop("TimeToLiveSpecification") == describe_ttl()
    assert table.pop("PointInTimeRecoverySpecification") == describe_recovery()
    assert table == describe_table("ours", capacity)


def test_its_units_scale_as_those_of_the_command() -> None:
    given = {"Capacity": "provisioned", "TableName": "ours", "TimeZone": "Europe/Berlin"}
    template = Template(FILE, {**given, **_UNITS, **_BUSY, "BusyFrom": "cron(0 7 * * ? *)"})
    targets = [template.resources[name] for name in template.of_kind("Units")]
    policies = [template.resources[name] for name in template.of_kind("Policy")]
    policies.remove(template.resources["Policy"])
    for scalable, target, policy in zip(scalables("Table"), targets, policies, strict=True):
        bounds = _CAPACITY.of(scalable.kind)
        actions = target.pop("ScheduledActions")
        assert target == {
            **scalable.to_parameters(),
            "MinCapacity": bounds.least,
            "MaxCapacity": bounds.most,
        }
        assert policy["TargetTrackingScalingPolicyConfiguration"] == target_of(scalable.kind)
        assert [
            {name: value for name, value in action.items() if name != "ScheduledActionName"}
            for action in actions
        ] == list(actions_of(_CAPACITY, scalable.kind).values())
    assert [policy["ScalingTargetId"] for policy in policies] == template.of_kind("Units")


def test_nothing_scales_on_demand_and_nothing_is_scheduled_unless_asked_for() -> None:
    assert not Template(FILE).of_kind("Units")
    provisioned = Template(FILE, {"Capacity": "provisioned"})
    assert "ScheduledActions" not in provisioned.resources["TableReadUnits"]


def test_who_gives_an_address_is_told_of_alarms_and_of_the_budget() -> None:
    silent = Template(FILE).resources
    assert not {"Topic", "Budget"} & set(silent)
    assert "AlarmActions" not in silent["ThrottleAlarm"]
    told = Template(FILE, {"NotificationEmail": "ada@example.com", "MonthlyBudget": 7}).resources
    assert told["ThrottleAlarm"]["AlarmActions"] == told["ErrorAlarm"]["AlarmActions"] == ["Topic"]
    assert told["Budget"]["Budget"]["BudgetLimit"] == {"Amount": 7, "Unit": "USD"}


@pytest.mark.slow  # it reads the schemas of all of AWS
def test_cfn_lint_finds_nothing() -> None:
    pytest.importorskip("cfnlint", reason="uv sync --all-groups brings it")
    checker = Path(sys.executable).with_name("cfn-lint")
    done = subprocess.run([checker, FILE], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
