"""What the real engine has read, kept for its next start: with a model of noise."""

import hashlib
import os
import subprocess
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import pytest
from httpx2 import AsyncClient

from client.llm.local.completions import Slot, Step, to_message
from client.llm.local.engine import Engine, EngineSettings, is_installed, open_engine
from client.llm.local.kept_reading import bring_back, keep
from client.llm.local.loading import Loading
from client.llm.local.model import LocalModel
from client.llm.protocol import ToolDefinition
from servers.conversations.contract import Message
from tests.client.llm.vendors import ask, complete, user
from tests.fakes.tiny_gguf import write_tiny_gguf

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not is_installed(), reason="the extra `local` is not installed"),
]
LIMIT_SECONDS = 120
CLOCK = ToolDefinition("tools__clock", "Tells the time", {"type": "object", "properties": {}})


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_gguf(tmp_path_factory.mktemp("weights") / "noise.gguf")


@pytest.fixture
def settings(weights: Path, tmp_path: Path) -> EngineSettings:
    environment = dict(os.environ)
    return EngineSettings(weights, 4_096, 1, environment, readings=tmp_path / "models" / "readings")


def to_step(said: str, slot: Slot = Slot.CHOOSING) -> Step:
    return Step([to_message("user", " ".join([said] * 60))], 1, slot)


async def read(engine: Engine, step: Step) -> Mapping[str, Any]:
    """Have a step's prompt read, and how: what llama.cpp calls its timings."""
    asked = {"messages": step.messages, "max_tokens": 1, "id_slot": step.slot, "temperature": 0}
    async with AsyncClient(base_url=engine.address, timeout=LIMIT_SECONDS) as client:
        ours = {"Authorization": f"Bearer {engine.key}"}
        answer = await client.post("/v1/chat/completions", json=asked, headers=ours)
        assert answer.status_code == 200
        return answer.json()["timings"]


async def keep_one(settings: EngineSettings, step: Step) -> Path:
    async with open_engine(settings) as engine:
        await read(engine, step)
        await keep(engine, step)
    assert settings.readings is not None
    (file,) = settings.readings.iterdir()
    return file


async def test_what_was_read_need_not_be_read_at_the_next_start(settings: EngineSettings) -> None:
    with anyio.fail_after(LIMIT_SECONDS):
        file = await keep_one(settings, to_step("here"))
        assert file.stat().st_mode & 0o777 == 0o600
        assert file.parent.stat().st_mode & 0o777 == 0o700
        async with open_engine(settings) as engine:
            assert not await bring_back(engine, to_step("there"))
            assert (await read(engine, to_step("there")))["cache_n"] == 0
            assert await bring_back(engine, to_step("here"))
            timings = await read(engine, to_step("here"))
            assert timings["cache_n"] > 100
            assert timings["prompt_n"] < 5


@pytest.mark.parametrize("kind", ["cut", "other", "empty", "nonsense"])
async def test_a_damaged_file_goes_and_the_engine_lives(
    settings: EngineSettings, kind: str
) -> None:
    with anyio.fail_after(LIMIT_SECONDS):
        step = to_step("here")
        file = await keep_one(settings, step)
        whole = file.read_bytes()
        damaged = {
            "cut": whole[: len(whole) // 2],
            "other": whole[:5_000] + bytes([whole[5_000] ^ 1]) + whole[5_001:],
            "empty": b"",
            "nonsense": b"not what an engine writes" * 99,
        }[kind]
        file.write_bytes(damaged)
        if kind == "nonsense":  # whoever wrote it gave it the right name
            name = f"{file.name.partition('.')[0]}.{hashlib.sha256(damaged).hexdigest()}.read"
            file = file.replace(file.with_name(name))
        async with open_engine(settings) as engine:
            assert not await bring_back(engine, step)
            assert not file.exists()
            assert (await read(engine, step))["cache_n"] == 0
            await keep(engine, step)
            assert await bring_back(engine, step)


async def test_other_weights_have_read_nothing(settings: EngineSettings, tmp_path: Path) -> None:
    with anyio.fail_after(LIMIT_SECONDS):
        step = to_step("here")
        await keep_one(settings, step)
        other = tmp_path / "other.gguf"
        other.write_bytes(settings.path.read_bytes())
        async with open_engine(replace(settings, path=other)) as engine:
            assert not await bring_back(engine, step)
            await keep(engine, step)
            assert await bring_back(engine, step)
            os.utime(other, (1, 1))
            assert not await bring_back(engine, step)


async def test_only_what_was_used_last_is_kept(settings: EngineSettings) -> None:
    steps = [to_step(f"word{number}") for number in range(12)]
    with anyio.fail_after(LIMIT_SECONDS):
        async with open_engine(settings) as engine:
            for number, step in enumerate(steps):
                await read(engine, step)
                await keep(engine, step)
                if number > 0:
                    assert await bring_back(engine, steps[0])
                await anyio.sleep(0.01)  # file systems tell times apart that much
            back = [await bring_back(engine, step) for step in steps]
    assert back == [True, *[False] * 3, *[True] * 8]


async def test_without_room_or_a_folder_it_is_as_if_nothing_was_kept(
    settings: EngineSettings, tmp_path: Path
) -> None:
    step = to_step("here")
    in_the_way = tmp_path / "file"
    in_the_way.write_text("")
    with anyio.fail_after(LIMIT_SECONDS):
        async with open_engine(replace(settings, readings=in_the_way / "readings")) as engine:
            await read(engine, step)
            await keep(engine, step)
            assert not await bring_back(engine, step)
        async with open_engine(settings) as engine:
            assert settings.readings is not None
            settings.readings.rmdir()
            await read(engine, step)
            await keep(engine, step)
            assert not await bring_back(engine, step)
            assert (await read(engine, step))["cache_n"] > 100


async def test_weights_that_were_removed_meanwhile_are_no_fault(
    settings: EngineSettings, tmp_path: Path
) -> None:
    step, weights = to_step("here"), tmp_path / "noise.gguf"
    weights.write_bytes(settings.path.read_bytes())
    with anyio.fail_after(LIMIT_SECONDS):
        async with open_engine(replace(settings, path=weights)) as engine:
            await read(engine, step)
            weights.unlink()
            await keep(engine, step)
            assert not await bring_back(engine, step)
            assert (await read(engine, step))["cache_n"] > 100
    assert settings.readings is not None
    assert list(settings.readings.iterdir()) == []


async def test_on_a_full_disk_nothing_is_kept_in_part(
    settings: EngineSettings, tmp_path: Path
) -> None:
    disk, step = tmp_path / "disk", to_step("here")
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", str(disk)]
    if os.getuid() or subprocess.run(mount, check=False, timeout=10).returncode:
        pytest.skip("a small file system can be mounted by root only")
    try:
        with anyio.fail_after(LIMIT_SECONDS):
            async with open_engine(replace(settings, readings=disk)) as engine:
                await read(engine, step)
                await keep(engine, step)
                assert list(disk.iterdir()) == []
                subprocess.run(["mount", "-o", "remount,size=9m", disk], check=True, timeout=10)
                await keep(engine, step)
                assert await bring_back(engine, step)
    finally:
        subprocess.run(["umount", disk], check=True, timeout=10)


async def test_a_model_keeps_what_stands_before_every_talk_and_nothing_of_one(
    settings: EngineSettings,
) -> None:
    """Also where somebody asks before all of it was read."""
    names: list[set[str]] = []
    with anyio.fail_after(LIMIT_SECONDS):
        for said in ("My name is Ada.", "I am Jonas."):
            model = create(settings)
            earlier = (user(said), Message(role="assistant", content="Hello!"))
            request = ask(*earlier, tools=[CLOCK])
            async with model.loading.running(), anyio.create_task_group() as group:
                group.start_soon(model.read_ahead, request)
                await complete(model, ask(*earlier, user("And now?"), tools=[CLOCK]))
            assert settings.readings is not None
            names.append({file.name for file in settings.readings.iterdir()})
    assert len(names[0]) == 3
    assert names[0] == names[1]


def create(settings: EngineSettings) -> LocalModel:
    async def get_weights(_: object) -> Path:
        return settings.path

    return LocalModel(
        Loading(get_weights, lambda _: settings),
        model="noise",
        about="I am noise.",
        context_tokens=4_096,
        max_output_tokens=8,
        pause_seconds=0,
    )
