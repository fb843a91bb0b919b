"""Secretstream through raw cffi against PyNaCl's bindings, and both ways to XSalsa20 against each other."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nacl import bindings

from core.crypto import xsalsa20
from core.crypto.sealing import OVERHEAD_BYTES, Pull, Push
from core.errors import BadArgument, RemoteProtocolError

KEY = bytes(range(32))
SIZES = [0, 1, 200, 4079, 4080, 5000, 70_000, (1 << 20) + 1, 10]


def test_push_is_read_by_the_bindings() -> None:
    push = Push(KEY)
    state = bindings.crypto_secretstream_xchacha20poly1305_state()
    bindings.crypto_secretstream_xchacha20poly1305_init_pull(state, push.header, KEY)
    for size in SIZES:
        message = bytes([size % 251]) * size
        box = push.seal(message)
        assert len(box) == size + OVERHEAD_BYTES
        assert bindings.crypto_secretstream_xchacha20poly1305_pull(state, box) == (message, 0)


def test_pull_reads_the_bindings() -> None:
    state = bindings.crypto_secretstream_xchacha20poly1305_state()
    pull = Pull(KEY, bindings.crypto_secretstream_xchacha20poly1305_init_push(state, KEY))
    for size in SIZES:
        message = bytes([size % 251]) * size
        assert pull.open(bindings.crypto_secretstream_xchacha20poly1305_push(state, message)) == message


@pytest.mark.parametrize("box", [b"", bytes(16), bytes(17), bytes(100)])
def test_what_does_not_authenticate(box: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        Pull(KEY, bytes(24)).open(box)


def test_a_box_out_of_order() -> None:
    push = Push(KEY)
    pull = Pull(KEY, push.header)
    push.seal(b"first")
    with pytest.raises(RemoteProtocolError):
        pull.open(push.seal(b"second"))


def test_keys_of_the_wrong_length() -> None:
    with pytest.raises(BadArgument):
        Push(bytes(31))
    with pytest.raises(BadArgument):
        Pull(bytes(33), bytes(24))
    with pytest.raises(BadArgument):
        xsalsa20.stream_xor(b"", bytes(23), KEY)
    with pytest.raises(BadArgument):
        xsalsa20.stream_xor_portable(b"", bytes(24), bytes(31))


def test_this_build_of_pynacl_has_the_function() -> None:
    """If not, everything still works, but encrypted logs become slow: somebody should know."""
    assert xsalsa20.stream_xor_library is not None


@given(st.binary(max_size=300), st.binary(min_size=24, max_size=24), st.binary(min_size=32, max_size=32))
def test_both_xsalsa20_are_equal(message: bytes, nonce: bytes, key: bytes) -> None:
    encrypted = xsalsa20.stream_xor(message, nonce, key)
    assert xsalsa20.stream_xor_portable(message, nonce, key) == encrypted
    assert xsalsa20.stream_xor_portable(encrypted, nonce, key) == message


def test_xsalsa20_of_a_published_vector() -> None:
    """The first keystream bytes of the secretbox test in NaCl's own suite (`tests/stream3.c`)."""
    key = bytes.fromhex("1b27556473e985d462cd51197a9a46c76009549eac6474f206c4ee0844f68389")
    nonce = bytes.fromhex("69696ee955b62b73cd62bda875fc73d68219e0036b7a0b37")
    expected = "eea6a7251c1e72916d11c2cb214d3c252539121d8e234e652d651fa4c8cff880"
    assert xsalsa20.stream_xor(bytes(32), nonce, key).hex() == expected
    assert xsalsa20.stream_xor_portable(bytes(32), nonce, key).hex() == expected
