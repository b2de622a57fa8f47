"""Time zones by their cities: a small model knows those better than the regions they belong to."""

import zoneinfo
from collections.abc import Mapping
from functools import cache
from typing import Any

from pydantic import JsonValue


def settle_zones(
    arguments: Mapping[str, JsonValue], schema: Mapping[str, Any]
) -> dict[str, JsonValue]:
    """The arguments, with `Europe/Reykjavik` as `Atlantic/Reykjavik` where `schema` wants a zone.

    It reads from disk: call it in a thread.
    """
    properties = schema.get("properties", {})
    return {
        name: _settle(value)
        if isinstance(value, str) and "IANA" in str(properties.get(name, ""))
        else value
        for name, value in arguments.items()
    }


def _settle(zone: str) -> str:
    if zone in zoneinfo.available_timezones():
        return zone
    return _by_city().get(_to_city(zone), zone)


@cache
def _by_city() -> Mapping[str, str]:
    """Of several zones of one city, which are one by other names, the shortest."""
    zones = sorted(zoneinfo.available_timezones(), key=lambda zone: (-len(zone), zone))
    return {_to_city(zone): zone for zone in zones if "/" in zone}


def _to_city(zone: str) -> str:
    return zone.rpartition("/")[2].strip().replace(" ", "_").casefold()
