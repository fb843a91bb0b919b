"""What a storing node keeps and hands out: announcements of peers, signed and unsigned values.

    peer          = public key 32, array(address)
    announce      = flags uint (1 peer, 2 refresh, 4 signature, 8 bump), [peer] [refresh 32] [signature 64] [bump uint]
    lookup reply  = count uint, count peers back to back, bump uint
    mutable put   = public key 32, seq uint, value buffer, signature 64
    mutable value = seq uint, value buffer, signature 64

Source: hyperdht 6.34.0 `lib/messages.js`, checked against `tests/vectors/network/05-hyperdht.json`. Decoders raise
`DecodingError`; trailing bytes are ignored.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from ..encoding.compact import decode_buffer, decode_fixed, decode_uint, encode_buffer, encode_uint
from ..errors import DecodingError
from ..limits import MAX_LOOKUP_RECORDS
from .address import Address, decode_addresses, encode_addresses

MAX_RELAY_ADDRESSES: Final = 3
"""A storing node keeps no more of a peer (hyperdht 6.34.0 `Persistent.onannounce`)."""

_PEER: Final = 1
_REFRESH: Final = 2
_SIGNATURE: Final = 4
_BUMP: Final = 8


@dataclass(frozen=True, slots=True)
class PeerRecord:
    """Who can be connected to (32 bytes of public key), and nodes that will pass on a handshake to them."""

    public_key: bytes
    relay_addresses: tuple[Address, ...] = ()


@dataclass(frozen=True, slots=True)
class Announcement:
    """Body of ANNOUNCE and UNANNOUNCE. Without `peer`, `refresh` is the preimage that renews an earlier one.

    `bump` is a time in milliseconds since 1970 that nobody signed.
    """

    peer: PeerRecord | None
    refresh: bytes | None = None
    signature: bytes | None = None
    bump: int = 0


@dataclass(frozen=True, slots=True)
class MutableValue:
    """`signature` is over `seq` and `value`; the key is known from where the value is stored."""

    seq: int
    value: bytes
    signature: bytes


def encode_peer(peer: PeerRecord) -> bytes:
    return peer.public_key + encode_addresses(list(peer.relay_addresses))


def decode_peer(data: bytes, position: int = 0) -> tuple[PeerRecord, int]:
    public_key, position = decode_fixed(data, position, 32)
    relay_addresses, position = decode_addresses(data, position)
    return PeerRecord(public_key, tuple(relay_addresses)), position


def encode_announcement(announcement: Announcement) -> bytes:
    peer, refresh, signature = announcement.peer, announcement.refresh, announcement.signature
    flags = (
        (_PEER if peer is not None else 0)
        | (_REFRESH if refresh is not None else 0)
        | (_SIGNATURE if signature is not None else 0)
        | (_BUMP if announcement.bump else 0)
    )
    return b"".join(
        (
            encode_uint(flags),
            encode_peer(peer) if peer is not None else b"",
            refresh or b"",
            signature or b"",
            encode_uint(announcement.bump) if announcement.bump else b"",
        )
    )


def decode_announcement(data: bytes) -> Announcement:
    flags, position = decode_uint(data, 0)
    peer = refresh = signature = None
    bump = 0
    if flags & _PEER:
        peer, position = decode_peer(data, position)
    if flags & _REFRESH:
        refresh, position = decode_fixed(data, position, 32)
    if flags & _SIGNATURE:
        signature, position = decode_fixed(data, position, 64)
    if flags & _BUMP:
        bump, position = decode_uint(data, position)
    return Announcement(peer, refresh, signature, bump)


def encode_lookup_reply(peers: Sequence[bytes], bump: int = 0) -> bytes:
    """`peers` are records already encoded: a storing node keeps them so."""
    return encode_uint(len(peers)) + b"".join(peers) + encode_uint(bump)


def decode_lookup_reply(data: bytes) -> tuple[list[PeerRecord], int]:
    """The peers and the bump; older nodes leave the bump out, which means 0."""
    count, position = decode_uint(data, 0)
    if count > MAX_LOOKUP_RECORDS:
        raise DecodingError(f"a lookup reply names {count} peers; {MAX_LOOKUP_RECORDS} fit a datagram")
    peers: list[PeerRecord] = []
    for _ in range(count):
        peer, position = decode_peer(data, position)
        peers.append(peer)
    bump = decode_uint(data, position)[0] if position < len(data) else 0
    return peers, bump


def encode_mutable_value(value: MutableValue) -> bytes:
    return encode_uint(value.seq) + encode_buffer(value.value) + value.signature


def decode_mutable_value(data: bytes, position: int = 0) -> MutableValue:
    seq, position = decode_uint(data, position)
    value, position = decode_buffer(data, position)
    signature, _ = decode_fixed(data, position, 64)
    return MutableValue(seq, value, signature)


def encode_mutable_put(public_key: bytes, value: MutableValue) -> bytes:
    return public_key + encode_mutable_value(value)


def decode_mutable_put(data: bytes) -> tuple[bytes, MutableValue]:
    public_key, position = decode_fixed(data, 0, 32)
    return public_key, decode_mutable_value(data, position)
