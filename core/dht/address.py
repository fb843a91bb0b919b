"""IPv4 addresses as they travel: six bytes, and the pair a socket wants."""

from __future__ import annotations

from socket import inet_aton, inet_ntoa  # conversions of text only
from struct import Struct
from typing import Final, TypeAlias

from ..encoding.compact import decode_uint, encode_uint
from ..errors import BadArgument, DecodingError

Address: TypeAlias = tuple[str, int]
"""Dotted host and port. The DHT knows no IPv6 and no names."""

ADDRESS_BYTES: Final = 6

# Octets in network order, but the port little endian: compact-encoding 3.5.2 `ipv4Address`.
_ADDRESS: Final = Struct("<4sH")


def encode_address(address: Address) -> bytes:
    """Six bytes. Raises `BadArgument` for anything that is not a dotted IPv4 host and a 16-bit port."""
    host, port = address
    try:
        if host.count(".") == 3:  # inet_aton also reads shorter forms
            return inet_aton(host) + port.to_bytes(2, "little")
    except (OSError, OverflowError):
        pass
    raise BadArgument(f"not an IPv4 address: {host}:{port}")


def decode_address(data: bytes, position: int) -> tuple[Address, int]:
    end = position + ADDRESS_BYTES
    if end > len(data):
        raise DecodingError("the message ends inside an address")
    return (inet_ntoa(data[position : position + 4]), data[end - 2] | data[end - 1] << 8), end


def encode_addresses(addresses: list[Address]) -> bytes:
    return encode_uint(len(addresses)) + b"".join([encode_address(address) for address in addresses])


def decode_addresses(data: bytes, position: int) -> tuple[list[Address], int]:
    compact, position = decode_compact_addresses(data, position)
    return expand_addresses(compact), position


def decode_compact_addresses(data: bytes, position: int) -> tuple[bytes, int]:
    """An array of addresses, left in their six bytes each. Its length is checked against the message."""
    count, position = decode_uint(data, position)
    end = position + count * ADDRESS_BYTES
    if end > len(data):
        raise DecodingError("the message ends inside an array of addresses")
    return data[position:end], end


def expand_addresses(compact: bytes) -> list[Address]:
    return [(inet_ntoa(host), port) for host, port in _ADDRESS.iter_unpack(compact)]


def parse_address(text: str) -> Address:
    """`127.0.0.1:49737` as a pair. Raises `BadArgument`."""
    host, separator, port = text.rpartition(":")
    if not separator or not port.isdecimal() or not is_ipv4(host) or not 0 < int(port) < 65536:
        raise BadArgument(f"not an IPv4 host:port: {text}")
    return host, int(port)


def is_ipv4(host: str) -> bool:
    parts = host.split(".")
    return len(parts) == 4 and all(
        part.isdecimal() and len(part) <= 3 and part == str(int(part)) and int(part) < 256 for part in parts
    )


def is_loopback(host: str) -> bool:
    return host.startswith("127.")


def may_be_visited(address: Address, told_by: Address | None = None) -> bool:
    """Whether a datagram may go to an address somebody else named.

    Never to port 0, to "this network", to multicast or to broadcast. To this machine itself only when the one who
    named it is on this machine too: otherwise any stranger could aim our requests at services on our own loopback.
    """
    host, port = address
    if port == 0:
        return False
    first = int(host.partition(".")[0])
    if first == 0 or first >= 224:
        return False
    return first != 127 or told_by is None or is_loopback(told_by[0])
