"""The engine's process: who may use it, when it ends, and what is told when it doesn't start."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import anyio
import pytest
from anyio.streams.buffered import BufferedByteReceiveStream
from httpx2 import AsyncClient

from client.llm.local.cores import count_cores
from client.llm.local.engine import EngineError, open_engine
from tests.fakes.local_engine import FakeEngine


@pytest.fixture
def engine(tmp_path: Path) -> FakeEngine:
    made = FakeEngine(tmp_path / "weights.gguf")
    made.write()
    return made


async def wait_until_gone(pid: int) -> None:
    with anyio.fail_after(10):
        while Path(f"/proc/{pid}").exists() and _state(pid) != "Z":  # noqa: ASYNC110 - processes tell nobody but their parents
            await anyio.sleep(0.02)


def _state(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(") ")[2][0]
    except OSError:
        return "Z"


async def test_only_who_has_the_key_can_use_it(engine: FakeEngine) -> None:
    engine.write({"text": "hello"})
    with anyio.fail_after(20):
        async with open_engine(engine.settings) as running, AsyncClient() as client:
            url = f"{running.address}/v1/chat/completions"
            assert (await client.post(url, json={})).status_code == 401
            wrong = {"Authorization": "Bearer x"}
            assert (await client.post(url, json={}, headers=wrong)).status_code == 401
            right = {"Authorization": f"Bearer {running.key}"}
            assert (await client.post(url, json={}, headers=right)).status_code == 200
            assert running.address.startswith("http://127.0.0.1:")
            assert running.key not in Path(f"/proc/{engine.pids[0]}/cmdline").read_text()


async def test_neither_key_nor_secrets_stand_where_others_can_read_them(engine: FakeEngine) -> None:
    with anyio.fail_after(20):
        async with open_engine(engine.settings) as first, open_engine(engine.settings) as second:
            assert first.key != second.key
            assert len(first.key) >= 32
            shown = json.dumps(engine.asked) + repr(first) + repr(engine.settings)
    assert first.key not in shown
    assert "sk-ant-secret" not in shown


async def test_it_ends_with_its_context(engine: FakeEngine) -> None:
    with anyio.fail_after(20):
        async with open_engine(engine.settings) as running:
            assert not running.has_ended
        assert running.has_ended
        await wait_until_gone(engine.pids[0])


async def test_it_ends_when_its_parent_is_killed(engine: FakeEngine) -> None:
    code = (
        "import anyio, sys; from pathlib import Path\n"
        "from client.llm.local.engine import open_engine\n"
        "from tests.fakes.local_engine import FakeEngine\n"
        "async def main():\n"
        "    async with open_engine(FakeEngine(Path(sys.argv[1])).settings):\n"
        "        print('up', flush=True)\n"
        "        await anyio.sleep_forever()\n"
        "anyio.run(main)\n"
    )
    command = [sys.executable, "-c", code, str(engine.script)]
    with anyio.fail_after(30):
        async with await anyio.open_process(command, stderr=None) as parent:
            assert parent.stdout is not None
            assert await BufferedByteReceiveStream(parent.stdout).receive_until(b"\n", 9) == b"up"
            parent.send_signal(signal.SIGKILL)
            await parent.wait()
        await wait_until_gone(engine.pids[0])


async def test_an_interrupt_of_the_terminal_is_not_for_it(engine: FakeEngine) -> None:
    with anyio.fail_after(20):
        async with open_engine(engine.settings):
            assert os.getpgid(engine.pids[0]) != os.getpgid(0)


@pytest.mark.parametrize(
    ("start", "words"),
    [
        ("refuses", "can't load .*weights.gguf .*is damaged, is no model"),
        ("dies", "was killed: most likely the machine ran out of memory.*loading .*weights.gguf"),
        ("ends", r"ended by itself \(exit code 3\)"),
        ("babbles", "can't be understood"),
    ],
)
async def test_a_start_that_fails_says_why(engine: FakeEngine, start: str, words: str) -> None:
    engine.write(start=start)
    with anyio.fail_after(20), pytest.raises(EngineError, match=words):
        async with open_engine(engine.settings):
            pass
    await wait_until_gone(engine.pids[0])


async def test_verified_weights_that_can_not_be_loaded_are_not_called_damaged(
    engine: FakeEngine,
) -> None:
    engine.write(start="refuses")
    settings = replace(engine.settings, is_verified=True)
    with anyio.fail_after(20), pytest.raises(EngineError, match="too little memory") as raised:
        async with open_engine(settings):
            pass
    assert "damaged" not in str(raised.value)


async def test_a_program_that_is_not_there_is_told(engine: FakeEngine) -> None:
    settings = replace(engine.settings, program=("/nowhere/python",))
    with anyio.fail_after(20), pytest.raises(EngineError, match=r"can't be started .*/nowhere"):
        async with open_engine(settings):
            pass


@pytest.mark.slow
async def test_a_start_that_is_cancelled_leaves_no_process(engine: FakeEngine) -> None:
    engine.script.unlink()
    os.mkfifo(engine.script)  # so that it waits for its script for ever
    with anyio.fail_after(20):
        with anyio.move_on_after(0.5) as waiting:
            async with open_engine(engine.settings):
                pass
    assert waiting.cancelled_caught
    found = subprocess.run(
        ["pgrep", "-f", str(engine.script)], capture_output=True, text=True, check=False
    )
    assert not found.stdout


@pytest.mark.parametrize(
    ("quota", "cores"), [("max 100000", 2), ("150000 100000", 2), ("50000 100000", 1)]
)
def test_threads_are_the_cores_that_may_be_used(tmp_path: Path, quota: str, cores: int) -> None:
    allowed = sorted(os.sched_getaffinity(0))
    for position, processor in enumerate(allowed):
        topology = tmp_path / f"sys/devices/system/cpu/cpu{processor}/topology"
        topology.mkdir(parents=True)
        core = min(position, 1)  # all but the first are threads of one core
        (topology / "thread_siblings_list").write_text(f"{core}\n", encoding="ascii")
    group = tmp_path / "sys/fs/cgroup"
    group.mkdir(parents=True)
    (group / "cpu.max").write_text(quota, encoding="ascii")
    assert count_cores(tmp_path) == min(cores, len(allowed))
