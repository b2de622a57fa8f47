"""Calls to servers that behave: what reaches them, what comes back, what is refused."""

from typing import Any

import anyio
import pytest

from client.hub.errors import CallTimedOutError, InvalidArgumentsError, UnknownToolError
from client.hub.hub import open_hub
from tests.client.hub.fakes import http, http_server, in_memory, stdio
from tests.ports import free_port


def nested(levels: int) -> dict[str, Any]:
    value: dict[str, Any] = {}
    for _ in range(levels):
        value = {"inner": value}
    return value


async def test_arguments_come_back_as_they_were_sent_over_every_transport() -> None:
    arguments: dict[str, Any] = {
        "text": "naïve ✓ 👩‍👩‍👧 \u2028",
        "n": 1.5,
        "list": [None, True, {"a": []}],
    }
    port = free_port()
    with anyio.fail_after(20):
        async with (
            http_server(port),
            open_hub([in_memory(), stdio("pipes", "friendly"), http("web", port)]) as hub,
        ):
            await hub.wait_ready(timeout_seconds=10)
            for server in ("memory", "pipes", "web"):
                result = await hub.call_tool(server, "echo", arguments)
                assert result.structured_content == arguments


async def test_only_servers_of_ours_are_told_the_owner() -> None:
    with anyio.fail_after(5):
        async with open_hub([in_memory("ours", ours=True), in_memory("foreign")]) as hub:
            told: dict[str, object] = {}
            for server in ("ours", "foreign"):
                result = await hub.call_tool(server, "about", {}, owner="ada")
                told[server] = result.structured_content["meta"].get("agentic/owner")
            assert told == {"ours": "ada", "foreign": None}


async def test_an_owner_that_cannot_be_one_is_refused() -> None:
    with anyio.fail_after(5):
        async with open_hub([in_memory(ours=True)]) as hub:
            for owner in ("", "a\nb", "\ud800", "x" * 257):
                with pytest.raises(InvalidArgumentsError):
                    await hub.call_tool("memory", "echo", {}, owner=owner)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({"text": "\ud83d"}, "surrogate"),
        ({"deep": [{"\udc00": 1}]}, "surrogate"),
        ({"n": float("nan")}, "not JSON"),
        ({"n": float("inf")}, "not JSON"),
        ({"n": {1, 2}}, "not JSON"),
        ({"n": b"bytes"}, "not JSON"),
        ({1: 2}, "not text"),
        ({"text": "x" * (4 * 1024 * 1024)}, "4 MiB"),
        (nested(150), "levels"),
        (nested(100_000), "not JSON"),
    ],
    ids=["text", "key", "nan", "infinity", "set", "bytes", "number", "large", "deep", "abyss"],
)
async def test_arguments_that_cannot_be_sent_are_refused_and_harm_nothing(
    arguments: dict[str, Any], reason: str
) -> None:
    with anyio.fail_after(10):
        async with open_hub([stdio("pipes", "dies_on_call")]) as hub:
            before = await hub.call_tool("pipes", "pid", {})
            with pytest.raises(InvalidArgumentsError, match=reason):
                await hub.call_tool("pipes", "pid", arguments)
            assert await hub.call_tool("pipes", "pid", {}) == before


async def test_what_does_not_exist_for_us_cannot_be_called() -> None:
    filtered = in_memory(allow=["e*", "about"], deny=["exit"])
    with anyio.fail_after(5):
        async with open_hub([filtered]) as hub:
            await hub.wait_ready(timeout_seconds=5)
            assert [tool.tool for tool in hub.tools()] == ["about", "echo"]
            for tool in ("sleep", "exit", "nothing", "\ud800"):
                with pytest.raises(UnknownToolError):
                    await hub.call_tool("memory", tool, {})
            with pytest.raises(UnknownToolError, match="no server"):
                await hub.call_tool("nowhere", "echo", {})


async def test_tools_come_in_the_order_of_the_configuration_then_by_name() -> None:
    servers = [in_memory("b", offer_to_model=["echo"]), in_memory("a", offer_to_model=False)]
    with anyio.fail_after(5):
        async with open_hub(servers) as hub:
            await hub.wait_ready(timeout_seconds=5)
            names = [tool.definition.name for tool in hub.tools()]
            offered = [tool.definition.name for tool in hub.tools() if tool.offered]
    own = ["about", "echo", "exit", "sleep"]
    assert names == [f"{server}__{tool}" for server in ("b", "a") for tool in own]
    assert offered == ["b__echo"]


async def test_a_call_over_its_limit_is_given_up_with_its_outcome_unknown() -> None:
    with anyio.fail_after(10):
        async with open_hub([stdio("pipes", "friendly")]) as hub:
            await hub.wait_ready(timeout_seconds=5)
            with pytest.raises(CallTimedOutError) as failure:
                await hub.call_tool("pipes", "sleep", {"seconds": 60}, timeout_seconds=0.1)
            assert failure.value.outcome_unknown
            assert (await hub.call_tool("pipes", "echo", {"a": 1})).structured_content == {"a": 1}


@pytest.mark.slow
async def test_fifty_callers_at_once_each_get_their_own_answer() -> None:
    answers: dict[int, object] = {}
    with anyio.fail_after(15):
        async with open_hub([stdio("pipes", "friendly")]) as hub:

            async def ask(number: int) -> None:
                result = await hub.call_tool("pipes", "echo", {"number": number})
                answers[number] = result.structured_content["number"]

            async with anyio.create_task_group() as callers:
                for number in range(50):
                    callers.start_soon(ask, number)
    assert answers == {number: number for number in range(50)}


async def test_a_cancelled_caller_leaves_the_connection_usable() -> None:
    with anyio.fail_after(10):
        async with open_hub([stdio("pipes", "friendly")]) as hub:
            before = await hub.call_tool("pipes", "about", {})
            for _ in range(5):
                with anyio.move_on_after(0.02):
                    await hub.call_tool("pipes", "sleep", {"seconds": 60})
            after = await hub.call_tool("pipes", "about", {})
            assert after.structured_content["pid"] == before.structured_content["pid"]
            (status,) = hub.status()
            assert status.state == "ready"


async def test_two_servers_of_one_name_are_refused() -> None:
    with pytest.raises(ValueError, match="twin"):
        async with open_hub([in_memory("twin"), in_memory("twin")]):
            pass


async def test_an_error_of_the_body_leaves_the_hub_as_it_is() -> None:
    with anyio.fail_after(5), pytest.raises(LookupError, match="mine"):
        async with open_hub([in_memory()]):
            raise LookupError("mine")


async def test_an_exit_of_the_program_leaves_the_hub_as_it_is() -> None:
    with anyio.fail_after(5), pytest.raises(SystemExit) as leaving:
        async with open_hub([in_memory()]):
            raise SystemExit(2)
    assert leaving.value.code == 2
