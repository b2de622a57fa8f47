"""The tool that needs no endpoint: `current_time`."""

import difflib
import zoneinfo
from collections.abc import Mapping
from datetime import datetime
from functools import cache
from pathlib import Path

import anyio.to_thread
from mcp import types

from servers.tools.contract import OWN_WORDS_META_KEY
from servers.tools.results import ToolFailedError
from servers.tools.untrusted_text import excerpt

_MAX_NAME_CHARACTERS = 64
_LOCAL_TIME = Path("/etc/localtime")
_WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


class CurrentTime:
    """`current_time(timezone)`. `local_zone` is the machine's own, if it was told; see `TZ`."""

    definition = types.Tool(
        name="current_time",
        title="Current time",
        description="The date, time and weekday now, in any time zone. Call it whenever an answer "
        "depends on today's date or on the time.",
        input_schema={
            "type": "object",
            "properties": {
                "timezone": {
                    "type": "string",
                    "description": "IANA name such as Europe/Berlin or UTC. Absent: the zone of "
                    "the machine this runs on.",
                }
            },
            "additionalProperties": False,
        },
        output_schema={
            "type": "object",
            "properties": {
                "timezone": {"type": "string"},
                "iso": {"type": "string", "description": "RFC 3339, with the offset."},
                "date": {"type": "string"},
                "time": {"type": "string"},
                "weekday": {"type": "string", "description": "In English."},
                "utc_offset": {"type": "string", "description": "Such as +02:00."},
            },
            "required": ["timezone", "iso", "date", "time", "weekday", "utc_offset"],
        },
        annotations=types.ToolAnnotations(
            read_only_hint=True, destructive_hint=False, open_world_hint=False
        ),
        _meta={OWN_WORDS_META_KEY: True},
    )

    def __init__(self, local_zone: str | None = None) -> None:
        self._local_zone = (local_zone or "").removeprefix(":")

    async def call(
        self,
        arguments: Mapping[str, object],
        transport: object,  # noqa: ARG002 - as every tool's
        owner: str,  # noqa: ARG002 - the same
    ) -> types.CallToolResult:
        """Tell the time.

        Raises:
            ToolFailedError: An unknown argument or zone.
        """
        for name in arguments:
            if name != "timezone":
                shown = excerpt(name)
                raise ToolFailedError(
                    "invalid", f"{shown} is unknown; known: timezone", field=shown
                )
        # zones are read from files
        told = await anyio.to_thread.run_sync(self._tell_time, arguments)
        zone = told["timezone"]
        where = _name_place(zone) if "timezone" in arguments else f"Here ({zone})"
        # Short: a small model takes long for each word, and of the offset it makes a wrong time.
        text = f"{where} it is {told['time'][:5]}, {told['weekday']} {told['date']}."
        return types.CallToolResult(
            content=[types.TextContent(type="text", text=text)], structured_content=told
        )

    def _tell_time(self, arguments: Mapping[str, object]) -> dict[str, str]:
        if "timezone" in arguments:
            return _tell_time(_check_zone(arguments["timezone"]))
        return _tell_time(self._local_zone if self._local_zone in _zones() else _find_local_zone())


def _tell_time(name: str) -> dict[str, str]:
    now = datetime.now(zoneinfo.ZoneInfo(name))
    return {
        "timezone": name,
        "iso": now.isoformat(timespec="seconds"),
        "date": now.date().isoformat(),
        "time": now.strftime("%H:%M:%S"),
        "weekday": _WEEKDAYS[now.weekday()],
        "utc_offset": now.isoformat()[-6:],
    }


@cache
def _zones() -> frozenset[str]:
    return frozenset(zoneinfo.available_timezones())


def _find_local_zone() -> str:
    """This machine's zone where its name can be known, else UTC."""
    name = str(_LOCAL_TIME.resolve()).partition("zoneinfo/")[2]
    return name if name in _zones() else "UTC"


def _name_place(zone: str) -> str:
    area, _, place = zone.rpartition("/")
    return f"In {place.replace('_', ' ')}" if area not in ("", "Etc") else f"In {zone}"


def _check_zone(timezone: object) -> str:
    if isinstance(timezone, str) and timezone in _zones():
        return timezone
    expected = "expected an IANA name such as Europe/Berlin or UTC"
    if not isinstance(timezone, str) or not 1 <= len(timezone) <= _MAX_NAME_CHARACTERS:
        raise ToolFailedError("invalid", f"timezone: {expected}", field="timezone")
    raise ToolFailedError(
        "invalid",
        f"timezone: {excerpt(timezone)} is unknown; {_suggest(timezone) or expected}",
        field="timezone",
    )


def _suggest(timezone: str) -> str | None:
    by_lower = {zone.lower(): zone for zone in _zones()}
    wanted = timezone.strip().lower().replace(" ", "_")
    near = difflib.get_close_matches(wanted, sorted(by_lower), n=3)
    return f"did you mean {', '.join(by_lower[each] for each in near)}?" if near else None
