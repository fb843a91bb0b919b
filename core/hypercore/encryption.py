"""Encrypted blocks: what is stored, hashed and replicated in place of the content.

Source: hypercore 11.37.1 `lib/default-encryption.js`. Checked against `tests/vectors/log/crypto.json`.

A stored block is 8 bytes of padding, then the content under XSalsa20. The padding is the writer's fork
number, blinded so that it looks random; with the index it makes the nonce, so a block that is written again
after a truncation is not encrypted under the same one. A reader needs the block key only.
"""

from __future__ import annotations

from struct import Struct
from typing import Final

from ..crypto.hashing import DEFAULT_ENCRYPTION, hash32
from ..crypto.sealing import stream_xor
from ..errors import BadArgument, DecodingError

PADDING_BYTES: Final = 8
KEY_BYTES: Final = 32

_U64: Final = Struct("<Q")
_EIGHT_ZEROS: Final = bytes(8)
_SIXTEEN_ZEROS: Final = bytes(16)


def derive_block_key(encryption_key: bytes, core_key: bytes, *, compat: bool = False) -> bytes:
    """The key of one log's blocks, from an encryption key that may serve several logs (32 bytes each).

    A compat log derives in the older way; whoever opens one only by key learns that it is one from a peer.
    """
    if len(encryption_key) != KEY_BYTES:
        raise BadArgument(f"an encryption key has {KEY_BYTES} bytes, not {len(encryption_key)}")
    if compat:
        return hash32(encryption_key, key=core_key)
    return hash32(DEFAULT_ENCRYPTION + core_key + encryption_key)


class BlockEncryption:
    """Encrypts and decrypts the blocks of one log. `padding`: bytes by which each block grows."""

    __slots__ = ("_blinding_key", "_block_key")

    padding: Final = PADDING_BYTES

    def __init__(self, block_key: bytes) -> None:
        if len(block_key) != KEY_BYTES:
            raise BadArgument(f"a block key has {KEY_BYTES} bytes, not {len(block_key)}")
        self._block_key = block_key
        self._blinding_key = hash32(block_key)

    def encrypt(self, index: int, fork: int, plain: bytes) -> bytes:
        """What to store as block `index` of a log that is at fork number `fork`."""
        head = _U64.pack(index)
        blinded = stream_xor(_U64.pack(fork), head + _SIXTEEN_ZEROS, self._blinding_key)
        return blinded + stream_xor(plain, head + blinded + _EIGHT_ZEROS, self._block_key)

    def decrypt(self, index: int, stored: bytes) -> bytes:
        """The content of block `index`. A wrong key gives garbage: the log's signature is what protects it.

        Raises `DecodingError` for a block that is too short to be an encrypted one.
        """
        if len(stored) < PADDING_BYTES:
            raise DecodingError(f"block {index} is too short to be encrypted")
        nonce = _U64.pack(index) + stored[:PADDING_BYTES] + _EIGHT_ZEROS
        return stream_xor(stored[PADDING_BYTES:], nonce, self._block_key)
