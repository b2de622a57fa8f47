"""How far a declared tool's connections may go, by what its declaration says of the host."""

import ipaddress
import socket
from enum import Enum
from ipaddress import IPv4Address, IPv6Address
from urllib.parse import urlsplit

Address = IPv4Address | IPv6Address

_PRIVATE_ENDINGS = (".localhost", ".local", ".internal", ".lan", ".home.arpa")


class Reach(Enum):
    """Which addresses may be connected to."""

    PUBLIC = "public"
    PRIVATE = "private"
    """The private network, too; link-local addresses, where clouds keep credentials, are not."""
    ADDRESS = "address"
    """The one that stands in the URL, whichever it is."""


def find_reach(url: str, *, private_network: bool = False) -> Reach:
    """What a declaration with this `url` may reach.

    A private host is meant if the URL itself names it: by its address, as `localhost`, by one word
    (as Compose names its services), or below `.local`, `.internal`, `.lan` or `.home.arpa`.
    """
    host = (urlsplit(url).hostname or "").removesuffix(".")
    if parse_address(host) is not None:
        return Reach.ADDRESS
    if is_disguised(host):
        return Reach.PUBLIC
    is_named = "." not in host or host.endswith(_PRIVATE_ENDINGS)
    return Reach.PRIVATE if private_network or is_named else Reach.PUBLIC


def leads_inside(url: str, *, private_network: bool = False) -> bool:
    """Whether a tool with this `url` may connect to more than the public network."""
    address = parse_address(urlsplit(url).hostname or "")
    if address is not None:
        return not address.is_global
    return find_reach(url, private_network=private_network) is not Reach.PUBLIC


def parse_address(host: str) -> Address | None:
    """The address that a host is, in its usual form."""
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def is_disguised(host: str) -> bool:
    """Whether a host is an IPv4 address in another form, such as 0x7f.1 or 2130706433."""
    if parse_address(host) is not None:
        return False
    try:
        socket.inet_aton(host)
    except (OSError, UnicodeError):
        return False
    return True
