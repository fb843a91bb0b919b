"""The two datagrams of dht-rpc: layouts only, no state.

Source: dht-rpc 6.27.0 `lib/io.js` (`Request.decode`, `_encodeRequest`, `_sendReply`, `decodeReply`), checked against
`tests/vectors/network/04-dht-rpc.json`. Decoders raise `DecodingError`; trailing bytes are ignored, as the reference
ignores them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from struct import Struct
from typing import Final

from ..encoding.compact import decode_buffer, decode_fixed, decode_uint, encode_buffer, encode_uint
from ..errors import DecodingError
from .address import (
    Address,
    decode_address,
    decode_compact_addresses,
    encode_address,
    expand_addresses,
)

# Low nibble: protocol version 3. High nibble: kind.
REQUEST: Final = 0x03
RESPONSE: Final = 0x13

_ID: Final = 1
_TOKEN: Final = 2
_INTERNAL: Final = 4  # in a request
_CLOSER_NODES: Final = 4  # in a response
_TARGET: Final = 8  # in a request
_ERROR: Final = 8  # in a response
_VALUE: Final = 16

_HEAD: Final = Struct("<BBH")


@dataclass(slots=True)
class RequestMessage:
    tid: int
    to: Address
    id: bytes | None
    token: bytes | None
    internal: bool
    command: int
    target: bytes | None
    value: bytes | None


@dataclass(slots=True)
class ResponseMessage:
    """`compact_closer_nodes`: six bytes each, because most are never looked at."""

    tid: int
    to: Address
    id: bytes | None
    token: bytes | None
    compact_closer_nodes: bytes
    error: int
    value: bytes | None

    @property
    def closer_nodes(self) -> list[Address]:
        return expand_addresses(self.compact_closer_nodes)


def encode_request(
    tid: int,
    to: Address,
    command: int,
    *,
    internal: bool = False,
    id: bytes | None = None,
    token: bytes | None = None,
    target: bytes | None = None,
    value: bytes | None = None,
) -> bytes:
    """`id`, `token` and `target` have 32 bytes; an empty `value` is written as one, None leaves the field out."""
    flags = (
        (_ID if id is not None else 0)
        | (_TOKEN if token is not None else 0)
        | (_INTERNAL if internal else 0)
        | (_TARGET if target is not None else 0)
        | (_VALUE if value is not None else 0)
    )
    return b"".join(
        (
            _HEAD.pack(REQUEST, flags, tid),
            encode_address(to),
            id or b"",
            token or b"",
            encode_uint(command),
            target or b"",
            b"" if value is None else encode_buffer(value),
        )
    )


def decode_request(data: bytes) -> RequestMessage:
    flags, tid, position = _decode_head(data)
    to, position = decode_address(data, position)
    id = token = target = value = None
    if flags & _ID:
        id, position = decode_fixed(data, position, 32)
    if flags & _TOKEN:
        token, position = decode_fixed(data, position, 32)
    command, position = decode_uint(data, position)
    if flags & _TARGET:
        target, position = decode_fixed(data, position, 32)
    if flags & _VALUE:
        value, position = decode_buffer(data, position)
    return RequestMessage(tid, to, id, token, flags & _INTERNAL != 0, command, target, value)


def encode_response(
    tid: int,
    to: Address,
    *,
    id: bytes | None = None,
    token: bytes | None = None,
    closer_nodes: Sequence[bytes] = (),
    error: int = 0,
    value: bytes | None = None,
) -> bytes:
    """`closer_nodes` are addresses already in their six bytes (a routing table keeps them so)."""
    flags = (
        (_ID if id is not None else 0)
        | (_TOKEN if token is not None else 0)
        | (_CLOSER_NODES if closer_nodes else 0)
        | (_ERROR if error else 0)
        | (_VALUE if value is not None else 0)
    )
    return b"".join(
        (
            _HEAD.pack(RESPONSE, flags, tid),
            encode_address(to),
            id or b"",
            token or b"",
            encode_uint(len(closer_nodes)) + b"".join(closer_nodes) if closer_nodes else b"",
            encode_uint(error) if error else b"",
            b"" if value is None else encode_buffer(value),
        )
    )


def decode_response(data: bytes) -> ResponseMessage:
    flags, tid, position = _decode_head(data)
    to, position = decode_address(data, position)
    id = token = value = None
    closer_nodes = b""
    error = 0
    if flags & _ID:
        id, position = decode_fixed(data, position, 32)
    if flags & _TOKEN:
        token, position = decode_fixed(data, position, 32)
    if flags & _CLOSER_NODES:
        closer_nodes, position = decode_compact_addresses(data, position)
    if flags & _ERROR:
        error, position = decode_uint(data, position)
    if flags & _VALUE:
        value, position = decode_buffer(data, position)
    return ResponseMessage(tid, to, id, token, closer_nodes, error, value)


def _decode_head(data: bytes) -> tuple[int, int, int]:
    """Flags, transaction id, position. The flags are a uint: every known one fits its single-byte form."""
    flags, position = decode_uint(data, 1)
    if position + 2 > len(data):
        raise DecodingError("the message ends inside its transaction id")
    return flags, data[position] | data[position + 1] << 8, position + 2
