"""Which network an IP address belongs to, by the registries of special addresses.

Written out and not taken from `ipaddress`, whose answers differ between releases of Python:
https://www.iana.org/assignments/iana-ipv4-special-registry and iana-ipv6-special-registry.
"""

from ipaddress import IPv4Address, IPv4Network, IPv6Network
from typing import Literal

from agentic.config.reach import Address, Reach

Reached = Literal["public", "private", "link_local", "none"]
"""`none`: no single machine's address, so never one to connect to."""

_NONE = (
    IPv4Network("0.0.0.0/8"),  # "this" machine: connecting to it means loopback
    IPv4Network("224.0.0.0/4"),  # multicast
    IPv4Network("255.255.255.255/32"),
    IPv6Network("::/128"),
    IPv6Network("ff00::/8"),  # multicast
)
_LINK_LOCAL = (
    IPv4Network("169.254.0.0/16"),
    IPv6Network("fe80::/10"),
    # Where clouds keep the credentials of a machine, outside of what is link-local:
    IPv4Network("100.100.100.200/32"),  # Alibaba
    IPv4Network("168.63.129.16/32"),  # Azure
    IPv4Network("192.0.0.192/32"),  # Oracle
    IPv6Network("fd00:ec2::/32"),  # AWS
    IPv6Network("fd20:ce::/32"),  # Google
)
_PRIVATE = (
    IPv4Network("10.0.0.0/8"),
    IPv4Network("100.64.0.0/10"),  # between a carrier and its customers
    IPv4Network("127.0.0.0/8"),
    IPv4Network("172.16.0.0/12"),
    IPv4Network("192.0.0.0/24"),  # protocol assignments
    IPv4Network("192.0.2.0/24"),  # documentation
    IPv4Network("192.88.99.0/24"),  # relays of 6to4
    IPv4Network("192.168.0.0/16"),
    IPv4Network("198.18.0.0/15"),  # benchmarks
    IPv4Network("198.51.100.0/24"),  # documentation
    IPv4Network("203.0.113.0/24"),  # documentation
    IPv4Network("240.0.0.0/4"),  # reserved
    IPv6Network("2001::/23"),  # Teredo and other protocol assignments
    IPv6Network("2001:db8::/32"),  # documentation
    IPv6Network("3fff::/20"),  # documentation
)
_GLOBAL_UNICAST = IPv6Network("2000::/3")
"""Of IPv6 nothing else is public: loopback, unique local and site-local addresses lie outside."""
_WITH_IPV4_AT_END = (
    IPv6Network("::ffff:0:0/96"),  # mapped
    IPv6Network("::ffff:0:0:0/96"),  # translated (RFC 2765)
    IPv6Network("64:ff9b::/96"),  # NAT64
)
_6TO4 = IPv6Network("2002::/16")


def find_network(address: Address) -> Reached:
    """The network an address leads to; one that carries an IPv4 address leads to that."""
    carried = _find_carried(address)
    if carried is not None:
        return find_network(carried)
    if _is_in(address, _NONE):
        return "none"
    if _is_in(address, _LINK_LOCAL):
        return "link_local"
    is_private = _is_in(address, _PRIVATE) or (
        address.version == 6 and address not in _GLOBAL_UNICAST
    )
    return "private" if is_private else "public"


def may_reach(reach: Reach, network: Reached) -> bool:
    """Whether a tool with that reach may connect there."""
    match reach:
        case Reach.PUBLIC:
            return network == "public"
        case Reach.PRIVATE:
            return network in ("public", "private")
        case Reach.ADDRESS:
            return network != "none"


def _find_carried(address: Address) -> IPv4Address | None:
    if isinstance(address, IPv4Address):
        return None
    if _is_in(address, _WITH_IPV4_AT_END):
        return IPv4Address(int(address) & 0xFFFF_FFFF)
    return IPv4Address(int(address) >> 80 & 0xFFFF_FFFF) if address in _6TO4 else None


def _is_in(address: Address, networks: tuple[IPv4Network | IPv6Network, ...]) -> bool:
    return any(address in network for network in networks)
