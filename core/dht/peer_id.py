"""Ids of nodes, and the XOR metric. An id is the hash of an address, so nobody chooses where they stand."""

from __future__ import annotations

from hashlib import blake2b
from typing import Final

from .address import Address, encode_address

ID_BYTES: Final = 32
ID_BITS: Final = 8 * ID_BYTES


def peer_id(address: Address) -> bytes:
    """BLAKE2b-256 of the six compact bytes (dht-rpc 6.27.0 `lib/peer.js` `id`)."""
    return blake2b(encode_address(address), digest_size=ID_BYTES).digest()


def id_of_compact(compact: bytes) -> bytes:
    """The same for an address that is already encoded."""
    return blake2b(compact, digest_size=ID_BYTES).digest()


def distance(a: bytes, b: bytes) -> int:
    return int.from_bytes(a, "big") ^ int.from_bytes(b, "big")
