"""Which addresses a stranger may make this program dial.

Anyone may submit a bee with the address of a peer, so an aggregator could be made to knock at the doors of
its own network. A name is resolved here, and the address that was checked is the one that is dialled, so a
name cannot point elsewhere a moment later.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket

from core.errors import BadArgument, PeerUnreachable
from feedagg.settings import Settings, split_address

_WORD = {
    "loopback": "this machine itself",
    "private": "a private network",
}


def normal(text: str) -> str:
    """`host:port` in one spelling. Raises `BadArgument` with a sentence."""
    host, port = split_address(text)
    if port == 0:
        raise BadArgument(f"{text!r} has port 0, at which nobody listens.")
    if len(host) > 253:
        raise BadArgument("The host name is too long.")
    if not all(letter.isalnum() or letter in ".-_:%" for letter in host):
        raise BadArgument(f"{text!r} is no address: a host has letters, digits, dots and hyphens.")
    return f"[{host}]:{port}" if ":" in host else f"{host.lower()}:{port}"


async def resolve(address: str, settings: Settings, *, trusted: bool) -> tuple[str, int]:
    """The IP address and port to dial for `host:port`.

    Raises `BadArgument` if a stranger may not name it, `PeerUnreachable` if the name does not resolve.
    """
    host, port = split_address(address)
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, ValueError) as error:  # ValueError: no name at all, such as one with a NUL
        raise PeerUnreachable(f"There is no host called {host}; check the address of the peer.") from error
    refusal: str | None = None
    for *_, place in found:
        refusal = None if trusted else _refusal(str(place[0]), settings)
        if refusal is None:
            return str(place[0]), port
    raise BadArgument(f"{address} is not dialled: {refusal}.")


def _refusal(text: str, settings: Settings) -> str | None:
    address = ipaddress.ip_address(text.partition("%")[0])
    if isinstance(address, ipaddress.IPv6Address):
        if address.is_site_local:  # the fc00::/7 of before 2004; `is_global` takes it for public
            return _sentence("private")
        # Spellings of an IPv4 address: mapped, and by way of a 6to4 relay.
        address = address.ipv4_mapped or address.sixtofour or address
    if settings.peer_addresses == "any" and not address.is_unspecified:
        return None
    if address.is_loopback:
        is_allowed = settings.peer_addresses == "auto" and settings.web_is_local
        return None if is_allowed else _sentence("loopback")
    if address.is_multicast or address.is_unspecified or address.is_reserved:
        return "no peer can be there"
    return None if address.is_global else _sentence("private")


def _sentence(kind: str) -> str:
    return f"it is on {_WORD[kind]}, and this aggregator lets nobody reach in there (setting peer_addresses)"


def check_name(address: str, settings: Settings) -> None:
    """Refuse at once what `resolve` would refuse later, where the host is written as an IP address.

    Raises `BadArgument`.
    """
    host, _ = split_address(address)
    written = _written_address(host)
    refusal = None if written is None else _refusal(written, settings)
    if refusal is not None:
        raise BadArgument(f"{address} is not dialled: {refusal}.")


def _written_address(host: str) -> str | None:
    """The IP address that `host` spells, in any of the ways a resolver takes; None for a name."""
    if host.rstrip(".") == "localhost" or host.rstrip(".").endswith(".localhost"):
        return "127.0.0.1"
    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        pass
    try:
        # 2130706433, 0x7f.1 and 0177.0.0.1 are 127.0.0.1 as well.
        return socket.inet_ntoa(socket.inet_aton(host))
    except (OSError, ValueError):
        return None
