"""How long the command takes to start, against importing what it cannot do without."""

import os
import pty
import select
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from tests.bench.table import Row

MAX_HELP_RATIO = 2.0
MAX_READY_SECONDS = 2.5
_PROMPT_WITHIN_SECONDS = 30.0


def run(*, quick: bool) -> list[Row]:
    """Rows of this part of the table."""
    rounds = 3 if quick else 9
    floors: list[float] = []
    helps: list[float] = []
    for _ in range(rounds):
        floors.append(_time_command("-c", "import typer"))
        helps.append(_time_command("-m", "agentic", "--help"))
    ready = median(_time_chat() for _ in range(rounds))
    return [
        Row('python -c "import typer"', median(floors) * 1e3, "ms"),
        Row("agentic --help", median(helps) * 1e3, "ms"),
        Row("  against import typer", median(helps) / median(floors), "x", limit=MAX_HELP_RATIO),
        Row("agentic chat: first answer can be asked for", ready, "s", limit=MAX_READY_SECONDS),
    ]


def _time_command(*arguments: str) -> float:
    began = time.perf_counter()
    subprocess.run([sys.executable, *arguments], check=True, capture_output=True, timeout=60)
    return time.perf_counter() - began


def _time_chat() -> float:
    """From the start to the answer of a scripted model to a message typed ahead."""
    with tempfile.TemporaryDirectory() as home:
        Path(home, "script.yml").write_text("- say: READY-TO-TALK\n", encoding="utf-8")
        Path(home, "mcp.yml").write_text(
            "models: {default: s, s: {provider: scripted, script: script.yml}}\n", encoding="utf-8"
        )
        environment = {**os.environ, "HOME": home, "MCP_CONFIG_PATH": f"{home}/mcp.yml"}
        leader, follower = pty.openpty()
        began = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, "-m", "agentic", "chat"],
            stdin=follower,
            stdout=follower,
            stderr=follower,
            env=environment,
            cwd=Path.cwd(),
        )
        os.close(follower)
        try:
            os.write(leader, b"hello\r")
            _read_until(leader, b"READY-TO-TALK", began + _PROMPT_WITHIN_SECONDS)
            return time.perf_counter() - began
        finally:
            process.terminate()
            process.wait(10)
            os.close(leader)


def _read_until(descriptor: int, wanted: bytes, deadline: float) -> None:
    seen = b""
    while wanted not in seen:
        left = deadline - time.perf_counter()
        if left <= 0 or not select.select([descriptor], [], [], left)[0]:
            raise TimeoutError(f"no {wanted!r} from the terminal: {seen[-500:]!r}")
        seen += os.read(descriptor, 65_536)
