"""Who gets in over HTTP, by which names, paths and methods."""

import socket
from collections.abc import Mapping
from pathlib import Path

import anyio
import pytest

from tests.servers.http_by_hand import asking, assert_serves, exchange, head
from tests.servers.http_serving import (
    LIMIT_SECONDS,
    environment,
    serve_command,
    serving,
    write_config,
)

pytestmark = pytest.mark.slow


async def test_a_token_in_the_url_is_refused_and_in_no_log(tmp_path: Path) -> None:
    async with serving(tmp_path) as served, asking(served) as asker:
        token = asker.token or ""
        for query in (
            f"?token={token}",
            f"?access_token={token}",
            f"?a=b&API_KEY={token}",
            f"?%74oken={token}",
            f"?x={token}",
            f"?Authorization=Bearer%20{token}",
        ):
            for path in (asker.url, served.origin + "/healthz", served.origin + "/nothing"):
                answer = await asker.http.post(path + query, headers=asker.headers())
                assert answer.status_code == 400, (path, query)
                assert "revoke" in answer.text
                assert token not in answer.text
        for path in (f"/tools/mcp/{token}", f"/{token}", f"/tools/mcp;token={token}"):
            answer = await asker.http.post(served.origin + path, headers=asker.headers())
            assert answer.status_code == 404
            assert token not in answer.text
        await assert_serves(asker)
    assert token.split("_", 2)[2] not in served.log


async def test_a_token_is_taken_from_its_own_header_only(tmp_path: Path) -> None:
    async with serving(tmp_path) as served, asking(served) as asker:
        token, right = asker.token or "", asker.headers()
        del right["authorization"]
        for headers in (
            {"cookie": f"token={token}; authorization=Bearer {token}"},
            {"x-api-key": token},
            {"x-authorization": f"Bearer {token}"},
            {"proxy-authorization": f"Bearer {token}"},
            {"authorization": token},
            {"authorization": f"Basic {token}"},
            {"authorization": f"Bearer{token}"},
            {"authorization": f"Bearer {token} {token}"},
            {"authorization": f"Bearer {token}, Bearer {token}"},
        ):
            answer = await asker.http.post(asker.url, headers={**right, **headers}, json={})
            assert answer.status_code == 401, headers
            assert "error=" in answer.headers["www-authenticate"]
            assert answer.json()["error"]["message"].startswith("This needs a valid token")
        answer = await asker.http.post(
            asker.url, headers={**right, "authorization": f"bearer  {token}"}, json={}
        )
        assert answer.status_code == 400  # let in, and told that this is no request


PATHS = ("/conversations/mcp", "/tools/mcp", "/healthz", "/readyz", "/metrics", "/nothing", "/")


async def test_foreign_hosts_and_origins_are_refused_at_every_path(tmp_path: Path) -> None:
    async with serving(tmp_path) as served, asking(served) as asker:
        token = {"authorization": f"Bearer {asker.token}"}
        foreign: list[tuple[dict[str, str], int]] = [
            ({"host": f"evil.example:{served.port}"}, 421),
            ({"host": "evil.example"}, 421),
            ({"host": f"127.0.0.1.evil.example:{served.port}"}, 421),
            ({"host": f"localhost.:{served.port}"}, 421),
            ({"host": "2130706433"}, 421),
            ({"host": ""}, 421),
            ({"origin": "http://evil.example"}, 403),
            ({"origin": f"http://evil.example:{served.port}"}, 403),
            ({"origin": "null"}, 403),
            ({"origin": f"https://127.0.0.1:{served.port}"}, 403),
            ({"origin": f"http://127.0.0.1:{served.port}.evil.example"}, 403),
        ]
        for path in PATHS:
            for headers, status in foreign:
                for method in ("GET", "POST", "OPTIONS"):
                    answer = await asker.http.request(
                        method, served.origin + path, headers={**token, **headers}
                    )
                    assert answer.status_code == status, (method, path, headers)
                    assert "access-control-allow-origin" not in answer.headers
        assert (await exchange(served.port, b"GET /healthz HTTP/1.0\r\n\r\n"))[9:12] == b"421"
        await assert_serves(asker)
    assert "evil" not in served.log


async def test_hosts_and_origins_are_allowed_by_configuration(tmp_path: Path) -> None:
    access = "allowed_hosts: [Assistant.example], allowed_origins: ['https://Chat.example/']"
    async with serving(tmp_path, access=access) as served, asking(served) as asker:
        for headers, status in (
            ({"host": "assistant.example"}, 200),
            ({"host": "ASSISTANT.example:8443"}, 200),
            ({"host": "x.assistant.example"}, 421),
            ({"host": "assistant.example.evil"}, 421),
            ({"host": "assistant.example", "origin": "https://chat.example"}, 200),
            ({"origin": "http://chat.example"}, 403),
            ({"origin": "https://chat.example.evil"}, 403),
            ({"origin": "https://chat.example:444"}, 403),
        ):
            answer = await asker.http.get(served.origin + "/healthz", headers=headers)
            assert answer.status_code == status, headers


async def test_a_session_is_of_use_with_its_own_token_and_server_only(tmp_path: Path) -> None:
    async with (
        serving(tmp_path) as served,
        asking(served, "conversations", "older") as asker,
        asking(served, "conversations", "older", name="other") as other,
    ):
        own, stolen = other.session, asker.session
        other.session = stolen
        assert (await other.ask("tools/list")).status == 404
        for method in ("GET", "DELETE"):
            answer = await other.http.request(method, other.url, headers=other.headers())
            assert answer.status_code == 404
        other.url, other.session = served.urls["tools"], own
        assert (await other.ask("tools/list")).status == 404
        assert (await asker.ask("tools/list")).error_code is None


async def test_methods_that_mean_nothing_here_are_refused(tmp_path: Path) -> None:
    async with serving(tmp_path) as served, asking(served) as asker:
        for method in ("HEAD", "OPTIONS", "PUT", "PATCH", "TRACE", "CONNECT", "BREW", "GET"):
            for token in (None, asker.token):
                headers = asker.headers()
                headers.pop("authorization")
                if token is not None:
                    headers["authorization"] = f"Bearer {token}"
                answer = await asker.http.request(method, asker.url, headers=headers, content=b"{}")
                assert answer.status_code == (401 if token is None else 405), method
            answer = await asker.http.request(method, f"{served.origin}/healthz")
            assert answer.status_code == 200
        await assert_serves(asker)


async def test_odd_paths_lead_nowhere(tmp_path: Path) -> None:
    async with serving(tmp_path) as served, asking(served) as asker:
        only = served.tokens.create("only tools", "ada", {"tools:call"})[1]
        for path in (
            "//conversations/mcp",
            "/conversations/mcp/",
            "/conversations//mcp",
            "/./conversations/mcp",
            "/tools/../conversations/mcp",
            "/tools/mcp/../../conversations/mcp",
            "/tools/%2e%2e/conversations/mcp",
            "/tools/%2E./conversations/mcp",
            "/tools/..%2fconversations/mcp",
            "/conversations/mcp%00",
            "/conversations/mcp;x=1",
            "/CONVERSATIONS/mcp",
            "\\conversations\\mcp",
            "http://127.0.0.1/conversations/mcp",
        ):
            request = head(
                "POST", path, served.port, Authorization=f"Bearer {only}", Content_Length="0"
            )
            answer = await exchange(served.port, request)
            assert answer[9:12] in (b"404", b"400"), path
        for path in ("/conversations/mcp", "/conversations%2fmcp", "/%63onversations/mcp"):
            request = head(
                "POST", path, served.port, Authorization=f"Bearer {only}", Content_Length="0"
            )
            assert (await exchange(served.port, request))[9:12] == b"403"
        await assert_serves(asker)


async def run_serve(home: Path, *arguments: str) -> tuple[int, str]:
    with anyio.fail_after(LIMIT_SECONDS):
        done = await anyio.run_process(
            serve_command(*arguments),
            check=False,
            env=environment(home, write_config(home)),
            cwd=home,
        )
    return done.returncode, done.stderr.decode()


@pytest.mark.parametrize("address", ["0.0.0.0:0", "[::]:0", "192.0.2.1:8000"])
async def test_serving_without_tokens_is_refused_where_others_could_come(
    tmp_path: Path, address: str
) -> None:
    code, errors = await run_serve(tmp_path, "all", "--http", address, "--no-auth")
    assert code == 2
    assert "--no-auth goes with a loopback address only" in errors
    assert "agentic token create" in errors
    assert "Traceback" not in errors


async def test_addresses_that_cannot_be_had_are_one_clear_line(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        addresses: Mapping[str, str] = {
            f"127.0.0.1:{port}": "choose another port",
            "no.such.host.invalid:8000": "give an address of this machine",
            "x" * 70 + ":8000": "no host's name",
        }
        for address, why in addresses.items():
            code, errors = await run_serve(tmp_path, "all", "--http", address)
            assert code == 1, errors
            assert why in errors.splitlines()[0]
            assert "Traceback" not in errors
