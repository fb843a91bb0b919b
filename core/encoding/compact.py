"""compact-encoding: the integers and buffers every message above the secret stream is made of.

Source: compact-encoding 3.5.2, checked against `tests/vectors/log/compact-encoding.json`.

Encoders return `bytes`; a message is the concatenation of its fields. Decoders take `(data, position)` and
return `(value, next position)`; they raise `DecodingError` on anything short or out of range and never read past
`len(data)`. Nothing here keeps state, so a codec is only ever a list of fields in order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from struct import Struct
from struct import error as _STRUCT_ERROR
from typing import Final, TypeVar

from ..errors import DecodingError
from ..limits import MAX_ARRAY_ITEMS, MAX_SAFE_INTEGER

T = TypeVar("T")

_U16: Final = Struct("<H")
_U32: Final = Struct("<I")
_U64: Final = Struct("<Q")
_ONE_BYTE: Final = tuple(bytes((n,)) for n in range(256))


def encode_uint(value: int) -> bytes:
    """Shortest form of an integer in 0..2^53-1."""
    if value <= 0xFC:
        if value < 0:
            raise ValueError(f"a uint cannot be negative: {value}")
        return _ONE_BYTE[value]
    if value <= 0xFFFF:
        return b"\xfd" + _U16.pack(value)
    if value <= 0xFFFFFFFF:
        return b"\xfe" + _U32.pack(value)
    if value > MAX_SAFE_INTEGER:
        raise ValueError(f"a uint is at most 2^53-1: {value}")
    return b"\xff" + _U64.pack(value)


def decode_uint(data: bytes, position: int) -> tuple[int, int]:
    """Any of the four forms (longer than necessary is accepted, as the reference does)."""
    try:
        first = data[position]
        if first <= 0xFC:
            return first, position + 1
        if first == 0xFD:
            return _U16.unpack_from(data, position + 1)[0], position + 3
        if first == 0xFE:
            return _U32.unpack_from(data, position + 1)[0], position + 5
        value: int = _U64.unpack_from(data, position + 1)[0]
    except (IndexError, _STRUCT_ERROR) as error:
        raise DecodingError("the message ends inside an integer") from error
    if value > MAX_SAFE_INTEGER:
        raise DecodingError("an integer is larger than 2^53-1")
    return value, position + 9


def encode_int(value: int) -> bytes:
    """Zig-zag: 0, -1, 1, -2 ... become 0, 1, 2, 3 ..."""
    return encode_uint(-2 * value - 1 if value < 0 else 2 * value)


def decode_int(data: bytes, position: int) -> tuple[int, int]:
    value, position = decode_uint(data, position)
    return (-(value + 1) >> 1 if value & 1 else value >> 1), position


def encode_buffer(value: bytes) -> bytes:
    """Length, then the bytes. `None` of an optional buffer is written as the empty one: pass b""."""
    return encode_uint(len(value)) + value


def decode_buffer(data: bytes, position: int) -> tuple[bytes, int]:
    length, start = decode_uint(data, position)
    end = start + length
    if end > len(data):
        raise DecodingError("the message ends inside a buffer")
    return data[start:end], end


def encode_optional_buffer(value: bytes | None) -> bytes:
    return encode_buffer(value) if value else b"\x00"


def decode_optional_buffer(data: bytes, position: int) -> tuple[bytes | None, int]:
    """Length 0 always means None (the reference cannot tell it from an empty buffer either)."""
    value, position = decode_buffer(data, position)
    return (value or None), position


def encode_string(value: str) -> bytes:
    return encode_buffer(value.encode())


def decode_string(data: bytes, position: int) -> tuple[str, int]:
    raw, position = decode_buffer(data, position)
    # The reference replaces what is not UTF-8 (Node's buffer semantics); so do we: names are only compared.
    return raw.decode("utf-8", "replace"), position


def decode_fixed(data: bytes, position: int, size: int) -> tuple[bytes, int]:
    """Exactly `size` raw bytes; their encoding is the bytes themselves."""
    end = position + size
    if end > len(data):
        raise DecodingError(f"the message ends inside a field of {size} bytes")
    return data[position:end], end


def encode_array(items: Iterable[bytes]) -> bytes:
    """Count, then the already encoded items."""
    parts = list(items)
    return encode_uint(len(parts)) + b"".join(parts)


def decode_array(
    data: bytes, position: int, decode_item: Callable[[bytes, int], tuple[T, int]]
) -> tuple[list[T], int]:
    count, position = decode_uint(data, position)
    if count > MAX_ARRAY_ITEMS:
        raise DecodingError(f"an array of {count} items is longer than {MAX_ARRAY_ITEMS}")
    items: list[T] = []
    for _ in range(count):
        item, position = decode_item(data, position)
        items.append(item)
    return items, position
