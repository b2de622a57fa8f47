"""Servers that die, hang, or come late: the others go on, and they come back by themselves."""

import os
import re
import signal
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import anyio.abc
import pytest
from anyio.abc import SocketStream

from client.hub.errors import CallTimedOutError, HubError, ServerUnavailableError
from client.hub.hub import open_hub
from client.hub.servers import HubServer, StdioTarget
from tests.client.hub.fakes import (
    find_pid,
    first_text,
    http,
    in_memory,
    is_alive,
    stdio,
    wait_gone,
    wait_state,
)
from tests.ports import free_port


async def test_a_server_that_dies_during_a_call_leaves_the_outcome_unknown_and_comes_back() -> None:
    with anyio.fail_after(10):
        async with open_hub([stdio("mortal", "dies_on_call"), in_memory()]) as hub:
            first = await find_pid(hub, "mortal")
            with pytest.raises(ServerUnavailableError, match="went away") as failure:
                await hub.call_tool("mortal", "die", {})
            assert failure.value.outcome_unknown
            assert not (await hub.call_tool("memory", "echo", {})).is_error
            assert await find_pid(hub, "mortal") != first


async def test_a_process_killed_while_idle_is_noticed_and_started_again_without_a_call() -> None:
    with anyio.fail_after(10):
        async with open_hub([stdio("mortal", "dies_on_call")]) as hub:
            pid = await find_pid(hub, "mortal")
            os.kill(pid, signal.SIGKILL)
            status = await wait_state(hub, "mortal", "connecting", "waiting")
            assert status.tools == 0
            assert hub.tools() == []
            await wait_state(hub, "mortal", "ready")
            assert await find_pid(hub, "mortal") != pid


async def test_a_call_right_after_a_death_waits_for_the_new_process() -> None:
    with anyio.fail_after(20):
        async with open_hub([stdio("mortal", "dies_on_call", ours=True)]) as hub:
            for _ in range(5):
                os.kill(await find_pid(hub, "mortal"), signal.SIGKILL)
                await wait_state(hub, "mortal", "connecting", "waiting")


@pytest.mark.slow
async def test_a_process_killed_during_fifty_calls_fails_each_of_them_once() -> None:
    failures: list[HubError] = []
    with anyio.fail_after(15):
        async with open_hub([stdio("mortal", "friendly")]) as hub:
            about = await hub.call_tool("mortal", "about", {})

            async def wait_long() -> None:
                with pytest.raises(ServerUnavailableError) as failure:
                    await hub.call_tool("mortal", "sleep", {"seconds": 60})
                failures.append(failure.value)

            async with anyio.create_task_group() as callers:
                for _ in range(50):
                    callers.start_soon(wait_long)
                # An answer to a later call: the others have been sent.
                await hub.call_tool("mortal", "echo", {})
                os.kill(about.structured_content["pid"], signal.SIGKILL)
            assert not (await hub.call_tool("mortal", "echo", {})).is_error
    assert len(failures) == 50
    assert all(failure.outcome_unknown for failure in failures)


@pytest.mark.slow
async def test_a_server_that_cannot_start_says_why_without_its_secrets() -> None:
    env = {"FAKE_TOKEN": "hunter2-hunter2"}
    with anyio.fail_after(10):
        async with open_hub([stdio("broken", "dies_at_start", env=env), in_memory()]) as hub:
            await hub.wait_settled(10)
            (broken, memory) = hub.status()
            assert memory.state == "ready"
            assert broken.reason is not None
            assert "fake: error: the token *** was refused" in broken.reason
            with pytest.raises(ServerUnavailableError) as failure:
                await hub.call_tool("broken", "echo", {})
            assert not failure.value.outcome_unknown
    for text in (broken.reason, str(failure.value), repr(hub.status()), repr(broken)):
        assert "hunter2" not in text
        assert "\x1b" not in text


@pytest.mark.slow
async def test_a_server_that_cannot_start_is_tried_again_but_not_in_a_frenzy(
    tmp_path: Path,
) -> None:
    starts = tmp_path / "starts"
    script = f"echo >> {starts}; exit 1"
    with anyio.fail_after(10):
        async with open_hub([HubServer("broken", StdioTarget("/bin/sh", ["-c", script]))]) as hub:
            await hub.wait_settled(5)
            with anyio.move_on_after(2.5):
                while True:
                    with pytest.raises(ServerUnavailableError, match=r"next attempt|under way"):
                        await hub.call_tool("broken", "echo", {}, timeout_seconds=0.5)
                    await anyio.sleep(0.01)
    assert 2 <= len(starts.read_text().splitlines()) <= 6


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        (StdioTarget("no-such-command-anywhere"), "no-such-command-anywhere"),
        (StdioTarget("/"), "can't be used"),
        (StdioTarget("sh", cwd=Path("/no/such/folder")), "/no/such/folder"),
        (StdioTarget("sh", ["\0"]), "null byte"),
    ],
    ids=["unknown", "folder", "cwd", "nul"],
)
async def test_a_command_that_cannot_be_run_is_named(target: StdioTarget, reason: str) -> None:
    with anyio.fail_after(5):
        async with open_hub([HubServer("broken", target)]) as hub:
            await hub.wait_settled(5)
            (status,) = hub.status()
            assert reason in (status.reason or "")


async def test_a_server_that_starts_late_delays_nobody_and_its_callers_wait(
    tmp_path: Path,
) -> None:
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    answers: list[str] = []
    with anyio.fail_after(10):
        async with open_hub([stdio("late", "slow_start", str(gate)), in_memory()]) as hub:

            async def ask() -> None:
                answers.append(first_text(await hub.call_tool("late", "echo", {})))

            async with anyio.create_task_group() as callers:
                callers.start_soon(ask)
                await hub.wait_ready("memory", timeout_seconds=5)
                assert not (await hub.call_tool("memory", "echo", {})).is_error
                assert [status.state for status in hub.status()] == ["connecting", "ready"]
                assert answers == []
                await anyio.to_thread.run_sync(gate.write_bytes, b"")
    assert answers == ["here at last"]


@pytest.mark.slow
async def test_a_call_to_a_server_that_hangs_at_its_start_ends_within_its_limit() -> None:
    with anyio.fail_after(15):
        async with open_hub([stdio("deaf", "hangs", "at_start"), in_memory()]) as hub:
            with pytest.raises(ServerUnavailableError, match="under way") as failure:
                await hub.call_tool("deaf", "pid", {}, timeout_seconds=0.2)
            assert not failure.value.outcome_unknown
            assert not (await hub.call_tool("memory", "echo", {})).is_error


@pytest.mark.slow
async def test_a_server_that_does_not_answer_any_more_is_replaced() -> None:
    with anyio.fail_after(40):
        async with open_hub([stdio("deaf", "hangs", "on_call"), in_memory()]) as hub:
            pid = await find_pid(hub, "deaf")
            with pytest.raises(CallTimedOutError):
                await hub.call_tool("deaf", "hang", {}, timeout_seconds=0.2)
            await wait_state(hub, "deaf", "connecting", "waiting")
            await wait_state(hub, "deaf", "ready")
            assert await find_pid(hub, "deaf") != pid
            await wait_gone(pid)


async def test_waiting_for_all_names_the_one_that_is_missing_and_why() -> None:
    servers = [in_memory(), stdio("broken", "dies_at_start"), http("down", free_port())]
    with anyio.fail_after(10):
        async with open_hub(servers) as hub:
            await hub.wait_ready("memory", timeout_seconds=5)
            with pytest.raises(ServerUnavailableError, match=r"broken.*was refused"):
                await hub.wait_ready(timeout_seconds=0.5)
            with pytest.raises(ServerUnavailableError, match=r"down.*can't be reached"):
                await hub.wait_ready("down", timeout_seconds=0.5)
            with pytest.raises(ServerUnavailableError, match="no server"):
                await hub.wait_ready("nowhere", timeout_seconds=0.5)


@pytest.mark.slow
async def test_waiting_until_settled_ends_when_the_first_attempts_have() -> None:
    servers = [in_memory(), stdio("broken", "dies_at_start"), stdio("deaf", "hangs", "at_start")]
    with anyio.fail_after(15):
        async with open_hub(servers) as hub:
            await hub.wait_settled(1.0)
            states = {status.name: status.state for status in hub.status()}
            assert states["memory"] == "ready"
            assert states["broken"] in ("waiting", "connecting")
            assert states["deaf"] == "connecting"


@pytest.mark.slow
async def test_servers_that_hang_at_their_start_are_given_up_and_ended() -> None:
    with anyio.fail_after(40):
        async with silent_server() as port:
            async with open_hub([stdio("deaf", "hangs", "at_start"), http("mute", port)]) as hub:
                await hub.wait_settled(35)
                deaf, mute = hub.status()
            for status in (deaf, mute):
                assert "did not answer the MCP handshake within 15 s" in (status.reason or "")
            pid = re.search(r"pid (\d+)", deaf.reason or "")
            assert pid
            assert not is_alive(int(pid[1]))


@asynccontextmanager
async def silent_server() -> AsyncGenerator[int]:
    """It takes connections, and never says a word."""

    async def listen(stream: SocketStream) -> None:
        async with stream:
            async for _ in stream:
                pass

    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    async with listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, listen)
        yield listener.extra(anyio.abc.SocketAttribute.local_port)
        tasks.cancel_scope.cancel()
