"""All servers in one process fit a small machine, also after clients have worked with them."""

import pytest

from tests.bench.http_calls import MAX_MEGABYTES, weigh


@pytest.mark.slow
async def test_all_servers_stay_within_their_memory() -> None:
    assert await weigh(appends=50) <= MAX_MEGABYTES
