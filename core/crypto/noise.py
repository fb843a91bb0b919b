"""The Noise handshakes XX and IK over Ed25519, as this stack alone speaks them.

Source: noise-handshake 4.2.0 (`noise.js`, `symmetric-state.js`, `cipher.js`, `hkdf.js`) with noise-curve-ed
2.1.0, checked against `tests/vectors/network/01-noise.json`. The framework is revision 34 of the Noise
specification; three things in it are this stack's own, and no stock Noise library has them:

* Diffie-Hellman runs on the *Edwards* curve with ordinary Ed25519 signing keys: the result is a compressed
  Edwards point, not an X25519 u-coordinate. So a peer's one key both signs its logs and proves who it is on a
  connection.
* The hash is BLAKE2b-512, HMAC has its 128-byte block, and all chaining values are 64 bytes.
* HyperDHT's IK mixes a prologue, secret-stream's XX mixes the empty one.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence
from copy import copy
from typing import Final, Literal, TypeAlias

from nacl import bindings
from nacl.exceptions import CryptoError

from ..errors import BadArgument, HandshakeError, LocalProtocolError
from .hashing import hash64
from .keys import PUBLIC_KEY_BYTES, KeyPair, key_pair

Pattern: TypeAlias = Literal["XX", "IK"]

KEY_BYTES: Final = 32
TAG_BYTES: Final = 16
MAX_CIPHERTEXT_BYTES: Final = 65_535
"""noise-handshake 4.2.0 `cipher.js`: a longer ciphertext is refused on both sides."""

# Messages in turn, the initiator's first. In a two-letter step the first letter is the initiator's key.
_MESSAGES: Final[dict[str, tuple[tuple[str, ...], ...]]] = {
    "XX": (("e",), ("e", "ee", "s", "es"), ("s", "se")),
    "IK": (("e", "es", "s", "ss"), ("e", "ee", "se")),
}


def diffie_hellman(secret_key: bytes, public_key: bytes) -> bytes:
    """The shared Edwards point (32 bytes) of an Ed25519 secret key (64 bytes) and another's public key.

    Raises `HandshakeError` when the public key is no canonical point of the prime-order subgroup.
    """
    digest = bytearray(hashlib.sha512(secret_key[:32]).digest()[:32])
    digest[0] &= 0xF8
    digest[31] = digest[31] & 0x7F | 0x40
    try:
        return bindings.crypto_scalarmult_ed25519_noclamp(bytes(digest), public_key)
    except CryptoError as error:
        raise HandshakeError("the remote's key is not a point that a secret key could have made") from error


def hkdf(chaining_key: bytes, material: bytes, count: int) -> list[bytes]:
    """`count` keys of 64 bytes each: the HKDF of the Noise specification over HMAC-BLAKE2b-512."""
    secret = hmac.new(chaining_key, material, hashlib.blake2b).digest()
    outputs: list[bytes] = []
    previous = b""
    for number in range(1, count + 1):
        previous = hmac.new(secret, previous + bytes((number,)), hashlib.blake2b).digest()
        outputs.append(previous)
    return outputs


class SymmetricState:
    """Noise's running hash, chaining key and cipher: everything said so far binds everything said next."""

    __slots__ = ("chaining_key", "hash", "key", "nonce")

    def __init__(self, protocol_name: bytes, prologue: bytes) -> None:
        self.hash = protocol_name.ljust(64, b"\0")
        self.chaining_key = self.hash
        self.key: bytes | None = None
        self.nonce = 0
        self.mix_hash(prologue)

    def mix_hash(self, data: bytes) -> None:
        self.hash = hash64(self.hash + data)

    def mix_key(self, material: bytes) -> None:
        self.chaining_key, key = hkdf(self.chaining_key, material, 2)
        self.key = key[:KEY_BYTES]
        self.nonce = 0

    def seal(self, plaintext: bytes) -> bytes:
        """Encrypt (once there is a key) and bind to what was said before."""
        box = plaintext
        if self.key is not None:
            if len(plaintext) > MAX_CIPHERTEXT_BYTES - TAG_BYTES:
                raise BadArgument(f"a handshake payload has at most {MAX_CIPHERTEXT_BYTES - TAG_BYTES} bytes")
            box = bindings.crypto_aead_chacha20poly1305_ietf_encrypt(
                plaintext, self.hash, self._next_nonce(), self.key
            )
        self.mix_hash(box)
        return box

    def open(self, box: bytes) -> bytes:
        """The inverse of `seal`. Raises `HandshakeError`."""
        plaintext = box
        if self.key is not None:
            if not TAG_BYTES <= len(box) <= MAX_CIPHERTEXT_BYTES:
                raise HandshakeError("a part of the handshake is too short or too long")
            try:
                plaintext = bindings.crypto_aead_chacha20poly1305_ietf_decrypt(
                    box, self.hash, self._next_nonce(), self.key
                )
            except CryptoError as error:
                raise HandshakeError("a part of the handshake does not authenticate") from error
        self.mix_hash(box)
        return plaintext

    def split(self) -> tuple[bytes, bytes]:
        """The two transport keys (32 bytes): initiator to responder, responder to initiator."""
        first, second = hkdf(self.chaining_key, b"", 2)
        return first[:KEY_BYTES], second[:KEY_BYTES]

    def _next_nonce(self) -> bytes:
        nonce = b"\0\0\0\0" + self.nonce.to_bytes(8, "little")
        self.nonce += 1
        return nonce


class NoiseHandshake:
    """One handshake, no I/O: call `write` and `read` in turn until `complete`.

    `remote_static` must be given to the initiator of IK, and only to it. `ephemeral` is for tests; leave it
    out. After `complete`: `handshake_hash` (64 bytes, the same on both sides), `tx` and `rx` (32 bytes each),
    `remote_static` (32 bytes). A handshake that raised `HandshakeError` is over.
    """

    def __init__(
        self,
        pattern: Pattern,
        is_initiator: bool,
        static: KeyPair,
        *,
        prologue: bytes = b"",
        remote_static: bytes | None = None,
        ephemeral: KeyPair | None = None,
    ) -> None:
        self.is_initiator = is_initiator
        self.static = static
        self.remote_static = remote_static
        self.complete = False
        self.handshake_hash = b""
        self.tx = b""
        self.rx = b""
        self._ephemeral = ephemeral
        self._remote_ephemeral = b""
        self._messages: Sequence[tuple[str, ...]] = _MESSAGES[pattern]
        self._turn = 0
        self._failed = False
        self._state = SymmetricState(f"Noise_{pattern}_Ed25519_ChaChaPoly_BLAKE2b".encode(), prologue)
        if (remote_static is not None) != (pattern == "IK" and is_initiator):
            raise BadArgument("the initiator of IK, and nobody else, knows the remote's key beforehand")
        if pattern == "IK":
            self._state.mix_hash(static.public_key if remote_static is None else remote_static)

    def copy(self) -> NoiseHandshake:
        """Another one that has come as far: to read a message that may turn out to be a forgery."""
        other = copy(self)
        other._state = copy(self._state)
        return other

    def write(self, payload: bytes = b"") -> bytes:
        """The next message of ours, `payload` in it (encrypted except in the first message of XX)."""
        steps = self._take_turn(ours=True)
        parts: list[bytes] = []
        for step in steps:
            if step == "e":
                if self._ephemeral is None:
                    self._ephemeral = key_pair()
                parts.append(self._ephemeral.public_key)
                self._state.mix_hash(self._ephemeral.public_key)
            elif step == "s":
                parts.append(self._state.seal(self.static.public_key))
            else:
                self._state.mix_key(self._shared(step))
        parts.append(self._state.seal(payload))
        self._finish_turn()
        return b"".join(parts)

    def read(self, message: bytes) -> bytes:
        """Take the remote's next message; returns its payload. Raises `HandshakeError`."""
        steps = self._take_turn(ours=False)
        self._failed = True  # until the whole message has proved right
        position = 0
        for step in steps:
            if step == "e":
                self._remote_ephemeral, position = _take(message, position, PUBLIC_KEY_BYTES)
                self._state.mix_hash(self._remote_ephemeral)
            elif step == "s":
                sealed = PUBLIC_KEY_BYTES + (0 if self._state.key is None else TAG_BYTES)
                box, position = _take(message, position, sealed)
                self.remote_static = self._state.open(box)
            else:
                self._state.mix_key(self._shared(step))
        payload = self._state.open(message[position:])
        self._failed = False
        self._finish_turn()
        return payload

    def _take_turn(self, *, ours: bool) -> tuple[str, ...]:
        if self._failed:
            raise LocalProtocolError("this handshake has failed already")
        if self.complete:
            raise LocalProtocolError("this handshake is complete")
        if (self._turn % 2 == 0) != (self.is_initiator == ours):
            raise LocalProtocolError("it is the other side's turn in the handshake")
        return self._messages[self._turn]

    def _finish_turn(self) -> None:
        self._turn += 1
        if self._turn < len(self._messages):
            return
        first, second = self._state.split()
        self.tx, self.rx = (first, second) if self.is_initiator else (second, first)
        self.handshake_hash = self._state.hash
        self.complete = True

    def _shared(self, step: str) -> bytes:
        """Diffie-Hellman of the two keys a step such as "es" names, ours being the letter of our role."""
        ours, theirs = (step[0], step[1]) if self.is_initiator else (step[1], step[0])
        local = self._ephemeral if ours == "e" else self.static
        remote = self._remote_ephemeral if theirs == "e" else self.remote_static
        assert local is not None
        assert remote is not None
        return diffie_hellman(local.secret_key, remote)


def _take(message: bytes, position: int, size: int) -> tuple[bytes, int]:
    end = position + size
    if end > len(message):
        raise HandshakeError("a message of the handshake is too short")
    return message[position:end], end
