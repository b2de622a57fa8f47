"""A talk with the embedded model, turn by turn: what it says, and how long that takes.

Only where its extra is installed and its weights are in the cache. The first turn reads the
instructions, which the engine then remembers; the limit is for those after it.
"""

import os
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import anyio

from agentic.cli.compose import Assistant, open_assistant
from agentic.cli.model_choice import ChosenModel
from agentic.config.load import load_config
from client.coordinator.events import ToolStarted, TurnFailed, TurnFinished
from client.coordinator.request import TurnRequest
from client.llm.local.create import find_local_model
from tests.bench.table import Row

MAX_SECONDS = 5.0
_LOAD_SECONDS = 600
_TURN_SECONDS = 300

TALK: Sequence[tuple[str, Sequence[str], str]] = (
    # What is said, words of which the answer has one, and the tool that must be called, if any.
    ("Hello! My name is Ada and I live in Bern.", ("Ada", "Bern", "Hello", "Hi"), ""),
    ("What time is it in Tokyo?", ("Tokyo",), "tools__current_time"),
    ("Who am I, and where do I live?", ("Ada",), ""),
    ("Write two lines of verse about rain.", (), ""),
    ("And what time is it in Paris and in New York?", ("Paris",), "tools__current_time"),
    ("What is 12 * 13?", ("156",), ""),
    ("Who made you?", ("Alibaba", "Qwen", "Agentic"), ""),
    ("Wie heisse ich?", ("Ada",), ""),
)


def run(*, quick: bool) -> list[Row]:
    """The seconds of each turn; nothing where there are no weights. `quick`: the first three."""
    return anyio.run(_run, TALK[:3] if quick else TALK)


async def _run(talk: Sequence[tuple[str, Sequence[str], str]]) -> list[Row]:
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory, "mcp.yml")
        file.write_text(f"data_directory: {directory}\n", encoding="utf-8")
        config = load_config({**os.environ, "MCP_CONFIG_PATH": str(file)})
        model = await find_local_model(config)
        if model is None:
            print(
                "local: skipped, no engine or no weights (`agentic models pull`)", file=sys.stderr
            )
            return []
        async with open_assistant(config, ChosenModel(model)) as assistant:
            await assistant.hub.wait_settled(30)
            began = time.perf_counter()
            with anyio.fail_after(_LOAD_SECONDS):
                await model.loading.wait()
            rows = [Row("embedded model, loading", time.perf_counter() - began, "s")]
            for number, turn in enumerate(talk):
                rows.append(await _take_turn(assistant, number, *turn))
    return rows


async def _take_turn(
    assistant: Assistant, number: int, said: str, words: Sequence[str], tool: str
) -> Row:
    began = time.perf_counter()
    tools: list[str] = []
    arguments: list[object] = []
    answer = ""
    with anyio.fail_after(_TURN_SECONDS):
        async with assistant.coordinator.stream(TurnRequest("bench", said)) as events:
            async for event in events:
                if isinstance(event, ToolStarted):
                    tools.append(event.tool)
                    arguments.append(dict(event.arguments))
                elif isinstance(event, TurnFinished):
                    answer = event.content
                elif isinstance(event, TurnFailed):
                    answer = f"({event.message})"
    seconds = time.perf_counter() - began
    print(f"> {said}\n{answer} {arguments} ({seconds:.1f} s)", file=sys.stderr, flush=True)
    is_right = {*tools} == ({tool} if tool else set[str]()) and (
        not words or any(word in answer for word in words)
    )
    name = f"turn {number + 1}, {'right' if is_right else 'WRONG'}: {said}"
    return Row(name, seconds, "s", limit=MAX_SECONDS if number else None)
