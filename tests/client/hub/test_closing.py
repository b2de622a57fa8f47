"""The end: bounded in time, with no process left behind."""

import os
import signal
import subprocess
import sys
import time
from typing import Any

import anyio
import pytest

from client.hub.errors import ServerUnavailableError
from client.hub.hub import Hub, open_hub
from tests.client.hub.fakes import find_pid, in_memory, is_alive, stdio, wait_gone


async def test_closing_ends_every_process() -> None:
    with anyio.fail_after(10):
        async with open_hub([stdio(name, "dies_on_call") for name in ("a", "b", "c")]) as hub:
            pids = [await find_pid(hub, name) for name in ("a", "b", "c")]
        assert not any(is_alive(pid) for pid in pids)


async def test_closing_while_calls_run_fails_them_and_ends_their_process() -> None:
    failures: list[ServerUnavailableError] = []
    pid = 0
    with anyio.fail_after(15):
        async with anyio.create_task_group() as callers:

            async def call_long(hub: Hub, sent: anyio.Event) -> None:
                sent.set()
                with pytest.raises(ServerUnavailableError) as failure:
                    await hub.call_tool("pipes", "sleep", {"seconds": 60})
                failures.append(failure.value)

            async with open_hub([stdio("pipes", "friendly")]) as hub:
                about = await hub.call_tool("pipes", "about", {})
                pid = about.structured_content["pid"]
                for _ in range(3):
                    sent = anyio.Event()
                    callers.start_soon(call_long, hub, sent)
                    await sent.wait()
                await hub.call_tool("pipes", "echo", {})
        assert len(failures) == 3
        assert not is_alive(pid)


async def test_a_closed_hub_says_so() -> None:
    with anyio.fail_after(5):
        async with open_hub([in_memory()]) as hub:
            await hub.wait_ready(timeout_seconds=5)
        with pytest.raises(ServerUnavailableError, match="closed"):
            await hub.call_tool("memory", "echo", {})
        assert hub.tools() == []
        assert [status.state for status in hub.status()] == ["closed"]


@pytest.mark.slow
async def test_a_cancelled_hub_leaves_no_process_however_stubborn() -> None:
    pids: list[int] = []
    with anyio.fail_after(20):
        with anyio.CancelScope() as scope:
            servers = [stdio("good", "dies_on_call"), stdio("deaf", "hangs", "on_call")]
            async with open_hub(servers) as hub, anyio.create_task_group() as callers:
                pids = [await find_pid(hub, "good"), await find_pid(hub, "deaf")]
                callers.start_soon(hub.call_tool, "deaf", "hang", dict[str, Any]())
                await hub.call_tool("good", "pid", {})
                scope.cancel()
        assert scope.cancelled_caught
        for pid in pids:
            await wait_gone(pid)


@pytest.mark.slow
async def test_closing_does_not_wait_for_a_server_that_hangs_at_its_start() -> None:
    with anyio.fail_after(15):
        began = time.monotonic()
        async with open_hub([stdio("deaf", "hangs", "at_start")]) as hub:
            await hub.wait_settled(0.3)
        assert time.monotonic() - began < 6


_PROGRAM = """
import sys, anyio
from client.hub.hub import open_hub
from tests.client.hub.fakes import stdio

async def main():
    async with open_hub([stdio("pipes", "friendly")]) as hub:
        about = (await hub.call_tool("pipes", "about", {})).structured_content
        print(about["pid"], about["session"], flush=True)
        try:
            await anyio.sleep(60)
        finally:
            with anyio.CancelScope(shield=True):
                answer = await hub.call_tool("pipes", "echo", {"still": "here"})
                print(answer.structured_content["still"], flush=True)

anyio.run(main)
"""


@pytest.mark.slow
def test_ctrl_c_at_the_terminal_reaches_us_before_the_servers() -> None:
    """A signal to the whole process group, as a terminal sends it."""
    program = subprocess.Popen(
        [sys.executable, "-c", _PROGRAM],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )
    with program:
        try:
            assert program.stdout is not None
            pid, session = map(int, program.stdout.readline().split())
            assert session != program.pid
            os.killpg(program.pid, signal.SIGINT)
            assert program.stdout.readline() == "here\n"
            program.wait(timeout=10)
        finally:
            program.kill()
    assert not is_alive(pid)
