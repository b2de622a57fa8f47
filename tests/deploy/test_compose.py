"""`docker compose up`, from nothing to a reply on Telegram, and through kills."""

from collections.abc import AsyncGenerator
from pathlib import Path

import anyio
import pytest
from anyio import to_thread

from tests.deploy.running_compose import (
    SERVICES,
    TOKEN,
    Project,
    build_image,
    find_gateway,
)
from tests.fakes.telegram.bot_api import FakeBotApi, open_bot_api

pytestmark = pytest.mark.docker

SETTINGS = """
owner: ada
models: {tour: {provider: scripted}}
bot: {people: {42: ada}}
"""


@pytest.fixture(scope="module")
def image() -> None:
    build_image()


@pytest.fixture
async def bot_api(image: None) -> AsyncGenerator[FakeBotApi]:
    async with open_bot_api(TOKEN, host=find_gateway()) as api:
        yield api


@pytest.fixture
async def project(tmp_path: Path, bot_api: FakeBotApi) -> AsyncGenerator[Project]:
    project = Project(tmp_path, bot_api.base_url)
    environment = f"TELEGRAM_BOT_TOKEN={TOKEN}\nAGENTIC_BOT__BASE_URL={bot_api.base_url}\n"
    project.write(environment=environment, settings=SETTINGS)
    try:
        yield project
    finally:
        await to_thread.run_sync(project.remove)


async def test_from_nothing_to_a_reply_and_on_after_every_kill(
    project: Project, bot_api: FakeBotApi
) -> None:
    with anyio.fail_after(300):
        await project.up()

        bot_api.user_says(42, "What time is it in Tokyo?")
        first = len(await bot_api.wait_for_message(42))
        for service in SERVICES:
            project.kill(service)
            await project.wait_healthy(service, starts=1)
            bot_api.user_says(42, "And now?")
            first = len(await bot_api.wait_for_message(42, first + 1))

        for service in SERVICES:  # as when the machine loses its power
            project.kill(service)
        bot_api.user_says(42, "Are you back?")
        await project.wait_healthy(*SERVICES, starts=2)
        await bot_api.wait_for_message(42, first + 1)

        listed = project.compose("exec", "--no-TTY", "servers", "agentic", "conversations", "list")
        assert "telegram:42" in listed.stdout, listed.stderr


async def test_what_nobody_writes_to_is_up_soon_and_leaves_nothing_unnamed(
    project: Project,
) -> None:
    with anyio.fail_after(120):
        with anyio.fail_after(30):
            await project.up()
        for service in SERVICES:
            mounts = project.inspect(service)["Mounts"]
            volumes = [mount["Name"] for mount in mounts if mount["Type"] == "volume"]
            assert [name for name in volumes if not name.startswith(project.name)] == []
            assert volumes
