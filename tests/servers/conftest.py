"""Ways to reach the conversation server."""

from pathlib import Path

import pytest

from tests.servers.connections import WAYS, Connections, Era, Transport


@pytest.fixture(params=WAYS, ids="-".join)
def connections(request: pytest.FixtureRequest, tmp_path: Path) -> Connections:
    """Each way: in memory, over stdio, over HTTP, and each in both protocol eras."""
    transport: Transport
    era: Era
    transport, era = request.param
    return Connections(tmp_path / "conversations", transport, era)


@pytest.fixture(params=["auto", "legacy"])
def in_memory(request: pytest.FixtureRequest, tmp_path: Path) -> Connections:
    """In memory, in both protocol eras."""
    return Connections(tmp_path / "conversations", "memory", request.param)
