"""The real command in real processes: with pipes, and in a terminal of its own."""

import fcntl
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import anyio
import anyio.abc
import pytest

from client.llm.local.engine import is_installed

without_the_embedded_model = pytest.mark.skipif(
    is_installed(), reason="with the extra `local` there is always a model to fetch"
)
LIMIT_SECONDS = 30
"""For whatever a test waits for: machines can be busy."""

_SEQUENCE = re.compile(rb"\x1b\[[0-?]*[ -/]*[@-~]|\x1b[=>]|\x08|\r")


@dataclass(frozen=True, slots=True)
class Ended:
    """How a command ended."""

    exit_code: int
    output: str
    notes: str


@dataclass(frozen=True, slots=True)
class RealCommand:
    """Runs `agentic` for somebody whose home is `home`, in `home`."""

    home: Path

    def configure(self, text: str) -> None:
        """Write the mcp.yml."""
        (self.home / "given.yml").write_text(text, encoding="utf-8")

    def script(self, text: str, *, more: str = "") -> None:
        """Let a scripted model answer, out of this YAML."""
        (self.home / "script.yml").write_text(text, encoding="utf-8")
        self.configure(f"models: {{s: {{provider: scripted, script: script.yml}}}}\n{more}")

    @property
    def environment(self) -> dict[str, str]:
        given = self.home / "given.yml"
        named = {"MCP_CONFIG_PATH": str(given)} if given.exists() else {}
        # A port where no Ollama is.
        fixed = {"HOME": str(self.home), "OLLAMA_HOST": "http://127.0.0.1:9", "TERM": "xterm"}
        return {"PATH": os.environ["PATH"], **fixed, **named}

    async def run(
        self, *arguments: str, stdin: bytes = b"", environment: Mapping[str, str] | None = None
    ) -> Ended:
        """Run it to its end."""
        with anyio.fail_after(LIMIT_SECONDS):
            done = await anyio.run_process(
                [sys.executable, "-m", "agentic", *arguments],
                input=stdin,
                check=False,
                cwd=self.home,
                env={**self.environment, **(environment or {})},
            )
        return Ended(done.returncode, done.stdout.decode(), done.stderr.decode())

    @asynccontextmanager
    async def started(
        self, *arguments: str, environment: Mapping[str, str] | None = None
    ) -> AsyncGenerator[anyio.abc.Process]:
        """It runs; killed if it still does at the end."""
        async with await anyio.open_process(
            [sys.executable, "-m", "agentic", *arguments],
            stdin=subprocess.DEVNULL,
            cwd=self.home,
            env={**self.environment, **(environment or {})},
        ) as process:
            try:
                yield process
            finally:
                if process.returncode is None:
                    process.kill()

    @asynccontextmanager
    async def in_terminal(
        self,
        *arguments: str,
        columns: int = 80,
        lines: int = 24,
        environment: Mapping[str, str] | None = None,
    ) -> AsyncGenerator["Terminal"]:
        """It runs in a terminal of this size."""
        argv = [sys.executable, "-m", "agentic", *arguments]
        given = {**self.environment, **(environment or {})}
        async with open_in_terminal(argv, self.home, given, columns, lines) as terminal:
            yield terminal


class Terminal:
    """A person's side of a terminal."""

    def __init__(self, process: anyio.abc.Process, leader: int) -> None:
        self.process = process
        self.raw = b""
        """All that was shown, sequences included."""
        self._leader = leader
        self._read_until = 0

    @property
    def text(self) -> str:
        """All that was shown, without our own sequences."""
        return _SEQUENCE.sub(b"", self.raw).decode("utf-8", "replace")

    def type(self, text: str) -> None:
        """Press these keys."""
        os.write(self._leader, text.encode())

    def interrupt(self) -> None:
        """Ctrl-C as a terminal gives it to the program in it, when that has not asked for keys."""
        self.process.send_signal(signal.SIGINT)

    async def wait_for(self, text: str) -> None:
        """Read until this is shown, after what was waited for before."""
        with anyio.move_on_after(LIMIT_SECONDS):
            while text not in self.text[self._read_until :] and await self._read():
                pass
        found = self.text.find(text, self._read_until)
        assert found >= 0, f"no {text!r} at the end of {self.text[-600:]!r}"
        self._read_until = found + len(text)

    async def wait_for_end(self) -> int:
        """Read until the program has ended; its exit code."""
        with anyio.fail_after(LIMIT_SECONDS):
            async with anyio.create_task_group() as reading:
                reading.start_soon(self._read_on)
                await self.process.wait()
                reading.cancel_scope.cancel()
        assert self.process.returncode is not None
        return self.process.returncode

    async def _read_on(self) -> None:
        while await self._read():
            pass

    async def _read(self) -> bool:
        """Take in what is shown next; False: the program has left the terminal."""
        await anyio.wait_readable(self._leader)
        try:
            self.raw += os.read(self._leader, 65_536)
        except OSError:
            return False
        return True


@asynccontextmanager
async def open_in_terminal(
    argv: Sequence[str], folder: Path, environment: Mapping[str, str], columns: int, lines: int
) -> AsyncGenerator[Terminal]:
    """A process that runs in a terminal of its own; killed if it still does at the end."""
    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
    try:
        process = await anyio.open_process(
            argv,
            stdin=follower,
            stdout=follower,
            stderr=follower,
            cwd=folder,
            env=environment,
            start_new_session=True,
        )
    finally:
        os.close(follower)
    async with process:
        try:
            yield Terminal(process, leader)
        finally:
            if process.returncode is None:
                process.kill()
            os.close(leader)
