"""compact-encoding 3.5.2: every type of the vectors that this project's codecs have."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from core.encoding import compact
from tests.support.vectors import load_vectors

CASES = load_vectors("log/compact-encoding")["cases"]

Encode = Callable[[Any], bytes]
Decode = Callable[[bytes, int], tuple[Any, int]]


def optional(value: str | None) -> bytes | None:
    """Null and the empty buffer have one encoding, which decodes to null."""
    return bytes.fromhex(value or "") or None


# Type in the vectors -> (how JSON says the value, encoder, decoder).
CODECS: dict[str, tuple[Callable[[Any], Any], Encode, Decode]] = {
    "uint": (int, compact.encode_uint, compact.decode_uint),
    "int": (int, compact.encode_int, compact.decode_int),
    "buffer": (bytes.fromhex, compact.encode_buffer, compact.decode_buffer),
    "optionalBuffer": (optional, compact.encode_optional_buffer, compact.decode_optional_buffer),
    "string": (str, compact.encode_string, compact.decode_string),
    "fixed32": (bytes.fromhex, bytes, lambda data, at: compact.decode_fixed(data, at, 32)),
    "fixed64": (bytes.fromhex, bytes, lambda data, at: compact.decode_fixed(data, at, 64)),
    "array(uint)": (
        list,
        lambda items: compact.encode_array(map(compact.encode_uint, items)),
        lambda data, at: compact.decode_array(data, at, compact.decode_uint),
    ),
    "array(string)": (
        list,
        lambda items: compact.encode_array(map(compact.encode_string, items)),
        lambda data, at: compact.decode_array(data, at, compact.decode_string),
    ),
}
COVERED = [case for case in CASES if case["type"] in CODECS]


def test_every_codec_has_vectors() -> None:
    assert {case["type"] for case in COVERED} == CODECS.keys()


@pytest.mark.parametrize("case", COVERED, ids=lambda case: f"{case['type']}-{case['hex'][:16]}")
def test_codec(case: dict[str, Any]) -> None:
    from_json, encode, decode = CODECS[case["type"]]
    value, encoded = from_json(case["value"]), bytes.fromhex(case["hex"])
    assert encode(value) == encoded
    assert decode(encoded, 0) == (value, len(encoded))
    assert decode(b"\xff" + encoded + b"\xff", 1) == (value, 1 + len(encoded))
