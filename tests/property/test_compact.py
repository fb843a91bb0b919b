"""Every value survives its encoding, at any place in a message; no bytes do worse than `DecodingError`."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.encoding import compact
from core.errors import DecodingError
from core.limits import MAX_SAFE_INTEGER

uints = st.one_of(
    st.integers(0, MAX_SAFE_INTEGER),
    st.sampled_from([0xFC, 0xFD, 0xFF, 0xFFFF, 0x10000, 0xFFFFFFFF, 0x100000000, MAX_SAFE_INTEGER]),
)
ints = st.integers(-(2**52), 2**52 - 1)


def encode_uints(values: list[int]) -> bytes:
    return compact.encode_array(map(compact.encode_uint, values))


def decode_uints(data: bytes, position: int) -> tuple[list[int], int]:
    return compact.decode_array(data, position, compact.decode_uint)


CODECS: dict[str, tuple[st.SearchStrategy[Any], Callable[[Any], bytes], Callable[[bytes, int], Any]]] = {
    "uint": (uints, compact.encode_uint, compact.decode_uint),
    "int": (ints, compact.encode_int, compact.decode_int),
    "buffer": (st.binary(max_size=300), compact.encode_buffer, compact.decode_buffer),
    "optional buffer": (
        st.one_of(st.none(), st.binary(min_size=1, max_size=300)),
        compact.encode_optional_buffer,
        compact.decode_optional_buffer,
    ),
    "string": (st.text(max_size=100), compact.encode_string, compact.decode_string),
    "array": (st.lists(uints, max_size=20), encode_uints, decode_uints),
}


@pytest.mark.parametrize("name", CODECS)
@given(data=st.data(), before=st.binary(max_size=10), after=st.binary(max_size=10))
def test_round_trip_inside_a_message(name: str, data: st.DataObject, before: bytes, after: bytes) -> None:
    values, encode, decode = CODECS[name]
    value = data.draw(values)
    encoded = encode(value)
    message = before + encoded + after
    assert decode(message, len(before)) == (value, len(before) + len(encoded))


@pytest.mark.parametrize("name", CODECS)
@given(data=st.data())
def test_every_shorter_message_is_refused(name: str, data: st.DataObject) -> None:
    values, encode, decode = CODECS[name]
    encoded = encode(data.draw(values))
    cut = data.draw(st.integers(0, len(encoded) - 1))
    with pytest.raises(DecodingError):
        decode(encoded[:cut], 0)


@pytest.mark.parametrize("name", CODECS)
@given(data=st.binary(max_size=60), position=st.integers(0, 70))
def test_no_bytes_break_a_decoder_or_are_read_past_their_end(name: str, data: bytes, position: int) -> None:
    decode = CODECS[name][2]
    with contextlib.suppress(DecodingError):
        _, end = decode(data, position)
        assert position < end <= len(data)


@given(uints, uints)
def test_longer_integers_are_larger(first: int, second: int) -> None:
    if len(compact.encode_uint(first)) < len(compact.encode_uint(second)):
        assert first < second
