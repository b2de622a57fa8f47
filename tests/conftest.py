"""What every test gets: one event loop implementation, and no way to a real vendor."""

import pytest


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"
