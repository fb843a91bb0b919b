"""Kinds of IPv4 networks, and which of a peer's own addresses we may share with it.

Classes as in the `bogon` package that hyperdht 6.34.0 uses; matching as in its `lib/holepuncher.js`.
"""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network
from typing import Final

from .address import Address

_PRIVATE: Final = tuple(
    IPv4Network(text)
    for text in (
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.168.0.0/16",
    )
)
_RESERVED: Final = tuple(
    IPv4Network(text)
    for text in (
        "0.0.0.0/8",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",
        "240.0.0.0/4",
    )
)


def is_private(host: str) -> bool:
    address = IPv4Address(host)
    return any(address in network for network in _PRIVATE)


def is_reserved(host: str) -> bool:
    address = IPv4Address(host)
    return any(address in network for network in _RESERVED)


def is_bogon(host: str) -> bool:
    """Private or reserved: nothing that can be reached over the Internet."""
    return is_private(host) or is_reserved(host)


def match_address(own: Sequence[Address], remote: Sequence[Address]) -> Address | None:
    """The remote address that shares the most leading octets with one of ours; None when none shares the first."""
    best: Address | None = None
    most = 0
    for host, _ in own:
        for candidate in remote:
            shared = _shared_octets(host, candidate[0])
            if shared > most:
                best, most = candidate, shared
    return best


def _shared_octets(a: str, b: str) -> int:
    """0 to 3: more than a network of 256 hosts means nothing."""
    shared = 0
    for x, y in zip(a.split(".")[:3], b.split(".")[:3], strict=True):
        if x != y:
            break
        shared += 1
    return shared
