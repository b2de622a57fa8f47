"""Calls do not stand in each other's way, and end with their callers."""

import json
import sys
import time

import anyio
import anyio.lowlevel
import pytest
from mcp import Client

from servers.access.principal import create_operator
from servers.tools.server import create_server
from tests.fakes.tool_endpoint import (
    Connection,
    Hanging,
    Request,
    ToolEndpoint,
    answer_json,
    compute,
    render,
)
from tests.servers.tools.conftest import OpenTools, declare, text_of
from tests.servers.tools.many_calls import CALLS

ECHO = {"parameters": {"n": "integer"}}


async def _ask(client: Client, tool: str, n: int, told: list[str]) -> None:
    told.append(text_of(await client.call_tool(tool, {"n": n})))


@pytest.mark.slow
async def test_hung_calls_delay_no_other_tool(
    endpoint: ToolEndpoint, open_tools: OpenTools
) -> None:
    hanging = Hanging()
    hung = {**ECHO, "url": endpoint.on("/hung", hanging), "timeout": 600}
    quick = {**ECHO, "url": endpoint.on("/quick", compute(lambda request: request.params["n"]))}
    told: list[str] = []
    async with open_tools(hung=hung, quick=quick) as client, anyio.create_task_group() as tasks:
        for n in range(150):  # more than the connections that one endpoint gets
            tasks.start_soon(_ask, client, "hung", n, told)
        await hanging.arrived.wait()
        async with anyio.create_task_group() as others:
            for n in range(50):
                others.start_soon(_ask, client, "quick", n, told)
        assert sorted(map(int, told)) == list(range(50))
        tasks.cancel_scope.cancel()


async def test_calls_of_one_tool_run_at_the_same_time_and_all_are_answered(
    endpoint: ToolEndpoint, open_tools: OpenTools
) -> None:
    present, everybody = 0, anyio.Event()

    async def meet(request: Request, connection: Connection) -> None:
        nonlocal present
        present += 1
        if present == 16:
            everybody.set()
        await everybody.wait()  # the first ones are held until sixteen are here
        await connection.write(render(b'{"result": %d}' % request.params["n"]))

    told: list[str] = []
    meeting = {**ECHO, "url": endpoint.on("/", meet)}
    async with open_tools(meet=meeting) as client, anyio.create_task_group() as tasks:
        for n in range(200):
            tasks.start_soon(_ask, client, "meet", n, told)
    assert sorted(map(int, told)) == list(range(200))


@pytest.mark.slow
async def test_two_hundred_calls_at_once_are_answered_in_sixty_megabytes(
    endpoint: ToolEndpoint,
) -> None:
    present, everybody = 0, anyio.Event()

    async def meet(_: Request, connection: Connection) -> None:
        nonlocal present
        present += 1
        if present == CALLS:
            everybody.set()
        await everybody.wait()
        await connection.write(render(json.dumps({"result": "x" * 20_000}).encode()))

    endpoint.on("/meet", meet)
    endpoint.on("/warm", answer_json({"result": "well"}))
    command = [sys.executable, "-m", "tests.servers.tools.many_calls", endpoint.url]
    with anyio.fail_after(60):
        done = await anyio.run_process(command, check=False)
    assert done.returncode == 0, done.stderr.decode()
    failed, kibibytes = map(int, done.stdout.split())
    assert failed == 0
    assert kibibytes <= 60 * 1_024


async def test_waiting_for_a_turn_counts_into_the_time_limit(
    endpoint: ToolEndpoint, open_tools: OpenTools
) -> None:
    tool = {**ECHO, "url": endpoint.on("/", Hanging()), "timeout": 0.3}
    told: list[str] = []
    async with open_tools(t=tool) as client, anyio.create_task_group() as tasks:
        for n in range(100):
            tasks.start_soon(_ask, client, "t", n, told)
    assert len(told) == 100
    assert all("no answer within 0.3 seconds" in text for text in told)


async def test_a_cancelled_call_leaves_its_endpoint(
    endpoint: ToolEndpoint, open_tools: OpenTools
) -> None:
    hanging = Hanging()
    url = endpoint.on("/hung", hanging)
    quick = endpoint.on("/quick", compute(lambda request: request.params["n"]))
    told: list[str] = []
    async with open_tools(hung={**ECHO, "url": url}, quick={**ECHO, "url": quick}) as client:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_ask, client, "hung", 1, told)
            await hanging.arrived.wait()
            tasks.cancel_scope.cancel()
        await hanging.left.wait()
        await _ask(client, "quick", 7, told)
    assert told == ["7"]


async def test_a_server_that_ends_leaves_its_endpoints(endpoint: ToolEndpoint) -> None:
    hanging = Hanging()
    server = create_server(
        declare(t={**ECHO, "url": endpoint.on("/", hanging)}), create_operator("ada")
    )
    told: list[str] = []
    with anyio.fail_after(10):
        async with anyio.create_task_group() as tasks, Client(server) as client:
            tasks.start_soon(_ask, client, "t", 1, told)
            await hanging.arrived.wait()
            tasks.cancel_scope.cancel()
            await anyio.lowlevel.cancel_shielded_checkpoint()
        await hanging.left.wait()
    assert told == []


async def test_a_connection_is_used_again(endpoint: ToolEndpoint, open_tools: OpenTools) -> None:
    ports: set[int] = set()

    async def note(_: Request, connection: Connection) -> None:
        ports.add(connection.stream.extra(anyio.abc.SocketAttribute.remote_port))
        await connection.write(render(b'{"result": 1}'))

    async with open_tools(t={"url": endpoint.on("/", note)}) as client:
        for _ in range(5):
            await client.call_tool("t", {})
    assert len(ports) == 1


async def test_hints_without_end_are_taken_apart_between_other_calls(
    endpoint: ToolEndpoint, open_tools: OpenTools
) -> None:
    async def hint(_: Request, connection: Connection) -> None:
        await connection.write(b"HTTP/1.1 103 Early Hints\r\n\r\n" * 2_200)
        await connection.write(render(b'{"result": 1}'))

    used: list[float] = []

    async def watch() -> None:
        while True:
            began = time.thread_time()
            await anyio.lowlevel.checkpoint()
            used.append(time.thread_time() - began)

    async with open_tools(t={"url": endpoint.on("/", hint)}) as client:
        await client.call_tool("current_time", {})
        async with anyio.create_task_group() as watching:
            watching.start_soon(watch)
            assert text_of(await client.call_tool("t", {})) == "1"
            watching.cancel_scope.cancel()
    # the hints are most of the work, and were eight reads or more
    assert max(used) < sum(used) / 2
