"""An embedded model whose engine is a program of the tests."""

import json
import sys
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio

from client.llm.local.engine import EngineSettings
from client.llm.local.loading import GetWeights, Loading
from client.llm.local.model import LocalModel
from client.weights.progress import Progress

PROGRAM = (sys.executable, "-P", str(Path(__file__).with_name("engine_child.py")))
ABOUT = "I speak through the model of the tests."


@dataclass(frozen=True, slots=True)
class FakeEngine:
    """What the engines are told to do, and what they were asked."""

    script: Path

    def write(self, *replies: dict[str, Any], start: str = "well") -> None:
        text = json.dumps({"start": start, "replies": replies})
        self.script.write_text(text, encoding="utf-8")

    @property
    def settings(self) -> EngineSettings:
        environment = {"PATH": "/usr/bin", "ANTHROPIC_API_KEY": "sk-ant-secret"}
        return EngineSettings(self.script, 4_096, 2, environment, PROGRAM)

    @property
    def asked(self) -> list[dict[str, Any]]:
        """All lines that engines noted."""
        file = self.script.with_suffix(".asked")
        lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
        return [json.loads(line) for line in lines]

    @property
    def bodies(self) -> list[dict[str, Any]]:
        return [line["body"] for line in self.asked if "body" in line]

    @property
    def pids(self) -> list[int]:
        return [line["pid"] for line in self.asked if "pid" in line]

    async def wait_for(self, is_there: Callable[[dict[str, Any]], bool]) -> None:
        """Until an engine has noted such a line."""
        with anyio.fail_after(10):
            while not any(map(is_there, self.asked)):  # noqa: ASYNC110 - it writes a file
                await anyio.sleep(0.02)

    async def get_weights(self, on_progress: Callable[[Progress], None]) -> Path:
        return self.script


@asynccontextmanager
async def open_local_model(
    engine: FakeEngine, get_weights: GetWeights | None = None, **fields: Any
) -> AsyncGenerator[LocalModel]:
    loading = Loading(get_weights or engine.get_weights, lambda _: engine.settings)
    model = LocalModel(
        loading,
        model="tiny",
        about=ABOUT,
        **{"context_tokens": 4_096, "max_output_tokens": 512, "timeout_seconds": 10, **fields},
    )
    async with loading.running():
        yield model
