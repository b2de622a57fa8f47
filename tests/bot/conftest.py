"""What these tests stand on: the fake Bot API server, and a store behind a hub."""

from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from tests.bot.running_bot import TOKEN, Bench, open_bench
from tests.fakes.telegram.bot_api import FakeBotApi, open_bot_api


@pytest.fixture
async def api() -> AsyncGenerator[FakeBotApi]:
    async with open_bot_api(TOKEN) as api:
        yield api


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncGenerator[Bench]:
    async with open_bench(tmp_path) as bench:
        yield bench
