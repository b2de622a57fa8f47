"""What is counted of calls, who sees it, and what becomes of it when the server ends."""

import json
import math
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mcp import Client
from mcp.shared.exceptions import MCPError
from mcp_types import (
    ReadResourceRequest,
    ReadResourceRequestParams,
    ReadResourceResult,
    TextResourceContents,
)

from agentic.config.models import Config
from servers.access.principal import Principal, create_operator
from servers.host import open_server
from servers.metrics import Metrics
from servers.records.sqlite_store import open_sqlite_records
from servers.tools.contract import USAGE_OF_ALL_URI, USAGE_URI, ToolUsage, UsageReport
from servers.tools.figures import Figures
from servers.tools.server import create_server
from servers.tools.usage import Usage, open_usage
from tests.fakes.dynamodb_server import REGION, create_table
from tests.fakes.tool_endpoint import Hanging, ToolEndpoint, answer_json, compute
from tests.servers.connections import meta_for
from tests.servers.tools.conftest import Era, declare

TODAY = datetime.now(UTC).date()
OPERATOR = create_operator("ada")
DELEGATE = create_operator("operator", delegate=True)


async def read_report(client: Client, uri: str, owner: str | None = None) -> UsageReport:
    request = ReadResourceRequest(params=ReadResourceRequestParams(uri=uri, _meta=meta_for(owner)))
    result = await client.session.send_request(request, ReadResourceResult)
    [contents] = result.contents
    return UsageReport.model_validate_json(cast("TextResourceContents", contents).text)


def by_tool(report: UsageReport) -> dict[str, ToolUsage]:
    return {each.tool: each for each in report.usage}


@asynccontextmanager
async def serving_tools(
    config: Config, principal: Principal = OPERATOR, era: Era = "auto"
) -> AsyncGenerator[Client]:
    """A client of the tools server as a configuration opens it."""
    with anyio.fail_after(30):
        async with (
            open_server("tools", config, principal) as hosted,
            Client(hosted.server, mode=era) as client,
        ):
            yield client


async def test_calls_are_counted_with_their_errors_and_what_came_in(
    endpoint: ToolEndpoint, era: Era
) -> None:
    good = endpoint.on("/good", compute(lambda _: "x" * 1_000))
    bad = endpoint.on("/bad", answer_json({"error": "no"}, status=500))
    server = create_server(declare(good={"url": good}, bad={"url": bad}), OPERATOR)
    with anyio.fail_after(20):
        async with Client(server, mode=era) as client:
            for tool in ("good", "good", "bad", "nobody"):
                await client.call_tool(tool, {})
            await client.call_tool("good", {"unknown": 1})
            report = await read_report(client, f"{USAGE_URI}?since={TODAY}")
    assert [(each.tool, each.calls) for each in report.usage] == [("good", 3), ("bad", 1)]
    told = by_tool(report)
    assert told["good"].errors == {"invalid": 1}
    assert told["bad"].errors == {"failed": 1}
    assert told["good"].bytes_in == 2 * len(json.dumps({"result": "x" * 1_000}))
    assert told["bad"].bytes_in == len(json.dumps({"error": "no"}))
    assert 0 < told["good"].p50_seconds <= told["good"].p99_seconds < 20


async def test_a_call_that_its_caller_gave_up_is_counted_as_cancelled(
    endpoint: ToolEndpoint,
) -> None:
    hanging = Hanging()
    server = create_server(declare(slow={"url": endpoint.on("/", hanging)}), OPERATOR)
    with anyio.fail_after(20):
        async with Client(server) as client:
            async with anyio.create_task_group() as calls:
                calls.start_soon(client.call_tool, "slow")
                await hanging.arrived.wait()
                calls.cancel_scope.cancel()
            await hanging.left.wait()
            while not (report := await read_report(client, USAGE_URI)).usage:
                await anyio.lowlevel.checkpoint()
    assert by_tool(report)["slow"].errors == {"cancelled": 1}


async def test_everybody_sees_their_own_and_a_delegate_all(era: Era) -> None:
    usage = Usage()
    with anyio.fail_after(20):
        async with Client(create_server({}, DELEGATE, usage=usage), mode=era) as client:
            for owner in ("ada", "bob", "bob"):
                await client.call_tool("current_time", {}, meta=meta_for(owner))
            everybody = await read_report(client, USAGE_OF_ALL_URI)
            [bob] = (await read_report(client, USAGE_URI, "bob")).usage
        assert [(each.owner, each.calls) for each in everybody.usage] == [("bob", 2), ("ada", 1)]
        assert (bob.owner, bob.calls) == ("bob", 2)
        async with Client(create_server({}, OPERATOR, usage=usage), mode=era) as client:
            [ada] = (await read_report(client, USAGE_URI)).usage
            assert (ada.owner, ada.calls) == ("ada", 1)
            for uri, owner in ((USAGE_OF_ALL_URI, None), (USAGE_URI, "bob")):
                with pytest.raises(MCPError, match="delegate"):
                    await read_report(client, uri, owner)


@pytest.mark.parametrize(
    "uri", [f"{USAGE_URI}?since=yesterday", "tool-usage://bob", f"{USAGE_URI}/../all", "file:///x"]
)
async def test_what_is_no_usage_is_not_found(uri: str) -> None:
    with anyio.fail_after(20):
        async with Client(create_server({}, OPERATOR)) as client:
            with pytest.raises(MCPError, match="not found"):
                await read_report(client, uri)
            with pytest.raises(MCPError, match="2026-13-01 is none"):
                await read_report(client, f"{USAGE_URI}?since=2026-13-01")


async def test_what_was_counted_is_there_after_a_new_start_and_adds_up(tmp_path: Path) -> None:
    config = Config(data_directory=tmp_path)
    file = tmp_path / "usage.sqlite3"
    async with serving_tools(config) as client:
        await client.list_tools()
    assert not file.exists()  # nothing to keep, nothing is made
    for _ in range(2):
        async with serving_tools(config) as one, serving_tools(config) as other:
            await one.call_tool("current_time", {})
            await other.call_tool("current_time", {"timezone": "Nowhere"})
    assert file.stat().st_mode & 0o077 == 0
    async with serving_tools(config) as client:
        [told] = (await read_report(client, USAGE_URI)).usage
    assert (told.calls, told.errors) == (4, {"invalid": 2})


async def test_figures_that_cannot_be_stored_stop_no_call_and_are_stored_later(
    tmp_path: Path,
) -> None:
    place = tmp_path / "usage.sqlite3"
    place.mkdir()

    async with open_usage(lambda: open_sqlite_records(place)) as usage:
        usage.count("ada", "search", None, 0.1, 5)
        await usage.store_now()
        usage.count("ada", "search", "timeout", 0.1, 5)
        place.rmdir()
    async with open_usage(lambda: open_sqlite_records(place)) as usage:
        found = await usage.read(TODAY)
    assert found["ada", "search"].calls == 2


async def test_only_the_days_that_were_asked_for_count(tmp_path: Path) -> None:
    days = [TODAY - timedelta(days=ago) for ago in (3, 2, 1, 0)]
    async with open_sqlite_records(tmp_path / "usage.sqlite3") as store:

        async def get_store() -> Any:
            return store

        clock = iter(days)
        usage = Usage(get_store, today=lambda: next(clock))
        for _ in days:
            usage.count("ada", "search", None, 0.1, 5)
        await usage.store_now()
        for owner in ("ada", None):
            found = [await usage.read(since, owner) for since in days]
            assert [each["ada", "search"].calls for each in found] == [4, 3, 2, 1]
        assert await usage.read(date.max, "ada") == await usage.read(days[0], "bob") == {}
        ends = [record.expires_at for record in (await store.list()).records]
        assert all(each and each.date() - TODAY >= timedelta(days=87) for each in ends)


@pytest.mark.slow
async def test_figures_are_kept_in_the_table_where_conversations_are(
    tmp_path: Path, aws: str, api: Any
) -> None:
    section = {"store": "dynamodb", "table": create_table(api), "region": REGION}
    config = Config.model_validate(
        {"data_directory": tmp_path, "conversations": {**section, "endpoint_url": aws}}
    )
    async with serving_tools(config) as client:
        await client.call_tool("current_time", {})
    async with serving_tools(config) as client:
        [told] = (await read_report(client, USAGE_URI)).usage
    assert (told.tool, told.calls) == ("current_time", 1)
    assert list(tmp_path.iterdir()) == []


async def test_metrics_tell_of_tools_and_of_nobody(tmp_path: Path) -> None:
    config, metrics = Config(data_directory=tmp_path), Metrics()
    async with open_server("tools", config, create_operator("ada-lovelace")) as hosted:
        assert hosted.collect is not None
        metrics.watch_figures(hosted.collect)
        async with Client(hosted.server) as client:
            await client.call_tool("current_time", {})
            await client.call_tool("current_time", {"timezone": "Nowhere"})
            await client.call_tool("secret-name", {})
        text = metrics.render().decode()
    assert 'agentic_tool_calls_total{outcome="ok",tool="current_time"} 1.0' in text
    assert 'agentic_tool_calls_total{outcome="invalid",tool="current_time"} 1.0' in text
    assert 'agentic_tool_call_seconds_bucket{le="+Inf",tool="current_time"} 2.0' in text
    assert 'agentic_tool_call_seconds_count{tool="current_time"} 2.0' in text
    assert 'agentic_tool_received_bytes_total{tool="current_time"} 0.0' in text
    assert "secret-name" not in text
    assert "lovelace" not in text


DURATIONS = st.lists(st.floats(0.0001, 900), min_size=1, max_size=60)


@given(DURATIONS, DURATIONS, st.sampled_from([0.5, 0.95, 0.99]))
def test_quantiles_are_right_within_five_percent_however_they_were_added(
    here: list[float], there: list[float], share: float
) -> None:
    one, other = Figures(), Figures()
    for seconds in here:
        one.count(None, seconds, 1)
    for seconds in there:
        other.count("failed", seconds, 1)
    one.add(other)
    times = sorted(here + there)
    exact = times[math.ceil(len(times) * share) - 1]
    assert one.quantile(share) == pytest.approx(exact, rel=0.05)
    assert (one.calls, one.bytes_in) == (len(times), len(times))
    assert one.errors == {"failed": len(there)}


def test_no_call_has_no_duration_and_extremes_count() -> None:
    figures = Figures()
    assert figures.quantile(0.5) == 0.0
    for seconds in (0.0, -1.0, 1e9):
        figures.count(None, seconds, 0)
    assert figures.calls == sum(figures.buckets.values()) == 3
