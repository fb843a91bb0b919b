"""BLAKE2b as the hypercore family uses it: tree hashes, discovery keys, namespaces.

Sources: hypercore-crypto 3.7.0 (`data`, `parent`, `tree`, `discoveryKey`, `namespace`); hypercore 11.37.1
`lib/caps.js` for the namespaces' order. Checked against `tests/vectors/log/crypto.json`.
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import blake2b
from struct import Struct
from typing import Final, TypeAlias

# A tree node: (flat-tree index, bytes of the blocks below it, hash). A plain tuple, because a replicated
# block makes several and a class instance would cost ten times as much.
Node: TypeAlias = tuple[int, int, bytes]

LEAF: Final = Struct("<BQ")
PARENT: Final = Struct("<BQ32s32s")
_ROOT: Final = Struct("<32sQQ")

# Copying a fresh state is a third cheaper than setting one up, and trees are made of nothing but short hashes.
FRESH_HASH: Final = blake2b(digest_size=32)


def hash32(data: bytes, *, key: bytes = b"") -> bytes:
    """BLAKE2b-256 of `data`, keyed when `key` (16..64 bytes) is given."""
    return blake2b(data, digest_size=32, key=key).digest()


def hash64(data: bytes, *, key: bytes = b"") -> bytes:
    """BLAKE2b-512 of `data`."""
    return blake2b(data, digest_size=64, key=key).digest()


def leaf_hash(block: bytes) -> bytes:
    """Hash of one block (as stored, i.e. encrypted if the log is)."""
    state = FRESH_HASH.copy()
    state.update(LEAF.pack(0, len(block)) + block)
    return state.digest()


def parent_hash(size: int, left: bytes, right: bytes) -> bytes:
    """Hash over two siblings, left being the one with the smaller index; `size` is the sum of theirs."""
    state = FRESH_HASH.copy()
    state.update(PARENT.pack(1, size, left, right))
    return state.digest()


def tree_hash(roots: Iterable[Node]) -> bytes:
    """The hash that is signed: over all full roots, left to right. The empty tree has one too."""
    message = b"\x02" + b"".join([_ROOT.pack(digest, index, size) for index, size, digest in roots])
    return blake2b(message, digest_size=32).digest()


def discovery_key(key: bytes) -> bytes:
    """What a core is asked for by: tells nobody the 32-byte `key` that is needed to read it."""
    return blake2b(b"hypercore", digest_size=32, key=key).digest()


def namespaces(name: str, count: int) -> tuple[bytes, ...]:
    """The first `count` 32-byte constants that separate the uses of a hash or signature under `name`."""
    seed = hash32(name.encode())
    return tuple(hash32(seed + bytes((index,))) for index in range(count))


TREE, REPLICATE_INITIATOR, REPLICATE_RESPONDER, MANIFEST, DEFAULT_NAMESPACE, DEFAULT_ENCRYPTION = namespaces(
    "hypercore", 6
)
"""hypercore 11.37.1 `lib/caps.js`, in its order."""

(CORESTORE,) = namespaces("corestore", 1)
"""corestore 7.12.5: derives the key pair of a named core from the primary key."""
