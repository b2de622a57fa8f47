"""DynamoDB Local, AWS's own emulator, in a container; its licence lets nobody pass it on."""

import shutil
import subprocess
from collections.abc import Generator
from contextlib import contextmanager

import pytest

IMAGE = "amazon/dynamodb-local:3.1.0"
_PORT = 8000
_START_SECONDS = 60
_PULL_SECONDS = 120


def _find_problem() -> str | None:
    """Why it can't be run here."""
    if shutil.which("docker") is None:
        return "no container engine here"
    for command, seconds in (
        (["docker", "image", "inspect", IMAGE], 30),
        (["docker", "pull", "--quiet", IMAGE], _PULL_SECONDS),
    ):
        try:
            ended = subprocess.run(command, capture_output=True, timeout=seconds, check=False)
        except subprocess.TimeoutExpired:
            continue
        if ended.returncode == 0:
            return None
    return f"the image {IMAGE} is not here and can't be pulled"


@contextmanager
def open_dynamodb_local() -> Generator[str]:
    """Serve until the end of the context; gives its address. Skips where that can't be."""
    if problem := _find_problem():
        pytest.skip(problem)
    from testcontainers.core.config import testcontainers_config
    from testcontainers.core.container import DockerContainer
    from testcontainers.core.wait_strategies import HttpWaitStrategy

    testcontainers_config.ryuk_disabled = True  # another image to pull; the context ends ours
    # It answers whoever does not sign with 400.
    ready = HttpWaitStrategy(_PORT).for_status_code(400).with_startup_timeout(_START_SECONDS)
    container = DockerContainer(IMAGE).with_exposed_ports(_PORT).waiting_for(ready)
    with container as running:
        host, port = running.get_container_host_ip(), running.get_exposed_port(_PORT)
        yield f"http://{host}:{port}"
