"""What every test gets: one event loop implementation, and no way to a real vendor."""

import gc
from collections.abc import Generator

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


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Let nothing look through what is imported, then or later: the wait before the tests halves.

    What a test leaves behind is collected as ever.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()
