"""Ed25519 key pairs, signatures and randomness: the only door to all three.

Source: hypercore-crypto 3.7.0 (`keyPair`, `sign`, `verify`), libsodium's detached signatures.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from nacl import bindings
from nacl.exceptions import BadSignatureError

from ..errors import BadArgument

SEED_BYTES = 32
PUBLIC_KEY_BYTES = 32
SIGNATURE_BYTES = 64


@dataclass(frozen=True, slots=True)
class KeyPair:
    """`public_key` 32 bytes; `secret_key` 64 bytes (seed, then public key), never shown by repr."""

    public_key: bytes
    secret_key: bytes = field(repr=False)


def random_bytes(count: int) -> bytes:
    """`count` bytes from the operating system's generator (through libsodium)."""
    return bindings.randombytes(count)


def key_pair(seed: bytes | None = None) -> KeyPair:
    """The pair of a 32-byte seed, or a new random one."""
    seed = random_bytes(SEED_BYTES) if seed is None else seed
    if len(seed) != SEED_BYTES:
        raise BadArgument(f"a seed has {SEED_BYTES} bytes, not {len(seed)}")
    public_key, secret_key = bindings.crypto_sign_seed_keypair(seed)
    return KeyPair(public_key, secret_key)


def sign(message: bytes, secret_key: bytes) -> bytes:
    """Detached signature, 64 bytes."""
    return bindings.crypto_sign(message, secret_key)[:SIGNATURE_BYTES]


def verify(message: bytes, signature: bytes, public_key: bytes) -> bool:
    """Whether `signature` is `public_key`'s over `message`. False for anything malformed."""
    if len(signature) != SIGNATURE_BYTES or len(public_key) != PUBLIC_KEY_BYTES:
        return False
    try:
        bindings.crypto_sign_open(signature + message, public_key)
    except BadSignatureError:
        return False
    return True
