"""Bodies of PEER_HANDSHAKE, and the payload inside the two Noise messages it carries.

    body    = flags uint (1 peer address, 2 relay address), mode uint, noise buffer, [address] [address]
    payload = version uint (1), flags uint, error uint, firewall uint,
              [1 hole punch: id uint, array(relay address, peer address)] [2 array(ipv4)] [4 array(ipv6)]
              [8 udx: version 1, features, id, seq] [16 secret stream: version 1]
              [32 relay through: version 1, flags 0, public key 32, token 32] [64 relay addresses: array(ipv4)]

Source: hyperdht 6.34.0 `lib/messages.js`, checked against `tests/vectors/network/05-hyperdht.json`. Decoders raise
`DecodingError`; trailing bytes are ignored.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from ..encoding.compact import decode_buffer, decode_fixed, decode_uint, encode_buffer, encode_uint
from ..errors import DecodingError
from .address import (
    ADDRESS_BYTES,
    Address,
    decode_address,
    decode_addresses,
    encode_address,
    encode_addresses,
)

PAYLOAD_VERSION: Final = 1
_IPV6_BYTES: Final = 18

_PEER_ADDRESS: Final = 1
_RELAY_ADDRESS: Final = 2

_HOLEPUNCH: Final = 1
_ADDRESSES4: Final = 2
_ADDRESSES6: Final = 4
_UDX: Final = 8
_SECRET_STREAM: Final = 16
_RELAY_THROUGH: Final = 32
_RELAY_ADDRESSES: Final = 64
_REUSABLE_SOCKET: Final = 1


class Mode(IntEnum):
    """Who sent a body, and so what is to be done with it. Unknown numbers are ignored, as in the reference."""

    FROM_CLIENT = 0
    FROM_SERVER = 1
    FROM_RELAY = 2
    FROM_SECOND_RELAY = 3
    REPLY = 4


@dataclass(frozen=True, slots=True)
class HandshakeBody:
    mode: int
    noise: bytes
    peer_address: Address | None = None
    relay_address: Address | None = None


@dataclass(frozen=True, slots=True)
class RelayInfo:
    """A node that keeps a server's announcement, and the server's address as that node sees it."""

    relay_address: Address
    peer_address: Address


@dataclass(frozen=True, slots=True)
class HolepunchInfo:
    """`id` is what the server wants to be called in PEER_HOLEPUNCH."""

    id: int
    relays: tuple[RelayInfo, ...]


@dataclass(frozen=True, slots=True)
class UdxInfo:
    """The sender's end of the stream to be."""

    id: int
    seq: int = 0
    reusable_socket: bool = False


@dataclass(frozen=True, slots=True)
class RelayThrough:
    """A blind relay to meet at, and the token to be paired by (32 bytes each)."""

    public_key: bytes
    token: bytes


@dataclass(frozen=True, slots=True)
class NoisePayload:
    """What a peer tells of itself under encryption. Of another `version` than 1 nothing else was read."""

    error: int = 0
    firewall: int = 0
    holepunch: HolepunchInfo | None = None
    addresses4: tuple[Address, ...] = ()
    addresses6: tuple[bytes, ...] = ()
    udx: UdxInfo | None = None
    secret_stream: bool = False
    relay_through: RelayThrough | None = None
    relay_addresses: tuple[Address, ...] | None = None
    version: int = PAYLOAD_VERSION


def encode_handshake(body: HandshakeBody) -> bytes:
    flags = (_PEER_ADDRESS if body.peer_address else 0) | (_RELAY_ADDRESS if body.relay_address else 0)
    return b"".join(
        (
            encode_uint(flags),
            encode_uint(body.mode),
            encode_buffer(body.noise),
            encode_address(body.peer_address) if body.peer_address else b"",
            encode_address(body.relay_address) if body.relay_address else b"",
        )
    )


def decode_handshake(data: bytes) -> HandshakeBody:
    flags, position = decode_uint(data, 0)
    mode, position = decode_uint(data, position)
    noise, position = decode_buffer(data, position)
    peer_address = relay_address = None
    if flags & _PEER_ADDRESS:
        peer_address, position = decode_address(data, position)
    if flags & _RELAY_ADDRESS:
        relay_address, position = decode_address(data, position)
    return HandshakeBody(mode, noise, peer_address, relay_address)


def encode_payload(payload: NoisePayload) -> bytes:
    punch, udx, relay = payload.holepunch, payload.udx, payload.relay_through
    relay_addresses = payload.relay_addresses
    flags = (
        (_HOLEPUNCH if punch is not None else 0)
        | (_ADDRESSES4 if payload.addresses4 else 0)
        | (_ADDRESSES6 if payload.addresses6 else 0)
        | (_UDX if udx is not None else 0)
        | (_SECRET_STREAM if payload.secret_stream else 0)
        | (_RELAY_THROUGH if relay is not None else 0)
        | (_RELAY_ADDRESSES if relay_addresses is not None else 0)
    )
    parts = [
        bytes((PAYLOAD_VERSION,)),
        encode_uint(flags),
        encode_uint(payload.error),
        encode_uint(payload.firewall),
    ]
    if punch is not None:
        parts += [encode_uint(punch.id), encode_uint(len(punch.relays))]
        for entry in punch.relays:
            parts += [encode_address(entry.relay_address), encode_address(entry.peer_address)]
    if payload.addresses4:
        parts.append(encode_addresses(list(payload.addresses4)))
    if payload.addresses6:
        parts += [encode_uint(len(payload.addresses6)), *payload.addresses6]
    if udx is not None:
        features = _REUSABLE_SOCKET if udx.reusable_socket else 0
        parts += [b"\x01", encode_uint(features), encode_uint(udx.id), encode_uint(udx.seq)]
    if payload.secret_stream:
        parts.append(b"\x01")
    if relay is not None:
        parts += [b"\x01\x00", relay.public_key, relay.token]
    if relay_addresses is not None:
        parts.append(encode_addresses(list(relay_addresses)))
    return b"".join(parts)


def decode_payload(data: bytes) -> NoisePayload:
    version, position = decode_uint(data, 0)
    if version != PAYLOAD_VERSION:
        return NoisePayload(version=version)
    flags, position = decode_uint(data, position)
    error, position = decode_uint(data, position)
    firewall, position = decode_uint(data, position)
    punch = udx = relay = None
    addresses4: list[Address] = []
    addresses6: list[bytes] = []
    relay_addresses: tuple[Address, ...] | None = None
    if flags & _HOLEPUNCH:
        punch, position = _decode_holepunch(data, position)
    if flags & _ADDRESSES4:
        addresses4, position = decode_addresses(data, position)
    if flags & _ADDRESSES6:
        addresses6, position = _decode_ipv6(data, position)
    if flags & _UDX:
        udx, position = _decode_udx(data, position)
    if flags & _SECRET_STREAM:
        _, position = decode_uint(data, position)
    if flags & _RELAY_THROUGH:
        relay, position = _decode_relay_through(data, position)
    if flags & _RELAY_ADDRESSES:
        listed, position = decode_addresses(data, position)
        relay_addresses = tuple(listed)
    return NoisePayload(
        error,
        firewall,
        punch,
        tuple(addresses4),
        tuple(addresses6),
        udx,
        flags & _SECRET_STREAM != 0,
        relay,
        relay_addresses,
    )


def _decode_holepunch(data: bytes, position: int) -> tuple[HolepunchInfo, int]:
    id, position = decode_uint(data, position)
    count, position = decode_uint(data, position)
    if count * 2 * ADDRESS_BYTES > len(data) - position:
        raise DecodingError("the message ends inside an array of relays")
    relays: list[RelayInfo] = []
    for _ in range(count):
        relay_address, position = decode_address(data, position)
        peer_address, position = decode_address(data, position)
        relays.append(RelayInfo(relay_address, peer_address))
    return HolepunchInfo(id, tuple(relays)), position


def _decode_ipv6(data: bytes, position: int) -> tuple[list[bytes], int]:
    """Nobody fills them today: kept as they came, 18 bytes each."""
    count, position = decode_uint(data, position)
    end = position + count * _IPV6_BYTES
    if end > len(data):
        raise DecodingError("the message ends inside an array of addresses")
    return [data[at : at + _IPV6_BYTES] for at in range(position, end, _IPV6_BYTES)], end


def _decode_udx(data: bytes, position: int) -> tuple[UdxInfo, int]:
    _, position = decode_uint(data, position)
    features, position = decode_uint(data, position)
    id, position = decode_uint(data, position)
    seq, position = decode_uint(data, position)
    if id > 0xFFFFFFFF:
        raise DecodingError("a stream id has more than 32 bits")
    return UdxInfo(id, seq, features & _REUSABLE_SOCKET != 0), position


def _decode_relay_through(data: bytes, position: int) -> tuple[RelayThrough, int]:
    _, position = decode_uint(data, position)
    _, position = decode_uint(data, position)
    public_key, position = decode_fixed(data, position, 32)
    token, position = decode_fixed(data, position, 32)
    return RelayThrough(public_key, token), position
