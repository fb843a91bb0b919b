"""Protocol Buffers as far as bees need them: LEB128 integers and length-delimited fields.

Source: protocol-buffers-encodings 1.2.0, which hyperbee 2.27.3 generates its messages with. Encoders return `bytes`;
decoders take `(data, position)` and return `(value, next position)`, and raise `DecodingError` on anything short or
out of range. Readers of blocks inline what is hot (`hyperbee/node.py`); the rest goes through `fields`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from ..errors import DecodingError
from ..limits import MAX_SAFE_INTEGER

VARINT: Final = 0
FIXED64: Final = 1
BYTES: Final = 2
FIXED32: Final = 5
"""Wire types: the low three bits of a field's tag."""

_MAX_LEB128_BYTES: Final = 10
_BYTE: Final[tuple[bytes, ...]] = tuple(bytes((n,)) for n in range(256))


def encode_leb128(value: int) -> bytes:
    """Seven bits a byte, lowest first; the high bit says that more follow."""
    if value < 0x80:
        if value < 0:
            raise ValueError(f"a LEB128 integer cannot be negative: {value}")
        return _BYTE[value]
    if value < 0x4000:
        return _BYTE[value & 0x7F | 0x80] + _BYTE[value >> 7]
    if value < 0x200000:
        return _BYTE[value & 0x7F | 0x80] + _BYTE[value >> 7 & 0x7F | 0x80] + _BYTE[value >> 14]
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def decode_leb128(data: bytes, position: int) -> tuple[int, int]:
    """Any form of up to ten bytes whose value JavaScript can count to (2^53-1)."""
    value = shift = 0
    try:
        while True:
            byte = data[position]
            position += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                break
            shift += 7
            if shift >= 7 * _MAX_LEB128_BYTES:
                raise DecodingError("a LEB128 integer is longer than ten bytes")
    except IndexError as error:
        raise DecodingError("the message ends inside a LEB128 integer") from error
    if value > MAX_SAFE_INTEGER:
        raise DecodingError("a LEB128 integer is larger than 2^53-1")
    return value, position


def encode_packed(values: Iterable[int]) -> bytes:
    """The body of a packed repeated field: integers back to back."""
    # The first three lengths inline: a bee of two million operations refers to its blocks in these.
    return b"".join(
        [
            _BYTE[value]
            if value < 0x80
            else _BYTE[value & 0x7F | 0x80] + _BYTE[value >> 7]
            if value < 0x4000
            else _BYTE[value & 0x7F | 0x80] + _BYTE[value >> 7 & 0x7F | 0x80] + _BYTE[value >> 14]
            if value < 0x200000
            else encode_leb128(value)
            for value in values
        ]
    )


def decode_packed(body: bytes) -> list[int]:
    """The integers of a packed repeated field, given exactly its bytes."""
    if body.isascii():
        return list(body)
    values: list[int] = []
    value = shift = 0
    for byte in body:
        if byte < 0x80:
            values.append(value | byte << shift)
            value = shift = 0
        else:
            value |= (byte & 0x7F) << shift
            shift += 7
            if shift >= 7 * _MAX_LEB128_BYTES:
                raise DecodingError("a LEB128 integer is longer than ten bytes")
    if shift:
        raise DecodingError("a packed field ends inside an integer")
    if max(values) > MAX_SAFE_INTEGER:
        raise DecodingError("a LEB128 integer is larger than 2^53-1")
    return values


def encode_field(number: int, body: bytes) -> bytes:
    """A length-delimited field: tag, length, bytes."""
    return encode_leb128(number << 3 | BYTES) + encode_leb128(len(body)) + body


def encode_integer_field(number: int, value: int) -> bytes:
    """A varint field."""
    return encode_leb128(number << 3 | VARINT) + encode_leb128(value)


def fields(data: bytes, start: int = 0, end: int | None = None) -> Iterator[tuple[int, int, int, int]]:
    """Walk a message: yields (field number, wire type, start, end) of each field's value.

    For BYTES start..end is the content; for the others, the bytes of the number itself. Unknown fields are yielded
    like any other, so skipping them is the caller's doing nothing.
    """
    position = start
    limit = len(data) if end is None else end
    while position < limit:
        tag, position = decode_leb128(data, position)
        kind = tag & 7
        if kind == BYTES:
            length, position = decode_leb128(data, position)
            after = position + length
        elif kind == VARINT:
            after = decode_leb128(data, position)[1]
        elif kind == FIXED64:
            after = position + 8
        elif kind == FIXED32:
            after = position + 4
        else:
            raise DecodingError(f"a field has the unknown wire type {kind}")
        if after > limit:
            raise DecodingError("the message ends inside a field")
        yield tag >> 3, kind, position, after
        position = after
