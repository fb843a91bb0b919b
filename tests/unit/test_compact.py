"""What compact-encoding refuses, and the forms that nobody writes but everybody must read."""

from __future__ import annotations

import pytest

from core.encoding import compact
from core.errors import DecodingError
from core.limits import MAX_ARRAY_ITEMS, MAX_SAFE_INTEGER


@pytest.mark.parametrize("encoded", ["05", "fd0500", "fe05000000", "ff0500000000000000"])
def test_longer_forms_than_necessary_are_read(encoded: str) -> None:
    data = bytes.fromhex(encoded)
    assert compact.decode_uint(data, 0) == (5, len(data))


@pytest.mark.parametrize("encoded", ["", "fd", "fd01", "fe010203", "ff01020304050607"])
def test_an_integer_that_ends_early(encoded: str) -> None:
    with pytest.raises(DecodingError, match="ends inside an integer"):
        compact.decode_uint(bytes.fromhex(encoded), 0)


def test_the_largest_integer_and_the_first_too_large_one() -> None:
    largest = b"\xff" + MAX_SAFE_INTEGER.to_bytes(8, "little")
    assert compact.encode_uint(MAX_SAFE_INTEGER) == largest
    assert compact.decode_uint(largest, 0) == (MAX_SAFE_INTEGER, 9)
    with pytest.raises(DecodingError, match="larger than"):
        compact.decode_uint(b"\xff" + (MAX_SAFE_INTEGER + 1).to_bytes(8, "little"), 0)
    with pytest.raises(ValueError, match="at most"):
        compact.encode_uint(MAX_SAFE_INTEGER + 1)


def test_negative_integers_need_the_signed_codec() -> None:
    with pytest.raises(ValueError, match="negative"):
        compact.encode_uint(-1)
    assert compact.encode_int(-1) == b"\x01"


@pytest.mark.parametrize("data", [b"\x02a", b"\xff" + MAX_SAFE_INTEGER.to_bytes(8, "little")])
def test_a_buffer_that_ends_early(data: bytes) -> None:
    with pytest.raises(DecodingError, match="ends inside a buffer"):
        compact.decode_buffer(data, 0)
    with pytest.raises(DecodingError, match="ends inside a buffer"):
        compact.decode_string(data, 0)


def test_a_fixed_field_that_ends_early() -> None:
    with pytest.raises(DecodingError, match="32 bytes"):
        compact.decode_fixed(bytes(31), 0, 32)
    with pytest.raises(DecodingError, match="32 bytes"):
        compact.decode_fixed(bytes(32), 1, 32)


def test_an_array_that_ends_early() -> None:
    with pytest.raises(DecodingError):
        compact.decode_array(b"\x03\x01\x02", 0, compact.decode_uint)


def test_an_array_that_claims_too_much_is_refused_before_it_is_read() -> None:
    calls = 0

    def count(data: bytes, position: int) -> tuple[None, int]:
        nonlocal calls
        calls += 1
        return None, position

    with pytest.raises(DecodingError, match="longer than"):
        compact.decode_array(compact.encode_uint(MAX_ARRAY_ITEMS + 1), 0, count)
    assert calls == 0
    compact.decode_array(compact.encode_uint(MAX_ARRAY_ITEMS), 0, count)
    assert calls == MAX_ARRAY_ITEMS


def test_an_empty_optional_buffer_is_none() -> None:
    assert compact.encode_optional_buffer(None) == compact.encode_optional_buffer(b"") == b"\x00"
    assert compact.decode_optional_buffer(b"\x00", 0) == (None, 1)
    assert compact.decode_buffer(b"\x00", 0) == (b"", 1)


def test_text_that_is_not_utf8_is_replaced() -> None:
    assert compact.decode_string(b"\x02\xffa", 0) == ("\N{REPLACEMENT CHARACTER}a", 3)
