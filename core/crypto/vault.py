"""Secrets at rest, sealed by a passphrase.

A passphrase is made into a key by Argon2id, slowly, and that key seals one secret (`seal_secret`). What is sealed under
a secret that is known already, and must be quick, goes into a `Vault`. Both are libsodium's XSalsa20-Poly1305, the
nonce first. The formats are private: nothing of them goes over a wire.
"""

from __future__ import annotations

import unicodedata
from struct import Struct
from typing import Final, NamedTuple

import nacl.exceptions
import nacl.pwhash
import nacl.secret
import nacl.utils

from ..errors import StorageCorrupt, WrongPassphrase
from .hashing import hash32

_HEAD: Final = Struct("<BII16s")
"""Version, then what Argon2id is given: operations, memory (KiB), salt."""

_VERSION: Final = 1
_MAX_OPERATIONS: Final = 20
_MAX_MEMORY_KIB: Final = 1024 * 1024
_VAULT: Final = b"meadow vault 1"


class Cost(NamedTuple):
    """What one guess of a passphrase costs: passes, and memory in KiB."""

    operations: int
    memory_kib: int


MODERATE: Final = Cost(nacl.pwhash.argon2id.OPSLIMIT_MODERATE, nacl.pwhash.argon2id.MEMLIMIT_MODERATE // 1024)
"""About a second and 256 MB."""


class Vault:
    """Seals small secrets under a key that follows from `secret` (32 bytes)."""

    __slots__ = ("_box",)

    def __init__(self, secret: bytes) -> None:
        self._box = nacl.secret.SecretBox(hash32(_VAULT, key=secret))

    def seal(self, secret: bytes) -> bytes:
        """40 bytes longer than what went in."""
        return bytes(self._box.encrypt(secret))

    def open(self, sealed: bytes) -> bytes:
        """Raises `StorageCorrupt` when it was not sealed here."""
        try:
            return self._box.decrypt(sealed)
        except (nacl.exceptions.CryptoError, ValueError) as error:
            raise StorageCorrupt("a sealed key of this store was damaged") from error


def seal_secret(secret: bytes, passphrase: str, cost: Cost = MODERATE) -> bytes:
    """`secret` so that only `passphrase` opens it; the cost is written beside it."""
    salt = nacl.utils.random(nacl.pwhash.argon2id.SALTBYTES)
    head = _HEAD.pack(_VERSION, cost.operations, cost.memory_kib, salt)
    return head + bytes(_box(spellings(passphrase)[0], cost, salt).encrypt(secret))


def open_secret(sealed: bytes, passphrase: str) -> bytes:
    """What `seal_secret` was given. Raises `WrongPassphrase`, `StorageCorrupt`."""
    if len(sealed) < _HEAD.size:
        raise StorageCorrupt("the sealed key of this store was damaged")
    version, operations, memory_kib, salt = _HEAD.unpack_from(sealed)
    if version != _VERSION or not (0 < operations <= _MAX_OPERATIONS and 8 <= memory_kib <= _MAX_MEMORY_KIB):
        raise StorageCorrupt("the sealed key of this store was damaged, or sealed by another version")
    for spelling in spellings(passphrase):
        try:
            return _box(spelling, Cost(operations, memory_kib), salt).decrypt(sealed[_HEAD.size :])
        except (nacl.exceptions.CryptoError, ValueError):
            continue
    raise WrongPassphrase("that is not the passphrase that this store was sealed by")


def spellings(passphrase: str) -> list[str]:
    """The ways to write it that look alike, each once; an accent is one character here and two there.

    What is sealed is sealed by the first (NFC), so that it opens on another system too; the others are for what an
    earlier version sealed by what was typed.
    """
    forms = (unicodedata.normalize("NFC", passphrase), passphrase, unicodedata.normalize("NFD", passphrase))
    return list(dict.fromkeys(forms))


def _box(passphrase: str, cost: Cost, salt: bytes) -> nacl.secret.SecretBox:
    size = nacl.secret.SecretBox.KEY_SIZE
    key = nacl.pwhash.argon2id.kdf(size, passphrase.encode(), salt, cost.operations, cost.memory_kib * 1024)
    return nacl.secret.SecretBox(key)
