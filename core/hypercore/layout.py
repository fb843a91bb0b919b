"""Where the parts of a log lie in a store, and how the two small records of a log are written.

Every log has a number; all of its keys begin with `LOG || u32be(number)`, so a log is one stretch of the key
space and dropping it is one range. This format is private: nothing of it goes over a wire.

    LOG number 00            identity: key, manifest, key pair    (`Identity`)
    LOG number 01            head: fork, length, signature ...                    (`Head`)
    LOG number 02 u64be(i)   block i as replicated (encrypted if the log is)
    LOG number 03 u64be(i)   tree node i: u64le(size), hash (32 bytes)
    LOG number 04 u64be(p)   page p of the bitfield (`bitfield.py`)
    LOG number 05 name       user data
    KEPT number u64be(generation) u64be(i)   block i that a truncation removed under an open snapshot
    CORE discovery key       the log's number (u32be), then the alias: namespace (32 bytes) and name, if any
    ALIAS namespace hash     the discovery key of a named core; hash = BLAKE2b-256 of the name
    STORE 00                 the primary key;   STORE 01   the next free number
    STORE 02                 the primary key under a passphrase, instead of 00 (`sealed.py`)
    STORE 03                 there while open secrets may be left in the files of a store that was sealed
"""

from __future__ import annotations

from dataclasses import dataclass
from struct import Struct
from typing import Final

from ..crypto.hashing import hash32
from ..crypto.keys import KeyPair
from ..crypto.vault import Vault
from ..encoding.compact import decode_buffer, decode_fixed, decode_uint, encode_buffer, encode_uint
from ..errors import BadArgument, StorageCorrupt
from .manifest import Manifest, decode_manifest, encode_manifest

PRIMARY_KEY: Final = b"\x01\x00"
NEXT_NUMBER: Final = b"\x01\x01"
SEAL: Final = b"\x01\x02"
UNSWEPT: Final = b"\x01\x03"
_CORE: Final = b"\x02"
_ALIAS: Final = b"\x03"
_LOG: Final = b"\x10"
_KEPT: Final = b"\x11"

IDENTITY: Final = b"\x00"
HEAD: Final = b"\x01"
BLOCK: Final = b"\x02"
NODE: Final = b"\x03"
PAGE: Final = b"\x04"
USER_DATA: Final = b"\x05"
_AFTER: Final = b"\xff" * 9

MAX_USER_DATA_NAME: Final = 400

U32: Final = Struct(">I")
U64: Final = Struct(">Q")
_NODE_VALUE: Final = Struct("<Q32s")
_HEAD_VALUE: Final = Struct("<QQQQQ")

pack_u64 = U64.pack
pack_numbered_key = Struct(">6sQ").pack
"""(prefix of a log's blocks or nodes, index) -> key: what `prefix + pack_u64(index)` is, in one step."""
pack_node = _NODE_VALUE.pack
unpack_node = _NODE_VALUE.unpack


def log_prefix(number: int) -> bytes:
    return _LOG + U32.pack(number)


def log_bounds(number: int) -> tuple[bytes, bytes]:
    """The stretch of everything that belongs to a log."""
    return log_prefix(number), log_prefix(number) + _AFTER + _AFTER


def page_key(prefix: bytes, page: int) -> bytes:
    return prefix + PAGE + pack_u64(page)


def page_of_key(key: bytes) -> int:
    page: int = U64.unpack(key[-8:])[0]
    return page


def page_bounds(prefix: bytes, first: int) -> tuple[bytes, bytes]:
    """The stretch of all pages from `first` on."""
    return page_key(prefix, first), prefix + PAGE + _AFTER


def block_bounds(prefix: bytes, start: int, end: int | None = None) -> tuple[bytes, bytes]:
    """The stretch of blocks [start, end), or of all from `start` on."""
    return prefix + BLOCK + pack_u64(start), prefix + BLOCK + (_AFTER if end is None else pack_u64(end))


def node_bounds(prefix: bytes, start: int) -> tuple[bytes, bytes]:
    return prefix + NODE + pack_u64(start), prefix + NODE + _AFTER


def user_data_key(prefix: bytes, name: str) -> bytes:
    raw = name.encode()
    if len(raw) > MAX_USER_DATA_NAME:
        raise BadArgument(f"the name of user data has at most {MAX_USER_DATA_NAME} bytes, not {len(raw)}")
    return prefix + USER_DATA + raw


def kept_key(number: int, generation: int, index: int) -> bytes:
    return _KEPT + U32.pack(number) + pack_u64(generation) + pack_u64(index)


def kept_bounds(number: int | None = None) -> tuple[bytes, bytes]:
    """The blocks kept for snapshots of one log, or of all logs."""
    if number is None:
        return _KEPT, _KEPT + _AFTER
    return _KEPT + U32.pack(number), _KEPT + U32.pack(number) + _AFTER + _AFTER


def core_key(discovery_key: bytes) -> bytes:
    return _CORE + discovery_key


def core_bounds() -> tuple[bytes, bytes]:
    return _CORE, _ALIAS


def discovery_key_of(key: bytes) -> bytes:
    return key[1:]


def alias_key(namespace: bytes, name: str) -> bytes:
    return _ALIAS + namespace + hash32(name.encode())


# --- head ---------------------------------------------------------------------------------------


@dataclass(slots=True)
class Head:
    """What changes with every append. `byte_length` counts the blocks as stored (with padding)."""

    fork: int = 0
    length: int = 0
    byte_length: int = 0
    contiguous_length: int = 0
    remote_contiguous_length: int = 0
    signature: bytes | None = None

    def encode(self) -> bytes:
        return _HEAD_VALUE.pack(
            self.fork, self.length, self.byte_length, self.contiguous_length, self.remote_contiguous_length
        ) + (self.signature or b"")

    @classmethod
    def decode(cls, value: bytes) -> Head:
        if len(value) < _HEAD_VALUE.size:
            raise StorageCorrupt("the head of a log is cut short")
        fork, length, byte_length, contiguous, remote_contiguous = _HEAD_VALUE.unpack_from(value)
        signature = value[_HEAD_VALUE.size :] or None
        return cls(fork, length, byte_length, contiguous, remote_contiguous, signature)


# --- identity -----------------------------------------------------------------------------------

_HAS_MANIFEST: Final = 1
_HAS_KEY_PAIR: Final = 2
_IS_SEALED: Final = 4


@dataclass(slots=True)
class Identity:
    """What a log is: its key, what the key stands for, and what of its secrets this store holds."""

    key: bytes
    manifest: Manifest | None = None
    key_pair: KeyPair | None = None

    def encode(self, vault: Vault | None = None) -> bytes:
        """`vault`: of a store whose secrets are sealed."""
        flags, parts = 0, []
        if self.manifest is not None:
            flags |= _HAS_MANIFEST
            parts.append(encode_buffer(encode_manifest(self.manifest)))
        if self.key_pair is not None:
            flags |= _HAS_KEY_PAIR
            secret_key = self.key_pair.secret_key
            if vault is not None:
                flags |= _IS_SEALED
                secret_key = encode_buffer(vault.seal(secret_key))
            parts += [self.key_pair.public_key, secret_key]
        return self.key + encode_uint(flags) + b"".join(parts)

    @classmethod
    def decode(cls, value: bytes, vault: Vault | None = None) -> Identity:
        """Raises `StorageCorrupt` when it is sealed, and not in this vault."""
        key, position = decode_fixed(value, 0, 32)
        flags, position = decode_uint(value, position)
        identity = cls(key)
        if flags & _HAS_MANIFEST:
            manifest, position = decode_buffer(value, position)
            identity.manifest = decode_manifest(manifest)[0]
        if flags & _HAS_KEY_PAIR:
            public_key, position = decode_fixed(value, position, 32)
            if flags & _IS_SEALED:
                if vault is None:
                    raise StorageCorrupt("the key of a log is sealed, in a store that is not")
                sealed, position = decode_buffer(value, position)
                secret_key = vault.open(bytes(sealed))
            else:
                secret_key, position = decode_fixed(value, position, 64)
            identity.key_pair = KeyPair(public_key, secret_key)
        return identity
