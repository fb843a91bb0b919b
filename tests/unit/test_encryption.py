"""Encrypted blocks: the vectors fix the bytes, these the edges."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import BadArgument, DecodingError
from core.hypercore.encryption import BlockEncryption, derive_block_key

KEY = bytes(range(32))


@given(st.integers(0, 2**53 - 1), st.integers(0, 2**53 - 1), st.binary(max_size=300))
def test_round_trip(index: int, fork: int, plain: bytes) -> None:
    encryption = BlockEncryption(KEY)
    stored = encryption.encrypt(index, fork, plain)
    assert len(stored) == len(plain) + BlockEncryption.padding
    assert BlockEncryption(KEY).decrypt(index, stored) == plain


def test_index_and_fork_both_change_the_bytes() -> None:
    encryption = BlockEncryption(KEY)
    blocks = {encryption.encrypt(index, fork, b"the same text") for index in (0, 1) for fork in (0, 1)}
    assert len(blocks) == 4


def test_the_wrong_place_or_key_gives_garbage() -> None:
    stored = BlockEncryption(KEY).encrypt(7, 0, b"the same text")
    assert BlockEncryption(KEY).decrypt(8, stored) != b"the same text"
    assert BlockEncryption(bytes(32)).decrypt(7, stored) != b"the same text"


@pytest.mark.parametrize("size", range(8))
def test_a_block_too_short_to_be_encrypted(size: int) -> None:
    with pytest.raises(DecodingError, match="block 3 is too short"):
        BlockEncryption(KEY).decrypt(3, bytes(size))
    assert BlockEncryption(KEY).decrypt(3, bytes(8)) == b""


def test_keys_have_32_bytes() -> None:
    with pytest.raises(BadArgument):
        BlockEncryption(KEY[:31])
    with pytest.raises(BadArgument):
        derive_block_key(KEY[:31], KEY)


def test_one_key_for_two_logs_gives_two_block_keys() -> None:
    assert derive_block_key(KEY, bytes(32)) != derive_block_key(KEY, b"\x01" * 32)
    assert derive_block_key(KEY, bytes(32)) != derive_block_key(KEY, bytes(32), compat=True)
