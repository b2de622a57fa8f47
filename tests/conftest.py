"""What every test gets: one event loop implementation, and no way to a real vendor."""

import pytest
from hypothesis import HealthCheck, settings

# How long making an input takes says more of the machine than of the code.
settings.register_profile(
    "any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("any machine")


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"
