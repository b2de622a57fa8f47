"""A server on loopback, and somebody who pulls from it."""

import os
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from tests.client.weights.file_server import FileServer, open_file_server
from tests.client.weights.small_weights import Puller, describe_weights


@pytest.fixture
async def server() -> AsyncGenerator[FileServer]:
    async with open_file_server() as opened:
        yield opened


@pytest.fixture
def puller(server: FileServer, tmp_path: Path) -> Puller:
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_INDEX_URL": f"{server.url}/simple/",
    }
    return Puller(describe_weights(server), tmp_path / "models", environment)
