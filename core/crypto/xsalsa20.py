"""XSalsa20, for block encryption: `stream_xor` of libsodium, and the same without it.

PyNaCl does not bind `crypto_stream_xsalsa20_xor`, but its library contains it, so it is called through
ctypes. Where the library hides it (another build of PyNaCl) `stream_xor_portable` gives equal bytes:
secretbox *is* XSalsa20 whose first 32 keystream bytes are spent on the authenticator, so only those need
computing here, and libsodium does the rest.

Sources: D. J. Bernstein, "Extending the Salsa20 nonce" and "Salsa20 specification"; libsodium 1.0.20
`crypto_stream_xsalsa20_xor`, `crypto_secretbox_easy`. Checked against `tests/vectors/log/crypto.json`.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from struct import Struct
from typing import Final

from nacl import _sodium, bindings

from ..errors import BadArgument

KEY_BYTES: Final = 32
NONCE_BYTES: Final = 24
_AUTHENTICATOR_KEY_BYTES: Final = 32
_AUTHENTICATOR_BYTES: Final = 16
_WORD: Final = 0xFFFFFFFF
_SIXTEEN_WORDS: Final = Struct("<16I")
_EIGHT_WORDS: Final = Struct("<8I")
_CONSTANTS: Final = (0x61707865, 0x3320646E, 0x79622D32, 0x6B206574)  # "expand 32-byte k"

# One double round: four quarter rounds down the columns, four along the rows.
_QUARTERS: Final = (
    (0, 4, 8, 12), (5, 9, 13, 1), (10, 14, 2, 6), (15, 3, 7, 11),
    (0, 1, 2, 3), (5, 6, 7, 4), (10, 11, 8, 9), (15, 12, 13, 14),
)  # fmt: skip


def stream_xor_portable(message: bytes, nonce: bytes, key: bytes) -> bytes:
    """`stream_xor` from what PyNaCl binds, and 32 bytes of keystream in Python."""
    _check(nonce, key)
    head = message[:_AUTHENTICATOR_KEY_BYTES]
    pad = _keystream_head(nonce, key)[: len(head)]
    encrypted = (int.from_bytes(head, "little") ^ int.from_bytes(pad, "little")).to_bytes(len(head), "little")
    if len(message) > _AUTHENTICATOR_KEY_BYTES:
        rest = bindings.crypto_secretbox_easy(message[_AUTHENTICATOR_KEY_BYTES:], nonce, key)
        encrypted += rest[_AUTHENTICATOR_BYTES:]
    return encrypted


def _keystream_head(nonce: bytes, key: bytes) -> bytes:
    """The first 64 bytes of the keystream: Salsa20, keyed by HSalsa20 of the first 16 nonce bytes."""
    mixed = _double_rounds(_layout(key, nonce[:16]))
    subkey = _EIGHT_WORDS.pack(*(mixed[index] for index in (0, 5, 10, 15, 6, 7, 8, 9)))
    start = _layout(subkey, nonce[16:] + bytes(8))
    words = _double_rounds(start)
    return _SIXTEEN_WORDS.pack(*((a + b) & _WORD for a, b in zip(start, words, strict=True)))


def _layout(key: bytes, block: bytes) -> list[int]:
    k = _EIGHT_WORDS.unpack(key)
    n = (int.from_bytes(block[i : i + 4], "little") for i in range(0, 16, 4))
    c = _CONSTANTS
    return [c[0], *k[:4], c[1], *n, c[2], *k[4:], c[3]]


def _double_rounds(words: list[int]) -> list[int]:
    x = list(words)
    for _ in range(10):
        for a, b, c, d in _QUARTERS:
            for target, left, right, bits in ((b, a, d, 7), (c, b, a, 9), (d, c, b, 13), (a, d, c, 18)):
                total = (x[left] + x[right]) & _WORD
                x[target] ^= (total << bits | total >> (32 - bits)) & _WORD
    return x


def _check(nonce: bytes, key: bytes) -> None:
    if len(nonce) != NONCE_BYTES or len(key) != KEY_BYTES:
        raise BadArgument(f"XSalsa20 takes a nonce of {NONCE_BYTES} bytes and a key of {KEY_BYTES}")


def _from_library() -> Callable[[bytes, bytes, bytes], bytes] | None:
    try:
        function = ctypes.CDLL(_sodium.__file__).crypto_stream_xsalsa20_xor
    except (AttributeError, OSError):
        return None
    function.argtypes = (
        ctypes.c_char_p, ctypes.c_char_p, ctypes.c_ulonglong, ctypes.c_char_p, ctypes.c_char_p,
    )  # fmt: skip
    function.restype = ctypes.c_int

    def stream_xor_library(message: bytes, nonce: bytes, key: bytes) -> bytes:
        _check(nonce, key)
        output = ctypes.create_string_buffer(len(message))
        function(output, message, len(message), nonce, key)
        return output.raw

    return stream_xor_library


stream_xor_library: Final = _from_library()

stream_xor: Final[Callable[[bytes, bytes, bytes], bytes]] = stream_xor_library or stream_xor_portable
"""`stream_xor(message, nonce, key)`: `message` XOR the keystream of a 24-byte nonce and a 32-byte key; its
own inverse.

Encryption without authentication: the caller's data is authenticated otherwise (by the log's signed tree).
"""
