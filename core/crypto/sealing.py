"""Encryption of what is sent and of what is stored.

* `Push` and `Pull`: libsodium's secretstream (XChaCha20-Poly1305), one direction of a connection each; the
  bytes of sodium-secretstream 1.2.0, checked against `tests/vectors/network/02-secret-stream.json`.
* `stream_xor` (see `xsalsa20.py`): what hypercore 11.37.1 encrypts blocks with (`lib/block-encryption.js`).

PyNaCl's bindings check types and look constants up at every call, which costs as much as a 1 KiB box itself;
so `Push` and `Pull` call the same C functions through PyNaCl's own cffi module, into a kept buffer (3.9 us
became 2.1 us). A state belongs to one thread.
"""

from __future__ import annotations

from typing import Any, Final

from nacl import bindings
from nacl._sodium import ffi, lib

from ..errors import BadArgument, HandshakeError, RemoteProtocolError
from .xsalsa20 import stream_xor as stream_xor

KEY_BYTES: Final = 32
HEADER_BYTES: Final = 24
OVERHEAD_BYTES: Final = 17
"""What a box is longer than its message: an encrypted tag byte, and a 16-byte authenticator."""

_KEEP_BYTES: Final = 1 << 20  # larger messages are rare: their buffer is not kept
_FIRST_BUFFER_BYTES: Final = 4096
_STATE_BYTES: Final = bindings.crypto_secretstream_xchacha20poly1305_STATEBYTES
_NULL: Final = ffi.NULL
_new: Final = ffi.new_allocator(should_clear_after_alloc=False)
_seal: Final = lib.crypto_secretstream_xchacha20poly1305_push
_open: Final = lib.crypto_secretstream_xchacha20poly1305_pull


class _Scratch:
    """The buffer libsodium writes to: `pointer` for it, `view` for slicing results out."""

    __slots__ = ("pointer", "size", "view")

    def __init__(self) -> None:
        self.size = 0
        self.grow(_FIRST_BUFFER_BYTES)

    def grow(self, size: int) -> None:
        self.size = max(size, min(2 * self.size, _KEEP_BYTES))
        self.pointer: Any = _new("unsigned char[]", self.size)
        self.view: Any = ffi.buffer(self.pointer)


class Push:
    """Seals the messages of one direction, in order. The other side needs `header` (24 bytes) first."""

    __slots__ = ("_scratch", "_state", "header")

    def __init__(self, key: bytes) -> None:
        if len(key) != KEY_BYTES:
            raise BadArgument(f"a secretstream key has {KEY_BYTES} bytes, not {len(key)}")
        self._state: Any = ffi.new("unsigned char[]", _STATE_BYTES)
        self._scratch = _Scratch()
        lib.crypto_secretstream_xchacha20poly1305_init_push(self._state, self._scratch.pointer, key)
        self.header: bytes = self._scratch.view[:HEADER_BYTES]

    def seal(self, message: bytes) -> bytes:
        """The box of `message`, 17 bytes longer. Tag 0 (MESSAGE), no associated data."""
        size = len(message) + OVERHEAD_BYTES
        scratch = self._scratch
        if size > scratch.size:
            scratch.grow(size)
        _seal(self._state, scratch.pointer, _NULL, message, size - OVERHEAD_BYTES, _NULL, 0, 0)
        box: bytes = scratch.view[:size]
        if size > _KEEP_BYTES:
            self._scratch = _Scratch()
        return box


class Pull:
    """Opens the boxes of one direction, in the order they were sealed."""

    __slots__ = ("_scratch", "_state")

    def __init__(self, key: bytes, header: bytes) -> None:
        if len(key) != KEY_BYTES:
            raise BadArgument(f"a secretstream key has {KEY_BYTES} bytes, not {len(key)}")
        if len(header) != HEADER_BYTES:
            raise HandshakeError(f"a secretstream header has {HEADER_BYTES} bytes, not {len(header)}")
        self._state: Any = ffi.new("unsigned char[]", _STATE_BYTES)
        self._scratch = _Scratch()
        lib.crypto_secretstream_xchacha20poly1305_init_pull(self._state, header, key)

    def open(self, box: bytes) -> bytes:
        """The message in `box`, 17 bytes shorter. Raises `RemoteProtocolError`."""
        size = len(box)
        scratch = self._scratch
        if size > scratch.size:
            scratch.grow(size)
        if size < OVERHEAD_BYTES or _open(self._state, scratch.pointer, _NULL, _NULL, box, size, _NULL, 0):
            raise RemoteProtocolError(
                "an encrypted message does not authenticate: it was altered or out of order"
            )
        message: bytes = scratch.view[: size - OVERHEAD_BYTES]
        if size > _KEEP_BYTES:
            self._scratch = _Scratch()
        return message
