"""Ways to reach the conversation server, and one moto for all tests of a process."""

import os
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from servers.aws.api import create_api
from tests.fakes.dynamodb_server import CREDENTIALS, REGION, open_aws_server
from tests.servers.connections import LATER_WAYS, WAYS, Connections, Era, Transport


@pytest.fixture(
    params=[
        pytest.param(way, id="-".join(way), marks=pytest.mark.slow if way in LATER_WAYS else ())
        for way in WAYS
    ]
)
def connections(request: pytest.FixtureRequest, tmp_path: Path) -> Connections:
    """Each way: in memory, over stdio, over HTTP, and each in both protocol eras.

    A server's process takes a second to start. So two of its four ways run with the slow tests: the
    others have each transport and each era once.
    """
    transport: Transport
    era: Era
    transport, era = request.param
    return Connections(tmp_path / "conversations", transport, era)


@pytest.fixture(params=["auto", "legacy"])
def in_memory(request: pytest.FixtureRequest, tmp_path: Path) -> Connections:
    """In memory, in both protocol eras."""
    return Connections(tmp_path / "conversations", "memory", request.param)


@pytest.fixture(scope="session")
def aws() -> Generator[str]:
    """Where moto is."""
    os.environ.update(CREDENTIALS)
    with open_aws_server() as address:
        yield address


@pytest.fixture(scope="session")
def api(aws: str) -> Any:
    return create_api("conversations", REGION, aws)
