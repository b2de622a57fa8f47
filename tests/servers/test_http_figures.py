"""What the servers tell of themselves over HTTP: log, readiness, figures."""

import re
from pathlib import Path
from typing import Any

import httpx2
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.servers.http_by_hand import (
    SECRET,
    asking,
    exchange,
    head,
)
from tests.servers.http_serving import (
    serving,
)


async def test_the_access_log_tells_who_and_how_it_went_but_nothing_of_what(
    tmp_path: Path,
) -> None:
    async with serving(tmp_path) as served, asking(served, "conversations", "older") as asker:
        message = {"role": "user", "content": SECRET, "message_id": SECRET}
        for tool, arguments in (
            ("append_messages", {"conversation_id": SECRET, "messages": [message]}),
            ("load_conversation", {"conversation_id": SECRET}),
            ("load_conversation", {"conversation_id": SECRET, "limit": SECRET}),
            (SECRET, {}),
        ):
            await asker.call(tool, arguments)
        await asker.ask("resources/read", {"uri": f"conversation://{SECRET}"})
        await asker.http.get(f"{served.origin}/{SECRET}?q={SECRET}")
        await asker.http.get(f"{served.origin}/healthz?q={SECRET}")
        headers = {"user-agent": SECRET, "referer": SECRET, "x-forwarded-for": f"{SECRET} fe80::1"}
        await asker.http.post(f"{served.origin}/tools/mcp", headers=headers)
        await asker.http.delete(asker.url, headers=asker.headers())
        await exchange(served.port, head(SECRET, "/healthz", served.port))
        session, token = asker.session or "", asker.token or ""
    for hidden in (SECRET, session, token.split("_", 2)[2]):
        assert hidden not in served.log
    line = re.compile(
        r"\S+ \S+ INFO agentic\.access: (127\.0\.0\.1|unknown) (laptop|-) "
        r"(GET|POST|DELETE|other) (/conversations/mcp|/tools/mcp|/healthz|other) \d{3} \d+\.\d ms"
    )
    lines = [line for line in served.log.splitlines() if " listens at " not in line]
    assert len(lines) >= 8
    assert [text for text in lines if not line.fullmatch(text)] == []


async def wait_for_status(http: httpx2.AsyncClient, url: str, status: int) -> dict[str, Any]:
    while (answer := await http.get(url)).status_code != status:
        pass  # it looks once a second
    return answer.json()


@pytest.mark.slow
async def test_readiness_names_the_server_whose_store_is_away(tmp_path: Path) -> None:
    async with serving(tmp_path) as served, httpx2.AsyncClient() as http:
        ready, away = f"{served.origin}/readyz", tmp_path / "away"
        assert (await http.get(ready)).json() == {
            "status": "ready",
            "tokens": "ready",
            "servers": {"conversations": "ready", "tools": "ready"},
        }
        served.store.rename(away)
        answer = await wait_for_status(http, ready, 503)
        assert answer["status"] == "not ready"
        assert answer["servers"]["tools"] == "ready"
        assert answer["servers"]["conversations"].startswith("failed; the log has the reason")
        assert (await http.get(f"{served.origin}/healthz")).json() == {"status": "alive"}
        served.store.mkdir()  # another directory is not the one that was opened
        for _ in range(3):
            assert (await http.get(ready)).status_code == 503
        served.store.rmdir()
        away.rename(served.store)
        await wait_for_status(http, ready, 200)
    assert answer["servers"]["conversations"].split()[-1] in served.log


@pytest.mark.slow
async def test_readiness_says_that_tokens_cannot_be_checked(tmp_path: Path) -> None:
    async with serving(tmp_path) as served, httpx2.AsyncClient() as http:
        ready, file = f"{served.origin}/readyz", tmp_path / "tokens.sqlite3"
        file.rename(tmp_path / "away")
        answer = await wait_for_status(http, ready, 503)
        (tmp_path / "away").rename(file)
        mended = await wait_for_status(http, ready, 200)
    assert answer == {
        "status": "not ready",
        "tokens": "can't be checked; the server's log says why",
        "servers": {"conversations": "ready", "tools": "ready"},
    }
    assert mended["tokens"] == "ready"
    assert re.search(r"not ready: tokens: \S+tokens\.sqlite3: .*it has gone", served.log)


async def test_figures_are_for_this_machine_or_a_token_and_name_nobody(tmp_path: Path) -> None:
    async with serving(tmp_path) as served, asking(served, "conversations") as asker:
        message = {"role": "user", "content": SECRET}
        arguments = {"conversation_id": SECRET, "messages": [message]}
        assert (await asker.call("append_messages", arguments)).error_code is None
        await asker.call("load_conversation", {"conversation_id": ""})
        await asker.call(SECRET)
        await asker.ask(SECRET)
        await asker.http.get(f"{served.origin}/{SECRET}")
        figures = f"{served.origin}/metrics"
        text = (await asker.http.get(figures)).text
        families = {family.name: family for family in text_string_to_metric_families(text)}
        outcomes = {
            (sample.labels["method"], sample.labels["outcome"]): sample.value
            for sample in families["agentic_mcp_requests"].samples
            if sample.name.endswith("_total")
        }
        assert outcomes == {
            ("tools/call", "ok"): 1,
            ("tools/call", "failed"): 1,
            ("tools/call", "error"): 1,
            ("other", "error"): 1,
        }
        assert {"agentic_http_requests", "agentic_mcp_request_seconds"} <= families.keys()
        assert "process_resident_memory_bytes" in families
        for name in (SECRET, "ada", "laptop"):
            assert name not in text
        token = {"authorization": f"Bearer {asker.token}"}
        passed_on: list[dict[str, str]] = [
            {"x-forwarded-for": "127.0.0.1"},
            {"x-forwarded-for": "203.0.113.9"},
            {"forwarded": "for=127.0.0.1"},
            {"x-real-ip": "127.0.0.1"},
            {"via": "1.1 proxy"},
        ]
        for headers in passed_on:
            assert (await asker.http.get(figures, headers=headers)).status_code == 401
            wrong = {**headers, "authorization": "Bearer wrong"}
            assert (await asker.http.get(figures, headers=wrong)).status_code == 401
            assert (await asker.http.get(figures, headers={**headers, **token})).status_code == 200
