"""Manifests that nobody should make, and bytes that are none."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import BadArgument, DecodingError
from core.hypercore.manifest import (
    Manifest,
    Prologue,
    Signer,
    create_manifest,
    decode_manifest,
    default_manifest,
    encode_manifest,
    is_compat,
    is_manifest_of,
    manifest_key,
)

KEY = bytes(range(32))
fixed32 = st.binary(min_size=32, max_size=32)
signers = st.lists(st.builds(Signer, fixed32, fixed32), max_size=4).map(tuple)
prologues = st.builds(Prologue, fixed32, st.integers(0, 2**53 - 1))


@given(
    st.builds(
        Manifest,
        st.integers(1, 3),
        st.booleans(),
        st.integers(0, 2**53 - 1),
        signers,
        st.none() | prologues,
        st.none() | st.lists(fixed32, max_size=3).map(tuple),
        st.none() | st.binary(max_size=50),
    )
)
def test_what_is_decoded_is_encoded_to_the_same_bytes(manifest: Manifest) -> None:
    """The key is a hash of the bytes, so not even an unusual manifest may change on its way through."""
    encoded = encode_manifest(manifest)
    assert decode_manifest(b"\x00" + encoded + b"\x00", 1) == (manifest, 1 + len(encoded))


@pytest.mark.parametrize(
    "fields",
    [
        {"version": 4},
        {"version": -1},
        {"signers": [Signer(KEY, b"short")]},
        {"prologue": Prologue(KEY, -1)},
        {"prologue": Prologue(KEY, 2**53)},
        {"linked": [b"short"]},
    ],
)
def test_what_cannot_be_made(fields: dict) -> None:
    with pytest.raises(BadArgument):
        create_manifest(**fields)


def test_the_lowest_version_that_can_say_it() -> None:
    assert create_manifest(signers=[Signer(KEY)]) == default_manifest(KEY)
    assert create_manifest().quorum == 0
    assert create_manifest(linked=[KEY]).version == 2
    assert create_manifest(user_data=b"x").version == 2
    assert create_manifest(linked=[]) == create_manifest()
    assert create_manifest(user_data=b"").version == 2
    assert [create_manifest(signers=[Signer(KEY)] * count).quorum for count in range(1, 6)] == [1, 2, 2, 3, 3]


@pytest.mark.parametrize(
    ("encoded", "sentence"),
    [
        ("04", "version 4 is newer"),
        ("010001", "hash 1 is unknown"),
        ("0001", "hash 1 is unknown"),
        ("000003", "no type 3"),
        ("0100000101" + "01" + "00" * 64, "scheme 1 is unknown"),
        ("000001" + "00" * 64, "ends inside"),
        ("0100000101", "ends inside"),
    ],
)
def test_bytes_that_are_no_manifest(encoded: str, sentence: str) -> None:
    with pytest.raises(DecodingError, match=sentence):
        decode_manifest(bytes.fromhex(encoded))


def test_whose_manifest_it_is() -> None:
    manifest = default_manifest(KEY)
    assert is_compat(KEY, manifest)
    assert not is_compat(manifest_key(manifest), manifest)
    assert is_manifest_of(KEY, manifest)
    assert is_manifest_of(manifest_key(manifest), manifest)
    assert not is_manifest_of(bytes(32), manifest)
    two = create_manifest(signers=[Signer(KEY), Signer(bytes(32))])
    assert not is_compat(KEY, two)
