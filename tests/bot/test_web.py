"""The bot's HTTP face: Telegram brings updates, and others ask how the bot is."""

import socket
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import httpx
import pytest
from pydantic import SecretStr, ValidationError

from agentic.config.bot import BotConfig
from bot.errors import ListenError
from bot.telegram_bot import run_bot
from client.coordinator.coordinator import Coordinator
from client.llm.scripted import ScriptedModel
from tests.bot.running_bot import ADA, Bench, create_config, echo, run_in_background
from tests.fakes.telegram.bot_api import FakeBotApi
from tests.fakes.telegram.faults import SERVER_ERROR
from tests.ports import free_port

SECRET = "a-secret-of-forty-letters-and-more-than-that"
HEADER = "X-Telegram-Bot-Api-Secret-Token"


@asynccontextmanager
async def serving(
    bench: Bench, api: FakeBotApi, **settings: Any
) -> AsyncGenerator[httpx.AsyncClient]:
    """A bot with an HTTP face, and a client of it."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    settings = {"listen": f"127.0.0.1:{port}", **settings}
    if settings.pop("has_webhook", False):
        settings["webhook"] = {"url": f"{url}/telegram", "secret": SECRET}
    async with (
        httpx.AsyncClient(base_url=url, timeout=15) as client,
        run_in_background(bench, api, **settings),
    ):
        yield client


async def until_ready(client: httpx.AsyncClient) -> dict[str, Any]:
    while True:
        try:
            answer = await client.get("/readyz")
        except httpx.ConnectError:
            pass
        else:
            if answer.status_code == 200:
                return answer.json()
        await anyio.sleep(0.02)


async def test_updates_that_telegram_brings_are_answered_in_order_and_once(
    api: FakeBotApi, bench: Bench
) -> None:
    with anyio.fail_after(30):
        async with serving(bench, api, has_webhook=True):
            first = api.user_says(ADA, "one")
            api.user_says(ADA, "two")
            await api.wait_for_message(ADA, 2)
            api.happens({"message": first["message"]})
            api.user_says(ADA, "three")
            replies = await api.wait_for_message(ADA, 3)

    assert [m["text"] for m in replies] == [f"you said: {n}" for n in ("one", "two", "three")]
    assert api.calls_of("getUpdates") == []


async def test_only_what_brings_the_secret_is_taken_in(api: FakeBotApi, bench: Bench) -> None:
    update = {"update_id": 1, "message": {"text": "let me in"}}
    with anyio.fail_after(30):
        async with serving(bench, api, has_webhook=True) as client:
            assert (await until_ready(client))["webhook_set"]
            answers = [
                await client.post("/telegram", json=update),
                await client.post("/telegram", json=update, headers={HEADER: SECRET[:-1]}),
                await client.post(
                    "/telegram", json=update, headers=[(HEADER.encode(), "é".encode())]
                ),
                await client.get("/telegram", headers={HEADER: SECRET}),
                await client.post("/telegram", content=b"x" * 1_000_001, headers={HEADER: SECRET}),
                await client.post("/telegram", content=b"{no json", headers={HEADER: SECRET}),
                await client.post("/telegram", json=[1], headers={HEADER: SECRET}),
                await client.post("/telegram", json=update, headers={HEADER: SECRET}),
            ]

    assert [a.status_code for a in answers] == [403, 403, 403, 405, 413, 200, 200, 200]
    assert bench.calls.count("append_messages") == 0


async def test_the_webhook_is_set_as_soon_as_telegram_can_be_reached(
    api: FakeBotApi, bench: Bench
) -> None:
    api.fail_next("setWebhook", SERVER_ERROR)
    with anyio.fail_after(30):
        async with serving(bench, api, has_webhook=True) as client:
            await until_ready(client)

    (_, call) = api.calls_of("setWebhook")
    assert call.parameters["max_connections"] == 1
    assert call.parameters["secret_token"] == SECRET


@pytest.mark.slow
async def test_it_tells_how_it_is(api: FakeBotApi, bench: Bench) -> None:
    with anyio.fail_after(30):
        async with serving(bench, api, poll_timeout_seconds=0) as client:
            facts = await until_ready(client)
            api.user_says(ADA, "hello")
            await bench.wait_for_states("answered", "delivered")
            live = await client.get("/healthz")
            metrics = (await client.get("/metrics")).text

    assert live.text == "ok\n"
    assert facts["seconds_since_last_poll"] < 10
    nothing = {"waiting": 0, "since": None, "set_aside": 0}
    assert (facts["queue_length"], facts["spool"]) == (0, nothing)
    for line in (
        'agentic_bot_updates_total{kind="text"} 1.0',
        'agentic_bot_turns_total{outcome="finished"} 1.0',
        'agentic_bot_deliveries_total{state="delivered"} 1.0',
        "agentic_bot_first_text_seconds_count 1.0",
        "agentic_bot_queue_length 0.0",
    ):
        assert line in metrics
    assert "hello" not in metrics


async def test_a_bot_that_hears_nothing_is_not_ready(api: FakeBotApi, bench: Bench) -> None:
    with anyio.fail_after(30):
        async with serving(bench, api, poll_timeout_seconds=30) as client:
            while True:
                try:
                    answer = await client.get("/readyz")
                    break
                except httpx.ConnectError:
                    await anyio.sleep(0.02)

    assert answer.status_code == 503
    assert answer.json()["ready"] is False


async def test_an_address_that_is_taken_is_said(api: FakeBotApi, bench: Bench) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        config = create_config(api, listen=f"127.0.0.1:{port}")
        coordinator = Coordinator(bench, ScriptedModel(echo))
        with anyio.fail_after(10), pytest.raises(ListenError, match="another program"):
            await run_bot(config, bench, coordinator, SecretStr(api.token), bench.create_spool())


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"webhook": {"url": "https://b.example/t", "secret": SECRET}}, "needs listen"),
        ({"webhook": {"url": "https://b.example/t"}}, "secret"),
        ({"webhook": {"url": "https://b.example/t", "secret": "short"}}, "16 to 256"),
        (
            {"listen": "0.0.0.0:1", "webhook": {"url": "https://b.example/", "secret": SECRET}},
            "needs a path",
        ),
        ({"listen": "8081"}, "HOST:PORT"),
        ({"listen": "localhost:99999"}, "HOST:PORT"),
    ],
)
def test_a_wrong_setting_is_said(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        BotConfig.model_validate(settings)
