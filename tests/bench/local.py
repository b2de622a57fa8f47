"""Talks with the embedded model: whether what it says is right, and how long that takes.

Only where its extra is installed and its weights are in the cache. Turns after the first of a talk
have a limit; what is wrong is counted and told on stderr, and has none: it is a small model. All of
it follows the machine: how fast the engine alone reads and writes a token stands in the last rows.
"""

import json
import os
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import anyio

from agentic.cli.compose import Assistant, open_assistant
from agentic.config.load import load_config
from client.asking.questions import Answer, Question
from client.coordinator.events import ToolStarted, TurnFailed, TurnFinished
from client.coordinator.request import TurnRequest
from client.llm.local.create import find_local_model
from client.llm.local.model import LocalModel
from client.llm.protocol import ChosenModel, Completion, ModelRequest
from servers.conversations.contract import Message
from tests.bench.local_acts import count_denied
from tests.bench.local_calls import count_misfilled
from tests.bench.local_long import LONG, OFFICE
from tests.bench.local_probes import HOME_ZONE, Probe, ProbeTalk
from tests.bench.local_tools import count_misled
from tests.bench.local_truth import HELD_OUT, TUNED
from tests.bench.table import Row

MAX_SECONDS = 5.0
_LOAD_SECONDS = 600
_TURN_SECONDS = 300
_TYPING_SECONDS = 20.0
"""Between the start and the first message: meanwhile the model reads ahead."""
_READING_SECONDS = 2.0
"""Between an answer and the next message."""
_SPEED_WORDS = 100
_SPEED_ROUNDS = 3
_FOLDER = Path(__file__).parents[2]


class Agreeing:
    """Says yes at once to what waits for it: here it is no part of a turn's time."""

    async def ask(self, question: Question) -> Answer:
        """Whatever it is."""
        return Answer(action="accept")


def run(*, quick: bool) -> list[Row]:
    """Each talk's share of right answers and its slowest turns; nothing without weights."""
    if not quick:
        return [
            *anyio.run(_run, [*TUNED, OFFICE, LONG, *HELD_OUT]),
            *anyio.run(_run_choices),
            *anyio.run(_run_steps),
        ]
    first = TUNED[0]
    return anyio.run(_run, [ProbeTalk(first.title, first.probes[:3])])


async def _run(talks: Sequence[ProbeTalk]) -> list[Row]:
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as directory:
        for talk in talks:
            # Each time anew: so what it remembers of an earlier talk comes from the store.
            rows += await _hold(talk, Path(directory))
    return rows


async def _run_steps() -> list[Row]:
    """Single steps of a turn; then what all times above follow, this machine's in the same run."""
    model = await find_local_model(
        load_config({"PATH": os.environ.get("PATH", ""), "HOME": str(Path.home())})
    )
    if model is None:
        return []
    async with model.loading.running():
        return [
            await count_denied(model),
            await count_misfilled(model),
            *await _measure_speed(model),
        ]


async def _measure_speed(model: LocalModel) -> list[Row]:
    words = " ".join(f"word{number}" for number in range(_SPEED_WORDS))
    told = Message(role="user", content=f"Write five sentences about these: {words}")
    read: list[float] = []
    written: list[float] = []
    for _ in range(_SPEED_ROUNDS):
        began, first = time.perf_counter(), 0.0
        async with model.stream(ModelRequest("", [told])) as events:
            async for event in events:
                first = first or time.perf_counter()
                if isinstance(event, Completion):
                    usage = event.usage
                    new = usage.input_tokens - usage.cached_input_tokens
                    read.append(1e3 * (first - began) / new)
                    took = time.perf_counter() - first
                    written.append(1e3 * took / max(1, usage.output_tokens - 1))
        told = told.model_copy(update={"content": f"{len(read)} {told.content}"})
    return [
        Row("the engine alone: a token read", median(read), "ms"),
        Row("the engine alone: a token written", median(written), "ms"),
    ]


async def _run_choices() -> list[Row]:
    with tempfile.TemporaryDirectory() as directory:
        file = _configure(Path(directory), True)
        config = load_config({**os.environ, "TZ": HOME_ZONE, "MCP_CONFIG_PATH": str(file)})
        model = await find_local_model(config)
        if model is None:
            return []
        async with open_assistant(config, ChosenModel(model)) as assistant:
            await assistant.hub.wait_settled(30)
            tools = (await assistant.coordinator.foresee()).tools
            return [await count_misled(model, tools)]


async def _hold(talk: ProbeTalk, directory: Path) -> list[Row]:
    # As in a chat without a configuration, but for the desk, which has its own.
    offered = [] if talk.desk else ["search_conversations"]
    file = _configure(directory, offered, talk.desk)
    config = load_config({**os.environ, "TZ": HOME_ZONE, "MCP_CONFIG_PATH": str(file)})
    model = await find_local_model(config)
    if model is None:
        print("local: skipped, no engine or no weights (`agentic models pull`)", file=sys.stderr)
        return []
    async with open_assistant(
        config, ChosenModel(model), conversation_id=_to_conversation(talk), asker=Agreeing()
    ) as assistant:
        await assistant.hub.wait_settled(30)
        with anyio.fail_after(_LOAD_SECONDS):
            await model.loading.wait()
        await anyio.sleep(_TYPING_SECONDS)
        turns: list[tuple[float, str | None]] = []
        for probe in talk.probes:
            turns.append(await _take_turn(assistant, talk, probe))
            await anyio.sleep(_READING_SECONDS)
    seconds = [seconds for seconds, _ in turns]
    faults = [fault for _, fault in turns if fault is not None]
    later = sorted(seconds[1:])
    return [
        Row(f"{talk.title}: wrong of {len(turns)}", len(faults), ""),
        Row(f"{talk.title}: first turn", seconds[0], "s"),
        Row(f"{talk.title}: later turns, median", later[len(later) // 2], "s"),
        Row(f"{talk.title}: later turns, slowest", later[-1], "s", limit=MAX_SECONDS),
    ]


def _configure(directory: Path, offered: bool | Sequence[str], desk: str = "") -> Path:
    """A configuration with the servers that a talk needs; JSON is YAML.

    `offered`: which tools of conversations the model may use.
    """
    servers: dict[str, Any] = {
        name: {"command": "agentic", "args": ["serve", name]} for name in ("conversations", "tools")
    }
    servers["conversations"]["offer_to_model"] = offered
    if desk:
        servers["desk"] = {
            "command": sys.executable,
            "args": ["-m", "tests.bench.desk_server", desk],
            "cwd": str(_FOLDER),
        }
    file = directory / "mcp.yml"
    wanted = {"data_directory": str(directory), "servers": servers}
    file.write_text(json.dumps(wanted), encoding="utf-8")
    return file


def _to_conversation(talk: ProbeTalk) -> str:
    return talk.conversation or talk.title


async def _take_turn(
    assistant: Assistant, talk: ProbeTalk, probe: Probe
) -> tuple[float, str | None]:
    """How long it took, and what was wrong."""
    began = time.perf_counter()
    calls: list[tuple[str, Mapping[str, Any]]] = []
    answer = ""
    with anyio.fail_after(_TURN_SECONDS):
        request = TurnRequest(_to_conversation(talk), probe.said)
        async with assistant.coordinator.stream(request) as events:
            async for event in events:
                if isinstance(event, ToolStarted):
                    calls.append((event.tool.partition("__")[2], event.arguments))
                elif isinstance(event, TurnFinished):
                    answer = event.content
                elif isinstance(event, TurnFailed):
                    answer = f"({event.message})"
    seconds = time.perf_counter() - began
    fault = probe.find_fault(answer, calls)
    shown = [dict(arguments) for _, arguments in calls]
    verdict = "right" if fault is None else f"WRONG, {fault}"
    print(
        f"> {probe.said}\n{answer} {shown} ({seconds:.1f} s, {verdict})",
        file=sys.stderr,
        flush=True,
    )
    return seconds, fault
