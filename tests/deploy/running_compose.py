"""The services of compose.yaml on a real engine, from the image of this checkout."""

import json
import os
import shutil
import signal
import subprocess
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio import to_thread

ROOT = Path(__file__).parent.parent.parent
BASE_IMAGE = "python:3.13-slim"
IMAGE = "agentic-ai"
SERVICES = ("servers", "bot")
TOKEN = "7000000001:compose-test"
_ASKED_OFTEN = json.dumps(
    {"services": {name: {"healthcheck": {"interval": "2s"}} for name in SERVICES}}
)
"""How they are is asked as in compose.yaml, but so often that a test need not wait for it."""


def run(
    *command: str, cwd: Path = ROOT, timeout: float = 60, **variables: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
        env={**os.environ, **variables},
    )


def build_image() -> None:
    """The image, or a skip where it can't be built."""
    if shutil.which("docker") is None or run("docker", "image", "inspect", BASE_IMAGE).returncode:
        pytest.skip(f"no container engine with the image {BASE_IMAGE}")
    # The build downloads packages, and a machine may reach them from its own network only.
    built = run("docker", "build", "--network", "host", "--tag", IMAGE, ".", timeout=400)
    assert built.returncode == 0, built.stderr[-3_000:]


def find_gateway() -> str:
    """This machine's address, as containers see it."""
    form = "{{json (index .IPAM.Config 0)}}"
    told = json.loads(run("docker", "network", "inspect", "bridge", "--format", form).stdout)
    # An engine that was just started may not tell it: it takes the first address.
    return told.get("Gateway") or str(ip_network(told["Subnet"])[1])


class Project:
    """A folder with our compose.yaml, and the containers that come of it."""

    def __init__(self, folder: Path, bot_api: str) -> None:
        self.folder = folder
        self.name = f"agentic-test-{os.getpid()}"
        self._bot_api = bot_api

    def write(self, *, environment: str, settings: str) -> None:
        """What a user has: the two files of the repository, and `.env`; and who asks them often."""
        shutil.copy(ROOT / "compose.yaml", self.folder)
        (self.folder / "compose.override.yaml").write_text(_ASKED_OFTEN)
        (self.folder / "mcp.yml").write_text(settings)
        (self.folder / ".env").write_text(environment)

    def compose(self, *arguments: str, timeout: float = 60) -> subprocess.CompletedProcess[str]:
        """One command of docker compose."""
        command = ["docker", "compose", "--project-name", self.name, *arguments]
        return run(
            *command, cwd=self.folder, timeout=timeout, AGENTIC_PORT="0", BOT_API=self._bot_api
        )

    async def up(self, *options: str) -> None:
        """Start, and wait until all are healthy."""
        started = await to_thread.run_sync(
            lambda: self.compose("up", "--detach", "--wait", *options, timeout=120)
        )
        assert started.returncode == 0, started.stderr + self.compose("logs").stdout[-3_000:]

    def inspect(self, service: str) -> dict[str, Any]:
        """What the engine says of a service's container."""
        container = self.compose("ps", "--all", "--quiet", service).stdout.strip()
        [facts] = json.loads(run("docker", "inspect", container).stdout)
        return facts

    def kill(self, service: str) -> None:
        """End it as the kernel would; after `docker kill` it would not be started again."""
        os.kill(self.inspect(service)["State"]["Pid"], signal.SIGKILL)

    async def wait_healthy(self, *services: str, starts: int) -> None:
        """Wait until each was started again `starts` times and is healthy."""
        with anyio.fail_after(90):
            for service in services:
                while not self._is_healthy(service, starts):  # noqa: ASYNC110 - polled
                    await anyio.sleep(0.5)

    def _is_healthy(self, service: str, starts: int) -> bool:
        facts = self.inspect(service)
        return (
            facts["RestartCount"] >= starts
            and facts["State"].get("Health", {}).get("Status") == "healthy"
        )

    def logs(self, service: str) -> str:
        """All that a service has said."""
        return self.compose("logs", "--no-log-prefix", "--no-color", service).stdout

    def remove(self) -> None:
        """Containers, network and volumes."""
        self.compose("down", "--volumes", "--timeout", "20", timeout=120)
