"""The IPv4 addresses of this machine's interfaces: what a peer in the same house can reach us at."""

from __future__ import annotations

import socket
import struct
from typing import Final

from ..dht.address import is_loopback

_SIOCGIFADDR: Final = 0x8915
_REQUEST: Final = struct.Struct("16s16x8x")
_ADDRESS_AT: Final = 20
_MAX_NAME_BYTES: Final = 15
MAX_ADDRESSES: Final = 8
"""What a handshake carries; a machine with more bridges than that is not reached by them."""


def interface_hosts() -> list[str]:
    """Dotted addresses, one an interface, without loopback. Empty where the system does not tell."""
    try:
        import fcntl
    except ImportError:  # not a Unix
        return _default_host()
    hosts: list[str] = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asker:
        for _, name in socket.if_nameindex():
            try:
                answer = fcntl.ioctl(asker, _SIOCGIFADDR, _REQUEST.pack(name.encode()[:_MAX_NAME_BYTES]))
            except OSError:  # it has no IPv4 address, or this is not Linux
                continue
            host = socket.inet_ntoa(answer[_ADDRESS_AT : _ADDRESS_AT + 4])
            if not is_loopback(host) and host not in hosts:
                hosts.append(host)
    return hosts[:MAX_ADDRESSES] or _default_host()


def _default_host() -> list[str]:
    """The address that would be used towards the Internet; nothing is sent to find it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asker:
        try:
            asker.connect(("192.0.2.1", 9))
        except OSError:
            return []
        host = str(asker.getsockname()[0])
    return [] if is_loopback(host) else [host]
