"""Bodies of PEER_HOLEPUNCH, and the sealed payload through which two peers agree on how to punch.

    body    = flags uint (1 peer address), mode uint, id uint, payload buffer, [address]
    payload = nonce 24, secretbox(plain)
    plain   = flags uint, error uint, firewall uint, round uint,
              [4 addresses: array(ipv4)] [8 remote address] [16 token 32] [32 remote token 32]

Source: hyperdht 6.34.0 `lib/messages.js`, `lib/secure-payload.js`, checked against
`tests/vectors/network/05-hyperdht.json`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from nacl import bindings
from nacl.exceptions import CryptoError

from ..crypto.hashing import hash32
from ..crypto.keys import random_bytes
from ..encoding.compact import decode_buffer, decode_fixed, decode_uint, encode_buffer, encode_uint
from ..errors import DecodingError, RemoteProtocolError
from .address import Address, decode_address, decode_addresses, encode_address, encode_addresses

NONCE_BYTES: Final = 24
_MAC_BYTES: Final = 16

_PEER_ADDRESS: Final = 1
_CONNECTED: Final = 1
_PUNCHING: Final = 2
_ADDRESSES: Final = 4
_REMOTE_ADDRESS: Final = 8
_TOKEN: Final = 16
_REMOTE_TOKEN: Final = 32


@dataclass(frozen=True, slots=True)
class HolepunchBody:
    """`id` names the server's side of this attempt; 0 in what comes from the server."""

    mode: int
    id: int
    payload: bytes
    peer_address: Address | None = None


@dataclass(frozen=True, slots=True)
class HolepunchPayload:
    """One side's state in one round. `token` is to be echoed as `remote_token`, which proves an address."""

    error: int = 0
    firewall: int = 0
    round: int = 0
    connected: bool = False
    punching: bool = False
    addresses: tuple[Address, ...] | None = None
    remote_address: Address | None = None
    token: bytes | None = None
    remote_token: bytes | None = None


def encode_holepunch(body: HolepunchBody) -> bytes:
    return b"".join(
        (
            encode_uint(_PEER_ADDRESS if body.peer_address else 0),
            encode_uint(body.mode),
            encode_uint(body.id),
            encode_buffer(body.payload),
            encode_address(body.peer_address) if body.peer_address else b"",
        )
    )


def decode_holepunch(data: bytes) -> HolepunchBody:
    flags, position = decode_uint(data, 0)
    mode, position = decode_uint(data, position)
    id, position = decode_uint(data, position)
    payload, position = decode_buffer(data, position)
    peer_address = decode_address(data, position)[0] if flags & _PEER_ADDRESS else None
    return HolepunchBody(mode, id, payload, peer_address)


def encode_holepunch_payload(payload: HolepunchPayload) -> bytes:
    flags = (
        (_CONNECTED if payload.connected else 0)
        | (_PUNCHING if payload.punching else 0)
        | (_ADDRESSES if payload.addresses is not None else 0)
        | (_REMOTE_ADDRESS if payload.remote_address is not None else 0)
        | (_TOKEN if payload.token is not None else 0)
        | (_REMOTE_TOKEN if payload.remote_token is not None else 0)
    )
    return b"".join(
        (
            encode_uint(flags),
            encode_uint(payload.error),
            encode_uint(payload.firewall),
            encode_uint(payload.round),
            encode_addresses(list(payload.addresses)) if payload.addresses is not None else b"",
            encode_address(payload.remote_address) if payload.remote_address is not None else b"",
            payload.token or b"",
            payload.remote_token or b"",
        )
    )


def decode_holepunch_payload(data: bytes) -> HolepunchPayload:
    flags, position = decode_uint(data, 0)
    error, position = decode_uint(data, position)
    firewall, position = decode_uint(data, position)
    round, position = decode_uint(data, position)
    addresses: tuple[Address, ...] | None = None
    remote_address = token = remote_token = None
    if flags & _ADDRESSES:
        listed, position = decode_addresses(data, position)
        addresses = tuple(listed)
    if flags & _REMOTE_ADDRESS:
        remote_address, position = decode_address(data, position)
    if flags & _TOKEN:
        token, position = decode_fixed(data, position, 32)
    if flags & _REMOTE_TOKEN:
        remote_token, position = decode_fixed(data, position, 32)
    return HolepunchPayload(
        error,
        firewall,
        round,
        flags & _CONNECTED != 0,
        flags & _PUNCHING != 0,
        addresses,
        remote_address,
        token,
        remote_token,
    )


class PayloadBox:
    """Seals and opens the payloads of one attempt, and makes the tokens of our side of it."""

    __slots__ = ("_local_secret", "_secret")

    def __init__(self, secret: bytes, local_secret: bytes | None = None) -> None:
        self._secret = secret
        self._local_secret = local_secret or random_bytes(32)

    def seal(self, payload: HolepunchPayload, nonce: bytes | None = None) -> bytes:
        nonce = nonce or random_bytes(NONCE_BYTES)
        return nonce + bindings.crypto_secretbox(encode_holepunch_payload(payload), nonce, self._secret)

    def open(self, box: bytes) -> HolepunchPayload:
        """Raises `RemoteProtocolError` for what was not sealed by the other side."""
        if len(box) <= NONCE_BYTES + _MAC_BYTES:
            raise DecodingError("a hole-punch payload is shorter than its seal")
        try:
            plain = bindings.crypto_secretbox_open(box[NONCE_BYTES:], box[:NONCE_BYTES], self._secret)
        except CryptoError as error:
            raise RemoteProtocolError("a hole-punch payload does not authenticate") from error
        return decode_holepunch_payload(plain)

    def token(self, host: str) -> bytes:
        """Whoever sends this back has received something at `host` (32 bytes; only we can check it)."""
        return hash32(host.encode("ascii"), key=self._local_secret)
