"""Auto scaling of a provisioned table: what there is of it, and what is missing."""

from collections.abc import Mapping
from typing import Any

from servers.conversations.dynamodb_calls import Calls
from servers.conversations.dynamodb_capacity import (
    TARGET_PERCENT,
    Bounds,
    Provisioned,
    Scalable,
    actions_of,
    scalables,
    target_of,
)
from servers.conversations.dynamodb_steps import Step


async def plan_scaling(calls: Calls, table: str, capacity: Provisioned) -> list[Step | str]:
    """Steps that are to be done, and in words what is other than wanted."""
    planned: list[Step | str] = []
    for scalable in scalables(table):
        place = scalable.to_parameters()
        actions = await _ask_all(calls, "describe_scheduled_actions", "ScheduledActions", place)
        bounds = [each["ScalableTargetAction"] for each in actions]
        planned += await _plan_bounds(calls, scalable, capacity, bounds)
        planned += await _plan_policy(calls, scalable)
        planned += _plan_actions(calls, scalable, capacity, actions)
    return planned


async def _plan_bounds(
    calls: Calls, scalable: Scalable, capacity: Provisioned, scheduled: list[Mapping[str, Any]]
) -> list[Step | str]:
    place, wanted = scalable.to_parameters(), capacity.of(scalable.kind)
    ids = {
        "ServiceNamespace": place["ServiceNamespace"],
        "ResourceIds": [place["ResourceId"]],
        "ScalableDimension": place["ScalableDimension"],
    }
    found = await _ask_all(calls, "describe_scalable_targets", "ScalableTargets", ids)
    if not found:

        async def register() -> None:
            await calls.ask(
                "register_scalable_target",
                **place,
                MinCapacity=wanted.least,
                MaxCapacity=wanted.most,
            )

        return [Step(f"{scalable} go from {wanted}", register)]
    is_now = _bounds(found[0])
    # What is scheduled moves the bounds: between two of its times they are those of the former.
    if is_now != wanted and is_now not in [_bounds(each) for each in scheduled]:
        return [f"{scalable} go from {is_now}, not from {wanted}"]
    return []


async def _plan_policy(calls: Calls, scalable: Scalable) -> list[Step | str]:
    place, wanted = scalable.to_parameters(), target_of(scalable.kind)
    found = await _ask_all(calls, "describe_scaling_policies", "ScalingPolicies", place)
    targets: list[Mapping[str, Any]] = [
        each.get("TargetTrackingScalingPolicyConfiguration") or {} for each in found
    ]
    if not targets:

        async def put() -> None:
            await calls.ask(
                "put_scaling_policy",
                **place,
                PolicyName=f"conversations-{scalable.kind}",
                PolicyType="TargetTrackingScaling",
                TargetTrackingScalingPolicyConfiguration=wanted,
            )

        return [Step(f"{scalable} are kept {TARGET_PERCENT:g} % used", put)]
    if not any(wanted.items() <= target.items() for target in targets):
        return [f"{scalable} scale by another rule than {TARGET_PERCENT:g} % used"]
    return []


def _plan_actions(
    calls: Calls, scalable: Scalable, capacity: Provisioned, found: list[Mapping[str, Any]]
) -> list[Step | str]:
    place = scalable.to_parameters()
    wanted = actions_of(capacity, scalable.kind)
    there = [{name: each.get(name) for name in _ACTION} for each in found]
    planned: list[Step | str] = []
    for name, action in wanted.items():
        same_time = [each for each in there if each["Schedule"] == action["Schedule"]]
        bounds = _bounds(action["ScalableTargetAction"])
        text = f"go from {bounds} {_render(action)}"
        if not same_time:
            planned.append(Step(f"{scalable} {text}", _Put(calls, place, name, action)))
        elif action not in same_time:
            planned.append(f"{scalable} don't {text}, but do otherwise")
    schedules = [action["Schedule"] for action in wanted.values()]
    planned += [
        f"{scalable} also have a schedule that was not asked for: {_render(each)}"
        for each in there
        if each["Schedule"] not in schedules
    ]
    return planned


_ACTION = ("Schedule", "Timezone", "ScalableTargetAction")


class _Put:
    """Puts one scheduled action."""

    def __init__(
        self, calls: Calls, place: Mapping[str, str], name: str, action: Mapping[str, Any]
    ) -> None:
        self._calls = calls
        self._parameters = {**place, "ScheduledActionName": name, **action}

    async def __call__(self) -> None:
        await self._calls.ask("put_scheduled_action", **self._parameters)


async def _ask_all(
    calls: Calls, operation: str, what: str, parameters: Mapping[str, Any]
) -> list[Mapping[str, Any]]:
    found: list[Mapping[str, Any]] = []
    more: dict[str, Any] = {}
    while True:
        answer = await calls.ask(operation, **parameters, **more)
        found += answer[what]
        if not answer.get("NextToken"):
            return found
        more = {"NextToken": answer["NextToken"]}


def _bounds(told: Mapping[str, Any]) -> Bounds:
    return Bounds(int(told.get("MinCapacity", 0)), int(told.get("MaxCapacity", 0)))


def _render(action: Mapping[str, Any]) -> str:
    return f"at {action['Schedule']} of {action['Timezone'] or 'UTC'}"
