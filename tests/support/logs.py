"""Logs written by hand, with the blocks and the key pair of the vectors."""

from __future__ import annotations

from core.crypto.keys import KeyPair, key_pair
from core.hypercore.layout import Identity
from core.hypercore.log import Log
from core.hypercore.manifest import default_manifest, manifest_key
from core.hypercore.registry import LogRegistry
from core.storage import MemoryStorage
from core.storage.base import OverlayStorage

PAIR: KeyPair = key_pair(bytes([1]) * 32)


def new_log(storage: OverlayStorage | None = None, pair: KeyPair = PAIR) -> Log:
    """An empty log of `pair` in `storage` (memory by default), not committed yet."""
    manifest = default_manifest(pair.public_key)
    registry = LogRegistry(storage or MemoryStorage())
    return registry.create(Identity(manifest_key(manifest), manifest, pair))
