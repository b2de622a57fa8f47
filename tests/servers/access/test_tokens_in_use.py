"""Tokens in their file while a server runs: what becomes of the file counts at once."""

from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest

from tests.servers.http_serving import Asker, Era, Serving, serving
from tests.servers.token_file import TokenFile, back_up, put_in_place


@pytest.mark.parametrize("era", ["modern", "older"])
async def test_what_is_revoked_or_made_counts_at_once_in_a_running_server(
    tmp_path: Path, era: Era
) -> None:
    async with serving(tmp_path) as served, httpx2.AsyncClient() as http:
        asker = Asker(http, served.urls["conversations"], era, served.create_token("a", "ada"))
        await asker.begin()
        assert (await asker.call("list_conversations")).error_code is None
        served.tokens.revoke("a")
        assert (await asker.call("list_conversations")).status == 401
        asker.token = served.create_token("a", "ada")
        assert (await asker.call("list_conversations")).error_code is None


async def test_a_damaged_file_closes_a_running_server_with_one_line_of_log(tmp_path: Path) -> None:
    async with serving(tmp_path) as served, httpx2.AsyncClient() as http:
        asker = Asker(http, served.urls["tools"], "modern", served.create_token("a", "ada"))
        path = tmp_path / "tokens.sqlite3"
        whole = back_up(path)
        await put_in_place(tmp_path, b"x" * 9_000, path)
        for _ in range(20):
            answer = await asker.call("current_time")
            assert answer.status == 503
            assert "log" in answer.text
        await put_in_place(tmp_path, whole, path)
        assert (await asker.call("current_time")).error_code is None
    errors = [line for line in served.log.splitlines() if " ERROR " in line]
    assert len(errors) == 1
    assert "nobody gets in" in errors[0]
    assert "tokens.sqlite3: is damaged" in errors[0]


async def test_a_back_up_brought_in_while_a_server_runs_is_not_thrown_away(tmp_path: Path) -> None:
    async with serving(tmp_path) as served, httpx2.AsyncClient() as http:
        asker = Asker(http, served.urls["tools"], "modern", served.create_token("a", "ada"))
        assert (await asker.call("current_time")).error_code is None
        path = tmp_path / "tokens.sqlite3"
        whole = back_up(path)
        path.rename(tmp_path / "moved")
        for _ in range(3):
            assert (await asker.call("current_time")).status == 503
        path.write_bytes(whole)
        assert (await asker.call("current_time")).error_code is None
    assert [token.name for token in TokenFile(path).load()] == ["a"]
    [error] = [line for line in served.log.splitlines() if " ERROR " in line]
    assert "tokens.sqlite3: can't be used: it has gone" in error


async def read_to_the_end(response: httpx2.Response) -> str:
    return "".join([text async for text in response.aiter_text()])


async def test_a_standing_stream_ends_when_its_token_is_revoked(tmp_path: Path) -> None:
    async with serving(tmp_path) as served, httpx2.AsyncClient(timeout=30) as http:
        kept, lost = await open_sessions(served, http)
        async with stream(http, kept) as staying, stream(http, lost) as ending:
            assert (staying.status_code, ending.status_code) == (200, 200)
            served.tokens.revoke("lost")
            with anyio.fail_after(10):  # less than the time to the next sign of life
                assert "data: {" not in await read_to_the_end(ending)
            assert (await lost.ask("tools/list")).status == 401
            assert (await kept.ask("tools/list")).error_code is None
            assert not staying.is_closed
    assert "Traceback" not in served.log


async def open_sessions(served: Serving, http: httpx2.AsyncClient) -> list[Asker]:
    url = served.urls["conversations"]
    askers = [
        Asker(http, url, "older", served.create_token(name, "ada")) for name in ("kept", "lost")
    ]
    for asker in askers:
        await asker.begin()
    return askers


def stream(http: httpx2.AsyncClient, asker: Asker) -> Any:
    return http.stream("GET", asker.url, headers=asker.headers())
