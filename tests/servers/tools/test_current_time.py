"""The built-in clock."""

import re
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from mcp import Client

from servers.access.principal import create_operator
from servers.tools.server import create_server
from tests.servers.tools.conftest import OpenTools, error_of, text_of


@pytest.mark.parametrize(
    ("zone", "offset"),
    [
        ("UTC", "+00:00"),
        ("Asia/Kolkata", "+05:30"),
        ("Etc/GMT+12", "-12:00"),
        ("Pacific/Kiritimati", "+14:00"),
        ("America/Argentina/Buenos_Aires", "-03:00"),
    ],
)
async def test_the_time_is_told_in_the_zone_asked_for(
    open_tools: OpenTools, zone: str, offset: str
) -> None:
    async with open_tools() as client:
        before = datetime.now(UTC).replace(microsecond=0)
        result = await client.call_tool("current_time", {"timezone": zone})
    told = result.structured_content
    assert told is not None
    moment = datetime.fromisoformat(told["iso"])
    assert before <= moment <= datetime.now(UTC)
    there = moment.astimezone(ZoneInfo(zone))
    assert told == {
        "timezone": zone,
        "iso": there.isoformat(),
        "date": there.date().isoformat(),
        "time": there.time().isoformat(),
        "weekday": ["Mon", "Tues", "Wednes", "Thurs", "Fri", "Satur", "Sun"][there.weekday()]
        + "day",
        "utc_offset": offset,
    }


async def test_without_a_zone_it_is_the_machine_s_own_or_utc(open_tools: OpenTools) -> None:
    async with open_tools() as client:
        result = await client.call_tool("current_time", {})
    told = result.structured_content
    assert told is not None
    moment = datetime.fromisoformat(told["iso"])
    assert moment.utcoffset() == datetime.now(ZoneInfo(told["timezone"])).utcoffset()
    assert abs(datetime.now(UTC) - moment) < timedelta(minutes=1)


@pytest.mark.parametrize("told", ["Asia/Seoul", ":Asia/Seoul"])
async def test_the_machines_zone_is_what_the_environment_says(told: str) -> None:
    server = create_server({}, create_operator("ada"), local_zone=told)
    async with Client(server) as client:
        here = await client.call_tool("current_time", {})
        there = await client.call_tool("current_time", {"timezone": "America/New_York"})
    assert here.structured_content is not None
    assert here.structured_content["timezone"] == "Asia/Seoul"
    when = r"it is \d\d:\d\d, \w+day \d{4}-\d\d-\d\d\."
    assert re.fullmatch(rf"Here \(Asia/Seoul\) {when}", text_of(here))
    assert re.fullmatch(rf"In New York {when}", text_of(there))


@pytest.mark.parametrize(
    ("zone", "near"),
    [
        ("europe/berlin", "Europe/Berlin"),
        ("Berlin", "Europe/Berlin"),
        ("New York", "America/New_York"),
        ("Asia/Tokio", "Asia/Tokyo"),
    ],
)
async def test_an_unknown_zone_is_answered_with_near_ones(
    open_tools: OpenTools, zone: str, near: str
) -> None:
    async with open_tools() as client:
        error = error_of(await client.call_tool("current_time", {"timezone": zone}))
    assert (error["code"], error["field"]) == ("invalid", "timezone")
    assert near in error["message"]


@pytest.mark.parametrize(
    "zone",
    [
        "",
        " ",
        "../etc/passwd",
        "/etc/localtime",
        "Europe",
        "Europe/",
        "Europe/Berlin\0",
        "a" * 100_000,
        "\x1b[31mUTC",
        "🕐",
        5,
        None,
        True,
        ["UTC"],
        {"name": "UTC"},
    ],
)
async def test_what_is_no_zone_is_refused(open_tools: OpenTools, zone: object) -> None:
    async with open_tools() as client:
        error = error_of(await client.call_tool("current_time", {"timezone": zone}))
    assert (error["code"], error["field"]) == ("invalid", "timezone")
    assert len(error["message"]) < 200
    assert error["message"].isprintable()


async def test_an_argument_it_does_not_know_is_refused(open_tools: OpenTools) -> None:
    async with open_tools() as client:
        error = error_of(await client.call_tool("current_time", {"tz": "UTC"}))
    assert (error["code"], error["field"]) == ("invalid", "tz")
    assert "known: timezone" in error["message"]
