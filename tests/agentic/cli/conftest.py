"""What tests of the command share."""

from pathlib import Path

import pytest

from tests.agentic.cli.real_command import RealCommand


@pytest.fixture
def command(tmp_path: Path) -> RealCommand:
    """The real command for somebody new."""
    return RealCommand(tmp_path)
