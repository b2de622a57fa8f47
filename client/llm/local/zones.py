"""Time zones by their cities: a small model knows those better than the regions they belong to."""

import zoneinfo
from collections.abc import Mapping
from functools import cache
from typing import Any

from pydantic import JsonValue

_MORE_CITIES: Mapping[str, str] = {
    "Africa/Johannesburg": "cape_town durban pretoria",
    "Africa/Lagos": "abuja ibadan kano",
    "Africa/Cairo": "alexandria giza",
    "Africa/Casablanca": "fez marrakech marrakesh rabat tangier",
    "America/Bogota": "cali cartagena medellin medellín",
    "America/Chicago": "austin dallas houston memphis milwaukee minneapolis nashville new_orleans "
    "san_antonio st_louis",
    "America/Denver": "albuquerque salt_lake_city",
    "America/Guayaquil": "quito",
    "America/Los_Angeles": "las_vegas portland sacramento san_diego san_francisco san_jose seattle",
    "America/Mexico_City": "acapulco guadalajara puebla",
    "America/New_York": "atlanta baltimore boston charlotte cleveland miami orlando philadelphia "
    "pittsburgh tampa washington washington_dc",
    "America/Phoenix": "tucson",
    "America/Sao_Paulo": "belo_horizonte brasilia brasília curitiba porto_alegre rio "
    "rio_de_janeiro são_paulo",
    "America/Toronto": "ottawa quebec québec",
    "America/Edmonton": "calgary",
    "Asia/Dubai": "abu_dhabi sharjah",
    "Asia/Ho_Chi_Minh": "da_nang hanoi",
    "Asia/Jakarta": "bandung surabaya",
    "Asia/Jerusalem": "haifa",
    "Asia/Karachi": "islamabad lahore rawalpindi",
    "Asia/Kolkata": "ahmedabad bangalore bengaluru chennai delhi goa hyderabad mumbai new_delhi "
    "pune",
    "Asia/Makassar": "bali denpasar",
    "Asia/Manila": "cebu davao",
    "Asia/Qatar": "doha",
    "Asia/Riyadh": "jeddah mecca medina",
    "Asia/Seoul": "busan incheon",
    "Asia/Shanghai": "beijing chengdu guangzhou nanjing shenzhen tianjin wuhan",
    "Asia/Tokyo": "fukuoka kobe kyoto nagoya osaka sapporo yokohama",
    "Australia/Brisbane": "gold_coast",
    "Europe/Amsterdam": "eindhoven rotterdam the_hague utrecht",
    "Europe/Athens": "thessaloniki",
    "Europe/Berlin": "bremen cologne dresden düsseldorf frankfurt hamburg hannover köln leipzig "
    "munich münchen nuremberg nürnberg stuttgart",
    "Europe/Brussels": "antwerp bruges ghent",
    "Europe/Copenhagen": "aarhus",
    "Europe/Istanbul": "ankara antalya izmir",
    "Europe/Lisbon": "porto",
    "Europe/London": "birmingham bristol cardiff edinburgh glasgow leeds liverpool manchester",
    "Europe/Madrid": "barcelona bilbao málaga malaga sevilla seville valencia",
    "Europe/Moscow": "saint_petersburg st_petersburg",
    "Europe/Oslo": "bergen trondheim",
    "Europe/Paris": "bordeaux lille lyon marseille nantes nice strasbourg toulouse",
    "Europe/Rome": "bologna florence genoa milan naples turin venice",
    "Europe/Stockholm": "gothenburg malmö",
    "Europe/Vienna": "graz innsbruck linz salzburg wien",
    "Europe/Warsaw": "gdansk krakow kraków poznan wroclaw",
    "Europe/Zurich": "basel bern geneva genève lausanne zürich",
    "Pacific/Auckland": "christchurch hamilton queenstown wellington",
}
"""Large cities after which no zone is named."""


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
    more = {city: zone for zone, cities in _MORE_CITIES.items() for city in cities.split()}
    return more | {_to_city(zone): zone for zone in zones if "/" in zone}


def _to_city(zone: str) -> str:
    return zone.rpartition("/")[2].strip().replace(" ", "_").casefold()
