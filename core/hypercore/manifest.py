"""Manifests: who may sign a log, and how a log's key follows from that.

Source: hypercore 11.37.1 `lib/verifier.js` (`createManifest`, `manifestHash`, `isCompat`) and
`lib/messages.js` (`manifest`, `manifestv0`). Checked against `tests/vectors/log/manifests.json`.

A log's key is the hash of its manifest, so a manifest needs no protection of its own: whoever knows the key
can check it. The exception are *compat* logs, whose key is the public key of their only signer.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from ..crypto.hashing import DEFAULT_NAMESPACE, MANIFEST, hash32
from ..encoding.compact import (
    decode_array,
    decode_buffer,
    decode_fixed,
    decode_uint,
    encode_array,
    encode_buffer,
    encode_uint,
)
from ..errors import BadArgument, DecodingError
from ..limits import MAX_SAFE_INTEGER

KEY_BYTES: Final = 32
NEWEST_VERSION: Final = 3

_ALLOW_PATCH: Final = 1
_HAS_PROLOGUE: Final = 2
_HAS_LINKED: Final = 4
_HAS_USER_DATA: Final = 8

# Body layouts of version 0.
_STATIC: Final = 0
_SINGLE: Final = 1
_MULTIPLE: Final = 2


@dataclass(frozen=True, slots=True)
class Signer:
    """One Ed25519 public key (32 bytes); `namespace` (32 bytes) goes into what version 0 signs."""

    public_key: bytes
    namespace: bytes = DEFAULT_NAMESPACE


@dataclass(frozen=True, slots=True)
class Prologue:
    """The log's first `length` blocks are fixed: their tree hash is `hash`, and they need no signature."""

    hash: bytes
    length: int


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a log's key stands for. Make new ones with `create_manifest`, which fills in and checks."""

    version: int = 1
    allow_patch: bool = False
    quorum: int = 1
    signers: tuple[Signer, ...] = ()
    prologue: Prologue | None = None
    linked: tuple[bytes, ...] | None = None
    user_data: bytes | None = None


def default_manifest(public_key: bytes) -> Manifest:
    """Version 1 with one signer: what every ordinary log has."""
    return Manifest(version=1, quorum=1, signers=(Signer(public_key),))


def create_manifest(
    *,
    version: int | None = None,
    allow_patch: bool = False,
    quorum: int | None = None,
    signers: Iterable[Signer] = (),
    prologue: Prologue | None = None,
    linked: Iterable[bytes] | None = None,
    user_data: bytes | None = None,
) -> Manifest:
    """A manifest with the reference's defaults: the lowest version that can say it, a quorum of the majority.

    Raises `BadArgument` for what the reference refuses.
    """
    signers = tuple(signers)
    links = tuple(linked) if linked is not None else ()
    if version is None:
        version = 2 if links or user_data is not None else 1
    if quorum is None:
        quorum = len(signers) // 2 + 1 if signers else 0
    _check_manifest(version, quorum, signers, prologue, links, user_data)
    return Manifest(version, allow_patch, quorum, signers, prologue, links or None, user_data)


def _check_manifest(
    version: int,
    quorum: int,
    signers: tuple[Signer, ...],
    prologue: Prologue | None,
    linked: tuple[bytes, ...],
    user_data: bytes | None,
) -> None:
    if not 0 <= version <= NEWEST_VERSION:
        raise BadArgument(f"a manifest has version 0 to {NEWEST_VERSION}, not {version}")
    if quorum < 0:
        raise BadArgument("a quorum cannot be negative")
    if quorum > len(signers):
        raise BadArgument(f"a quorum of {quorum} cannot be reached by {len(signers)} signers")
    for signer in signers:
        if len(signer.public_key) != KEY_BYTES or len(signer.namespace) != KEY_BYTES:
            raise BadArgument(f"a signer's key and namespace have {KEY_BYTES} bytes each")
    if prologue is not None and (
        len(prologue.hash) != KEY_BYTES or not 0 <= prologue.length <= MAX_SAFE_INTEGER
    ):
        raise BadArgument("a prologue is a tree hash of 32 bytes and a length that is not negative")
    if version < 2 and (linked or user_data is not None):
        raise BadArgument("linked keys and user data need a manifest of version 2")
    if any(len(key) != KEY_BYTES for key in linked):
        raise BadArgument(f"a linked key has {KEY_BYTES} bytes")


def manifest_key(manifest: Manifest) -> bytes:
    """The key of the log that has this manifest (32 bytes); not for compat logs."""
    return hash32(MANIFEST + encode_manifest(manifest))


def is_compat(key: bytes, manifest: Manifest) -> bool:
    """Whether `key` is the public key of the only signer, and signatures therefore have the older form."""
    return len(manifest.signers) == 1 and manifest.signers[0].public_key == key


def is_manifest_of(key: bytes, manifest: Manifest) -> bool:
    """Whether `manifest` may speak for the log `key`."""
    return is_compat(key, manifest) or manifest_key(manifest) == key


def encode_manifest(manifest: Manifest) -> bytes:
    """The bytes that are hashed, stored and sent."""
    if manifest.version == 0:
        return b"\x00" + _encode_version0(manifest)
    flags = 0
    tail = b""
    if manifest.allow_patch:
        flags |= _ALLOW_PATCH
    if manifest.prologue is not None:
        flags |= _HAS_PROLOGUE
        tail += manifest.prologue.hash + encode_uint(manifest.prologue.length)
    if manifest.linked is not None:
        flags |= _HAS_LINKED
        tail += encode_array(manifest.linked)
    if manifest.user_data is not None:
        flags |= _HAS_USER_DATA
        tail += encode_buffer(manifest.user_data)
    head = encode_uint(manifest.version) + encode_uint(flags) + b"\x00" + encode_uint(manifest.quorum)
    return head + encode_array(map(_encode_signer, manifest.signers)) + tail


def decode_manifest(data: bytes, position: int = 0) -> tuple[Manifest, int]:
    """The manifest at `position`, and the position after it. Raises `DecodingError`."""
    version, position = decode_uint(data, position)
    if version == 0:
        return _decode_version0(data, position)
    if version > NEWEST_VERSION:
        raise DecodingError(f"a manifest of version {version} is newer than this software")
    flags, position = decode_uint(data, position)
    position = _decode_hash_name(data, position)
    quorum, position = decode_uint(data, position)
    signers, position = decode_array(data, position, _decode_signer)
    prologue, linked, user_data = None, None, None
    if flags & _HAS_PROLOGUE:
        digest, position = decode_fixed(data, position, KEY_BYTES)
        length, position = decode_uint(data, position)
        prologue = Prologue(digest, length)
    if flags & _HAS_LINKED:
        keys, position = decode_array(data, position, _decode_key)
        linked = tuple(keys)
    if flags & _HAS_USER_DATA:
        user_data, position = decode_buffer(data, position)
    allow_patch = bool(flags & _ALLOW_PATCH)
    return Manifest(version, allow_patch, quorum, tuple(signers), prologue, linked, user_data), position


def _encode_version0(manifest: Manifest) -> bytes:
    if manifest.prologue is not None and not manifest.signers:
        # The length is not written, so whoever decodes this sees 0.
        return bytes((0, _STATIC)) + manifest.prologue.hash
    if manifest.quorum == 1 and len(manifest.signers) == 1 and not manifest.allow_patch:
        return bytes((0, _SINGLE)) + _encode_signer(manifest.signers[0])
    flags = _ALLOW_PATCH if manifest.allow_patch else 0
    signers = encode_array(map(_encode_signer, manifest.signers))
    return bytes((0, _MULTIPLE, flags)) + encode_uint(manifest.quorum) + signers


def _decode_version0(data: bytes, position: int) -> tuple[Manifest, int]:
    position = _decode_hash_name(data, position)
    kind, position = decode_uint(data, position)
    if kind == _STATIC:
        digest, position = decode_fixed(data, position, KEY_BYTES)
        return Manifest(version=0, quorum=0, prologue=Prologue(digest, 0)), position
    if kind == _SINGLE:
        signer, position = _decode_signer(data, position)
        return Manifest(version=0, quorum=1, signers=(signer,)), position
    if kind != _MULTIPLE:
        raise DecodingError(f"a version 0 manifest has no type {kind}")
    flags, position = decode_uint(data, position)
    quorum, position = decode_uint(data, position)
    signers, position = decode_array(data, position, _decode_signer)
    allow_patch = bool(flags & _ALLOW_PATCH)
    return Manifest(0, allow_patch, quorum, tuple(signers)), position


def _encode_signer(signer: Signer) -> bytes:
    return b"\x00" + signer.namespace + signer.public_key


def _decode_signer(data: bytes, position: int) -> tuple[Signer, int]:
    scheme, position = decode_uint(data, position)
    if scheme != 0:
        raise DecodingError(f"signature scheme {scheme} is unknown; only 0, Ed25519, exists")
    namespace, position = decode_fixed(data, position, KEY_BYTES)
    public_key, position = decode_fixed(data, position, KEY_BYTES)
    return Signer(public_key, namespace), position


def _decode_hash_name(data: bytes, position: int) -> int:
    name, position = decode_uint(data, position)
    if name != 0:
        raise DecodingError(f"hash {name} is unknown; only 0, BLAKE2b, exists")
    return position


def _decode_key(data: bytes, position: int) -> tuple[bytes, int]:
    return decode_fixed(data, position, KEY_BYTES)
