"""Whether the secrets of a store lie open in its files (mode 0600) or are sealed by a passphrase.

The secrets are the primary key and the secret half of every log's key pair. Sealed, the primary key lies under the
passphrase and the others under the primary key (`storage.vault`), so a new passphrase changes one record only.

Going from one to the other is one commit: a process that is killed leaves the one or the other. What lay in the files
before is left behind afterwards, by a rewrite of the whole store; a mark in the commit says that it is due, and the
next to open the store does it if this process could not.
"""

from __future__ import annotations

from ..crypto.keys import random_bytes
from ..crypto.vault import MODERATE, Cost, Vault, open_secret, seal_secret
from ..errors import BadArgument, StoreSealed, WrongPassphrase
from ..storage.base import Storage
from .layout import IDENTITY, PRIMARY_KEY, SEAL, U32, UNSWEPT, Identity, core_bounds, log_prefix

PRIMARY_KEY_BYTES = 32


def is_sealed(storage: Storage) -> bool:
    return storage.get(SEAL) is not None


def take_primary_key(storage: Storage, wished: bytes | None, passphrase: str | None) -> bytes:
    """The stored primary key; in a new store `wished` or a random one, durable before anything is derived.

    Raises `StoreSealed` (a passphrase is needed), `WrongPassphrase`, `BadArgument` (the store has another key).
    """
    if wished is not None and len(wished) != PRIMARY_KEY_BYTES:
        raise BadArgument(f"a primary key has {PRIMARY_KEY_BYTES} bytes, not {len(wished)}")
    sealed = storage.get(SEAL)
    if sealed is not None:
        if passphrase is None:
            raise StoreSealed("the keys of this store are sealed by a passphrase, and none was given")
        stored: bytes | None = open_secret(sealed, passphrase)
        assert stored is not None
        storage.vault = Vault(stored)
        _sweep(storage)
    else:
        stored = storage.get(PRIMARY_KEY)
    if stored is None:
        stored = wished or random_bytes(PRIMARY_KEY_BYTES)
        storage.put(PRIMARY_KEY, stored)
        storage.commit()
        storage.sync()
    elif wished is not None and wished != stored:
        raise BadArgument("the store has another primary key")
    return stored


def seal_of(primary_key: bytes, passphrase: str | None, cost: Cost = MODERATE) -> bytes | None:
    """What `reseal` takes; slow by intention, and touches no store, so it may run in a thread."""
    return None if passphrase is None else seal_secret(primary_key, passphrase, cost)


def opens_with(sealed: bytes, passphrase: str) -> bool:
    """Whether it is the passphrase; as slow. Raises `StorageCorrupt`."""
    try:
        open_secret(sealed, passphrase)
    except WrongPassphrase:
        return False
    return True


def reseal(storage: Storage, primary_key: bytes, sealed: bytes | None) -> None:
    """Seal the secrets by a passphrase (`sealed`: what `seal_of` gave), also instead of an earlier one; None: let them
    lie open again.

    Durable, and nothing of what lay open is left in the files, when it returns. Raises `StorageError`; then the store
    may be in either state, never between them.
    """
    before = storage.vault
    after = None if sealed is None else Vault(primary_key)
    if (before is None) is not (after is None):
        for _, entry in storage.range(*core_bounds()):
            at = log_prefix(U32.unpack_from(entry)[0]) + IDENTITY
            value = storage.get(at)
            identity = None if value is None else Identity.decode(value, before)
            if identity is not None and identity.key_pair is not None:
                storage.put(at, identity.encode(after))
    if sealed is None:
        storage.put(PRIMARY_KEY, primary_key)
        storage.delete(SEAL)
        storage.delete(UNSWEPT)
    else:
        storage.put(SEAL, sealed)
        storage.delete(PRIMARY_KEY)
        storage.put(UNSWEPT, b"\x01")
    storage.commit()
    storage.vault = after
    storage.sync()
    _sweep(storage)


def _sweep(storage: Storage) -> None:
    if storage.get(UNSWEPT) is None:
        return
    storage.rewrite()
    storage.delete(UNSWEPT)
    storage.commit()
    storage.sync()
