"""The bot's own token for its servers is taken away while it runs, and another is handed over."""

from pathlib import Path

import httpx
import pytest

from bot import wording
from client.hub.hub import open_hub
from client.hub.servers import HttpTarget, HubServer
from tests.bot.running_bot import ADA, Bench, run_in_background
from tests.fakes.telegram.bot_api import FakeBotApi
from tests.ports import free_port
from tests.servers.http_serving import ALL_SCOPES, serving

pytestmark = pytest.mark.slow  # a server's process, and patience


async def test_it_is_told_everywhere_and_the_bot_goes_on_with_the_next_token(
    api: FakeBotApi, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file, address = tmp_path / "bot.token", f"127.0.0.1:{free_port()}"
    file.touch(0o600)
    (tmp_path / "served").mkdir()
    async with serving(tmp_path / "served") as served, httpx.AsyncClient() as http:
        file.write_text(served.create_token("bot", "ada", ALL_SCOPES))
        target = HttpTarget(served.urls["conversations"], token_file=file)
        store = HubServer("conversations", target, ours=True, offer_to_model=False)
        async with open_hub([store], can_ask=True) as hub:
            bench = Bench(hub, tmp_path / "bot")
            async with run_in_background(bench, api, listen=address):
                api.user_says(ADA, "one")
                await bench.wait_for_states("answered", "delivered")
                served.tokens.revoke("bot")
                api.user_says(ADA, "two")
                _, told = await api.wait_for_message(ADA, 2)
                refused = await http.get(f"http://{address}/readyz")
                file.write_text(served.create_token("next", "ada", ALL_SCOPES))
                *_, reply = await api.wait_for_message(ADA, 3)
                await bench.wait_for_states(*["answered", "delivered"] * 2)
                ready = await http.get(f"http://{address}/readyz")

    assert told["text"] == wording.WAITS_AT_TELEGRAM
    assert reply["text"] == "you said: two"
    assert (refused.status_code, ready.status_code) == (503, 200)
    reason = refused.json()["servers_away"]["conversations"]
    assert "needs a valid token" in reason
    assert ready.json()["servers_away"] == {}
    assert "server conversations is not available" in caplog.text
    assert reason in caplog.text
