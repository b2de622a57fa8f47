"""Servers that want a person's consent: asked once, remembered, renewed, never asked in vain."""

import json
import stat
from pathlib import Path

import anyio
import httpx2
import pytest

from client.hub.errors import HubError, ServerUnavailableError
from client.hub.hub import Hub, open_hub
from client.hub.servers import HttpTarget, HubServer, OAuth, Show
from tests.client.hub.fakes import first_text
from tests.fakes.oauth_server import OAuthServer, open_oauth_server
from tests.ports import free_port


def guarded(
    server: OAuthServer, file: Path, show: Show | None = None, port: int | None = None
) -> HubServer:
    oauth = OAuth(file, show=show, redirect_port=port or free_port())
    return HubServer("guarded", HttpTarget(server.url, oauth=oauth))


async def agree(url: str) -> None:
    async with httpx2.AsyncClient(follow_redirects=True) as browser:
        page = await browser.get(url)
    assert page.status_code == 200, page.text


async def use(hub: Hub) -> str:
    await hub.wait_ready(timeout_seconds=15)
    return first_text(await hub.call_tool("guarded", "whoami", {}))


async def find_reason(entry: HubServer) -> str:
    async with open_hub([entry]) as hub:
        await hub.wait_settled(15)
        with pytest.raises(ServerUnavailableError) as failure:
            await hub.wait_ready(timeout_seconds=0)
    return str(failure.value)


async def test_a_consent_is_asked_for_once_and_remembered(tmp_path: Path) -> None:
    file = tmp_path / "new" / "logins.json"
    with anyio.fail_after(40):
        async with open_oauth_server() as server:
            async with open_hub([guarded(server, file, agree)]) as hub:
                assert await use(hub) == "you"
            assert server.asked == ["register", "authorize", "authorization_code"]
            async with open_hub([guarded(server, file)]) as hub:
                assert await use(hub) == "you"
            assert server.asked[3:] == []
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


async def test_an_expired_token_is_renewed_where_it_came_from(tmp_path: Path) -> None:
    file = tmp_path / "logins.json"
    with anyio.fail_after(40):
        async with open_oauth_server() as server:
            server.lifetime_seconds = -1
            async with open_hub([guarded(server, file, agree)]) as hub:
                await hub.wait_ready(timeout_seconds=15)
            server.asked.clear()
            server.lifetime_seconds = 3_600
            async with open_hub([guarded(server, file)]) as hub:
                assert await use(hub) == "you"
            assert server.asked == ["refresh_token"]


async def test_where_nobody_can_be_asked_the_way_to_log_in_is_told(tmp_path: Path) -> None:
    file = tmp_path / "logins.json"
    with anyio.fail_after(40):
        async with open_oauth_server() as server:
            assert "agentic login" in await find_reason(guarded(server, file))
            assert server.asked == []
            async with open_hub([guarded(server, file, agree)]) as hub:
                assert await use(hub) == "you"
            server.asked.clear()
            server.valid.clear()
            server.renewable.clear()
            assert "agentic login" in await find_reason(guarded(server, file))
            assert "authorize" not in server.asked


async def test_a_token_taken_back_during_use_fails_calls_until_somebody_logs_in(
    tmp_path: Path,
) -> None:
    file = tmp_path / "logins.json"
    with anyio.fail_after(40):
        async with open_oauth_server() as server:
            async with open_hub([guarded(server, file, agree)]) as hub:
                await use(hub)
            async with open_hub([guarded(server, file)]) as hub:
                await use(hub)
                server.valid.clear()
                with pytest.raises(HubError, match="agentic login"):
                    await hub.call_tool("guarded", "whoami", {})
                async with open_hub([guarded(server, file, agree)]) as other:
                    await use(other)
                assert await use(hub) == "you"


async def test_a_server_without_oauth_in_its_entry_says_what_it_wants() -> None:
    with anyio.fail_after(40):
        async with open_oauth_server() as server:
            reason = await find_reason(HubServer("guarded", HttpTarget(server.url)))
    assert "`oauth: {}`" in reason


async def test_a_refusal_is_told_in_the_servers_words(tmp_path: Path) -> None:
    with anyio.fail_after(40):
        async with open_oauth_server() as server:
            server.consents = False
            reason = await find_reason(guarded(server, tmp_path / "logins.json", agree))
    assert "consent was not given: access_denied" in reason


async def test_an_answer_that_is_not_to_our_question_is_passed_over(tmp_path: Path) -> None:
    port = free_port()

    async def be_attacked_and_agree(url: str) -> None:
        back = f"http://127.0.0.1:{port}"
        async with httpx2.AsyncClient() as attacker:
            forged = await attacker.get(f"{back}/callback?code=forged&state=guessed")
            assert forged.status_code == 404
            assert (await attacker.get(f"{back}/favicon.ico")).status_code == 404
        await agree(url)

    with anyio.fail_after(40):
        async with open_oauth_server() as server:
            entry = guarded(server, tmp_path / "logins.json", be_attacked_and_agree, port)
            async with open_hub([entry]) as hub:
                assert await use(hub) == "you"


async def test_a_login_is_for_one_url_only(tmp_path: Path) -> None:
    file = tmp_path / "logins.json"
    with anyio.fail_after(40):
        async with open_oauth_server() as server, open_oauth_server() as other:
            async with open_hub([guarded(server, file, agree)]) as hub:
                await use(hub)
            assert "agentic login" in await find_reason(guarded(other, file))
            async with open_hub([guarded(other, file, agree)]) as hub:
                await use(hub)
            assert json.loads(file.read_text()).keys() == {server.url, other.url}


async def test_a_taken_port_and_a_damaged_file_are_named(tmp_path: Path) -> None:
    file = tmp_path / "logins.json"
    with anyio.fail_after(40):
        async with open_oauth_server() as server:
            taken = int(server.base.rpartition(":")[2])
            reason = await find_reason(guarded(server, file, agree, taken))
            assert f"127.0.0.1:{taken}" in reason
            file.write_text("{")
            assert str(file) in await find_reason(guarded(server, file))
