"""Whether the other end of a connection on this machine belongs to the user that this peer runs as.

A file of mode 0600 is closed to other users of a machine, a port on loopback is not: each of them can connect to it.
Linux tells every process who owns a TCP socket (sock_diag(7)), so the page can tell whose browser asks.
"""

from __future__ import annotations

import os
import socket
import struct
from ipaddress import ip_address

Endpoint = tuple[str, int]

_NETLINK_SOCK_DIAG = 4
_SOCK_DIAG_BY_FAMILY = 20
_HEADER = struct.Struct("=IHHII")
_ANY_STATE, _NO_COOKIE = 0xFFFF_FFFF, 0xFFFF_FFFF
_OWNER_AT = _HEADER.size + 4 + 48 + 12
"""Where uid and inode stand in the answer: behind family and state, the ends, timer and queues."""


def is_another_users(client: Endpoint, server: Endpoint) -> bool:
    """Whether the socket that is bound to `client` and connected to `server` is known to be another user's.

    root's is taken for one's own: root reads every file anyway. Whoever closed the socket already has no owner, and is
    another. False where nobody can tell: not on Linux, or when `client` is no IP address.
    """
    try:
        owner = _owner(client, server)
        if owner is None:
            # Our own end is there as long as we answer. If it is not found either, this kernel does not tell.
            return _owner(server, client) is not None
    except (OSError, ValueError, AttributeError):
        return False
    uid, inode = owner
    return not inode or uid not in (os.geteuid(), 0)


def _owner(end: Endpoint, other: Endpoint) -> tuple[int, int] | None:
    """The user and the inode of the TCP socket between these; the inode is 0 when no process holds it any more.

    Raises `OSError` and `AttributeError` where there is no netlink, `ValueError` when an end is no IP address.
    """
    packed = [ip_address(host).packed for host, _ in (end, other)]
    family = socket.AF_INET if len(packed[0]) == 4 else socket.AF_INET6
    ends = struct.pack("!HH16s16s", end[1], other[1], *packed) + struct.pack(
        "=III", 0, _NO_COOKIE, _NO_COOKIE
    )
    request = struct.pack("=BBBBI", family, socket.IPPROTO_TCP, 0, 0, _ANY_STATE) + ends
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_SOCK_DIAG) as kernel:
        kernel.settimeout(1)
        kernel.send(_HEADER.pack(_HEADER.size + len(request), _SOCK_DIAG_BY_FAMILY, 1, 1, 0) + request)
        answer = kernel.recv(4096)
    if _HEADER.unpack_from(answer)[1] != _SOCK_DIAG_BY_FAMILY:
        return None
    uid, inode = struct.unpack_from("=II", answer, _OWNER_AT)
    return uid, inode
