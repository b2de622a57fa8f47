"""Retries, rates and kept answers of declared tools."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import anyio
import pytest
from mcp import Client

from agentic.config.rate_limit import RateLimit
from servers.access.contract import OWNER_META_KEY
from servers.access.principal import create_operator
from servers.tools.rate_gate import RateGate
from servers.tools.results import ToolFailedError
from tests.fakes.tool_endpoint import (
    Connection,
    Handler,
    Request,
    ToolEndpoint,
    answer,
    answer_json,
    compute,
    render,
)
from tests.servers.tools.conftest import OpenTools, error_of, text_of

GOOD = answer_json({"result": "well"})
BUSY = answer_json({"error": "busy"}, status=503)


def in_turn(*handlers: Handler) -> Handler:
    """Each request the next one; the last one for all that follow."""
    left = list(handlers)

    async def handle(request: Request, connection: Connection) -> None:
        handler = left.pop(0) if len(left) > 1 else left[0]
        await handler(request, connection)

    return handle


async def hang_up(_: Request, connection: Connection) -> None:
    await connection.stream.aclose()


@pytest.mark.parametrize(
    "first",
    [
        pytest.param(BUSY, id="503"),
        pytest.param(answer_json({}, status=429, retry_after="0"), id="429"),
        pytest.param(answer(render(b"", status=502)), id="502"),
        pytest.param(hang_up, id="hung up"),
    ],
)
@pytest.mark.parametrize("safe", [{"read_only": True}, {"idempotent": True}, {"method": "PUT"}])
async def test_what_is_safe_to_repeat_is_tried_again_under_the_same_id(
    endpoint: ToolEndpoint, open_tools: OpenTools, first: Handler, safe: dict[str, Any]
) -> None:
    url = endpoint.on("/", in_turn(first, GOOD))
    async with open_tools(t={"url": url, "retries": 1, **safe}) as client:
        assert text_of(await client.call_tool("t", {})) == "well"
    first_sent, second_sent = endpoint.requests
    assert first_sent.json == second_sent.json


@pytest.mark.parametrize("first", [BUSY, hang_up])
async def test_what_may_have_taken_effect_is_not_repeated(
    endpoint: ToolEndpoint, open_tools: OpenTools, first: Handler
) -> None:
    url = endpoint.on("/", in_turn(first, GOOD))
    async with open_tools(t={"url": url, "retries": 3}) as client:
        assert error_of(await client.call_tool("t", {}))
    assert len(endpoint.requests) == 1


async def test_a_connection_that_was_never_made_is_tried_again_by_any_tool(
    open_tools: OpenTools,
) -> None:
    async with open_tools(t={"url": "http://no-such-host.invalid/", "retries": 2}) as client:
        error = error_of(await client.call_tool("t", {}))
    assert error["code"] == "unavailable"
    assert error["message"].endswith("(tried 3 times)")


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 422, 501])
async def test_an_error_that_will_not_pass_is_told_at_once(
    endpoint: ToolEndpoint, open_tools: OpenTools, status: int
) -> None:
    url = endpoint.on("/", answer_json({"error": "no"}, status=status))
    async with open_tools(t={"url": url, "retries": 3, "read_only": True}) as client:
        error_of(await client.call_tool("t", {}))
    assert len(endpoint.requests) == 1


async def test_all_attempts_failed_is_told_with_their_number(
    endpoint: ToolEndpoint, open_tools: OpenTools
) -> None:
    url = endpoint.on("/", BUSY)
    async with open_tools(t={"url": url, "retries": 2, "read_only": True}) as client:
        error = error_of(await client.call_tool("t", {}))
    assert error["message"] == "the endpoint answered HTTP 503: busy (tried 3 times)"
    assert len(endpoint.requests) == 3


@pytest.mark.parametrize("form", ["seconds", "date"])
async def test_a_wait_beyond_the_time_limit_is_passed_on_and_not_waited_for(
    endpoint: ToolEndpoint, open_tools: OpenTools, form: str
) -> None:
    moment = format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True)
    busy = answer_json({}, status=429, retry_after="3600" if form == "seconds" else moment)
    url = endpoint.on("/", busy)
    tool = {"url": url, "retries": 3, "read_only": True, "timeout": 15}
    async with open_tools(t=tool) as client:
        error = error_of(await client.call_tool("t", {}))
    assert error["code"] == "failed"
    assert 3_500 < error["retry_after_seconds"] <= 3_601
    assert len(endpoint.requests) == 1


async def test_calls_over_the_rate_are_told_when_to_come_back(
    endpoint: ToolEndpoint, open_tools: OpenTools
) -> None:
    url = endpoint.on("/", GOOD)
    tool = {"url": url, "rate_limit": "2/hour", "timeout": 5}
    async with open_tools(t=tool, other={"url": url}) as client:
        for _ in range(2):
            assert not (await client.call_tool("t", {})).is_error
        error = error_of(await client.call_tool("t", {}))
        assert not (await client.call_tool("other", {})).is_error
    assert error["code"] == "unavailable"
    assert error["message"].startswith("the tool is held to 2 calls per hour; try again in 3")
    assert 3_500 < error["retry_after_seconds"] <= 3_600
    assert len(endpoint.requests) == 3


async def test_a_call_that_gives_up_waiting_leaves_its_place_to_others() -> None:
    gate = RateGate(RateLimit(1, 3_600))
    with anyio.fail_after(20):
        began = anyio.current_time()
        await gate.wait(began + 60)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(gate.wait, began + 4_000)
            await anyio.wait_all_tasks_blocked()
            tasks.cancel_scope.cancel()
        # the next free place is that of the one who left: not now, and not two hours from now
        with pytest.raises(ToolFailedError) as caught:
            await gate.wait(began + 60)
    assert 3_500 < (caught.value.detail.retry_after_seconds or 0) <= 3_600


@pytest.mark.slow
async def test_a_call_over_the_rate_waits_within_its_time(
    endpoint: ToolEndpoint, open_tools: OpenTools
) -> None:
    times: list[float] = []

    def note(_: Request) -> object:
        times.append(anyio.current_time())
        return 1

    tool = {"url": endpoint.on("/", compute(note)), "rate_limit": "1/second", "timeout": 15}
    async with open_tools(t=tool) as client:
        for _ in range(2):
            assert not (await client.call_tool("t", {})).is_error
    assert times[1] - times[0] > 0.9


async def _count(
    endpoint: ToolEndpoint,
    open_tools: OpenTools,
    tool: dict[str, Any],
    calls: Sequence[tuple[str, dict[str, object]]],
) -> int:
    tool = {
        "url": endpoint.on("/", compute(lambda request: len(endpoint.requests))),
        "parameters": {"q": "string", "n": {"type": "integer", "default": 1}},
        **tool,
    }
    async with open_tools(create_operator("ada", delegate=True), t=tool) as client:
        for owner, arguments in calls:
            result = await client.call_tool("t", arguments, meta={OWNER_META_KEY: owner})
            assert not result.is_error
    return len(endpoint.requests)


@pytest.mark.parametrize(
    ("fields", "calls", "sent"),
    [
        ({}, [("ada", {"q": "a"}), ("ada", {"q": "a", "n": 1})], 1),
        ({}, [("ada", {"q": "a"}), ("ada", {"q": "b"})], 2),
        ({}, [("ada", {"q": "a"}), ("bob", {"q": "a"})], 2),
        ({"cache_shared": True}, [("ada", {"q": "a"}), ("bob", {"q": "a"})], 1),
        ({"cache_seconds": 0.000001}, [("ada", {"q": "a"}), ("ada", {"q": "a"})], 2),
        ({"cache_seconds": None}, [("ada", {"q": "a"}), ("ada", {"q": "a"})], 2),
    ],
)
async def test_an_answer_is_used_again_for_the_same_owner_and_arguments(
    endpoint: ToolEndpoint,
    open_tools: OpenTools,
    fields: dict[str, Any],
    calls: Sequence[tuple[str, dict[str, object]]],
    sent: int,
) -> None:
    tool = {"read_only": True, "cache_seconds": 600, **fields}
    assert await _count(endpoint, open_tools, tool, calls) == sent


@pytest.mark.slow
async def test_no_more_answers_are_kept_than_there_is_room_for(
    endpoint: ToolEndpoint, open_tools: OpenTools
) -> None:
    calls: list[tuple[str, dict[str, object]]] = [("ada", {"q": str(n)}) for n in range(257)]
    tool = {"read_only": True, "cache_seconds": 600}
    # the first one has made room for the last one; the last one is still there
    assert await _count(endpoint, open_tools, tool, [*calls, calls[-1], calls[0]]) == 258


async def test_a_failure_is_not_kept(endpoint: ToolEndpoint, open_tools: OpenTools) -> None:
    url = endpoint.on("/", in_turn(BUSY, GOOD))
    async with open_tools(t={"url": url, "read_only": True, "cache_seconds": 60}) as client:
        error_of(await client.call_tool("t", {}))
        assert text_of(await client.call_tool("t", {})) == "well"


@dataclass
class Gate:
    """Answers each call in turn, as soon as it may."""

    answers: Sequence[Handler]
    arrived: list[anyio.Event]
    may_answer: anyio.Event = field(default_factory=anyio.Event)
    count: int = 0

    async def __call__(self, request: Request, connection: Connection) -> None:
        number, self.count = self.count, self.count + 1
        self.arrived[number].set()
        await self.may_answer.wait()
        await self.answers[number](request, connection)


@pytest.mark.parametrize(("handler", "code"), [(GOOD, None), (BUSY, "failed")])
async def test_of_equal_calls_at_once_one_is_made(
    endpoint: ToolEndpoint, open_tools: OpenTools, handler: Handler, code: str | None
) -> None:
    gate = Gate([handler], [anyio.Event()])
    tool = {"url": endpoint.on("/", gate), "read_only": True, "cache_seconds": 60}
    codes: list[str | None] = []

    async def call(client: Client) -> None:
        result = await client.call_tool("t", {})
        codes.append(error_of(result)["code"] if result.is_error else None)

    async with open_tools(t=tool) as client, anyio.create_task_group() as calls:
        for _ in range(3):
            calls.start_soon(call, client)
        await gate.arrived[0].wait()
        await _settle(client)
        gate.may_answer.set()
    assert codes == [code] * 3
    assert gate.count == 1


async def _settle(client: Client) -> None:
    """What was sent before this is under way when it has been answered."""
    await client.call_tool("current_time", {})


async def test_who_gives_up_takes_nobody_along(
    endpoint: ToolEndpoint, open_tools: OpenTools
) -> None:
    gate = Gate([GOOD, GOOD], [anyio.Event(), anyio.Event()])
    tool = {"url": endpoint.on("/", gate), "read_only": True, "cache_seconds": 60}
    texts: list[str] = []

    async def call(client: Client) -> None:
        texts.append(text_of(await client.call_tool("t", {})))

    async with open_tools(t=tool) as client, anyio.create_task_group() as calls:
        async with anyio.create_task_group() as given_up:
            given_up.start_soon(call, client)
            await gate.arrived[0].wait()
            calls.start_soon(call, client)
            await _settle(client)
            given_up.cancel_scope.cancel()
        await gate.arrived[1].wait()
        gate.may_answer.set()
    assert texts == ["well"]
