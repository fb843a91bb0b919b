"""Many logs in one store: found by key or by name, opened when used, shared with whoever may read them.

Source: corestore 7.12.5. One 32-byte primary key is the only secret a store needs: the key pair of a named
core is derived from it and the name, so the same primary key makes the same cores again.

Opening a core is three reads of the store, so `get` is an ordinary function; nothing waits until a block
does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final
from weakref import WeakSet

from .crypto.hashing import CORESTORE, hash32
from .crypto.hashing import discovery_key as discovery_key_of
from .crypto.keys import KeyPair
from .crypto.keys import key_pair as new_key_pair
from .crypto.vault import MODERATE, Cost
from .encoding.z32 import parse_key
from .errors import BadArgument, StorageError
from .hypercore import Encryption, Hypercore
from .hypercore.demand import ReplicatorFactory
from .hypercore.layout import SEAL, Identity
from .hypercore.log import Log
from .hypercore.manifest import Manifest, Signer, create_manifest, is_manifest_of, manifest_key
from .hypercore.registry import Alias, CoreInfo, LogRegistry
from .hypercore.sealed import is_sealed, opens_with, reseal, seal_of, take_primary_key
from .protomux import Mux
from .storage import LmdbStorage, MemoryStorage, Storage
from .storage.upkeep import Told
from .store_replication import StoreReplication, replicator_for

DEFAULT_NAMESPACE: Final = bytes(32)


class Corestore:
    """The cores in `storage`: a directory (LMDB, made when missing), a `Storage`, or None for memory only.

    `primary_key` (32 bytes): for a new store, instead of a random one. `passphrase`: what its keys are
    sealed by, if they are. `manifest_version`: of cores made here. Raises `StorageLocked` (another process has it),
    `StorageVersion`, `BadArgument` (another primary key), `StoreSealed`, `WrongPassphrase`.
    """

    def __init__(
        self,
        storage: Storage | Path | str | None = None,
        *,
        primary_key: bytes | None = None,
        passphrase: str | None = None,
        manifest_version: int = 1,
        replicator_factory: ReplicatorFactory = replicator_for,
    ) -> None:
        if storage is None:
            storage = MemoryStorage()
        elif isinstance(storage, (str, Path)):
            storage = LmdbStorage(storage)
        self._registry = LogRegistry(storage, replicator_factory=replicator_factory)
        try:
            self.primary_key = take_primary_key(storage, primary_key, passphrase)
        except BaseException:
            storage.close()
            raise
        self._namespace = DEFAULT_NAMESPACE
        self._manifest_version = manifest_version
        self._replications: set[StoreReplication] = set()
        self._sessions: WeakSet[Hypercore] = WeakSet()
        self._parent: Corestore | None = None
        self._registry.on_wanted = self._wanted

    # --- cores --------------------------------------------------------------------------------

    def get(
        self,
        key: bytes | str | None = None,
        *,
        name: str | None = None,
        key_pair: KeyPair | None = None,
        manifest: Manifest | None = None,
        discovery_key: bytes | None = None,
        compat: bool = False,
        encryption_key: bytes | None = None,
        is_block_key: bool = False,
        writable: bool = True,
        active: bool = True,
        wait: bool = True,
        timeout: float | None = None,
    ) -> Hypercore:
        """A session on one core, which is made when the store does not have it yet.

        Exactly one way to say which: `key` (32 bytes, 64 hex digits or 52 z-base-32 letters; read-only unless
        its key pair is here), `name` (ours, in this namespace), `key_pair` and/or `manifest` (the key
        follows; `compat` makes the public key the key), or `discovery_key` (must be stored). `encryption_key`
        (32 bytes) encrypts the blocks, under a key derived from it or, with `is_block_key`, under itself. The
        rest as `Hypercore`.
        """
        if key is not None:
            log = self._log_by_key(parse_key(key), manifest, key_pair)
        elif name is not None:
            log = self._log_by_name(name)
        elif discovery_key is not None:
            found = self._registry.find(discovery_key)
            if found is None:
                raise StorageError(f"the store has no core with the discovery key {discovery_key.hex()}")
            log = found
        elif key_pair is not None or manifest is not None:
            log = self._log_by_manifest(manifest, key_pair, compat)
        else:
            raise BadArgument("say which core: by key, name, key_pair, manifest or discovery_key")
        session = Hypercore(
            log,
            encryption=None if encryption_key is None else Encryption(encryption_key, is_block_key),
            key_pair=key_pair,
            writable=writable,
            active=active,
            wait=wait,
            timeout=timeout,
        )
        self._sessions.add(session)
        return session

    def drop(self, key: bytes | str) -> int:
        """Take a core out of the store with all its blocks, durable with the commit of this turn; returns how many
        blocks were held. Raises `BadArgument` while a session on it is open.
        """
        return self._registry.drop(discovery_key_of(parse_key(key)))

    def namespace(self, name: str) -> Corestore:
        """A store over the same cores in which names mean others. Nests. Closing it closes its own
        sessions.
        """
        child = object.__new__(Corestore)
        child.__dict__.update(self.__dict__)
        child._namespace = hash32(self._namespace + name.encode())
        child._sessions = WeakSet()
        child._parent = self
        return child

    def create_key_pair(self, name: str) -> KeyPair:
        """The pair that a core of this name in this namespace has; also for other uses of a stable key."""
        return new_key_pair(hash32(CORESTORE + self._namespace + name.encode(), key=self.primary_key))

    def list(self, *, all_namespaces: bool = True) -> Iterator[CoreInfo]:
        """The cores in the store (discovery key, alias), or only those named in this namespace."""
        return self._registry.list(None if all_namespaces else self._namespace)

    def signed_here(self) -> Iterator[tuple[bytes, str | None]]:
        """The key of every core whose secret key this store holds, and its name here if it has one."""
        for key, alias in self._registry.signed_here():
            yield key, None if alias is None else alias.name

    @property
    def sessions(self) -> Sequence[Hypercore]:
        """The sessions that were made here and are not closed."""
        return [session for session in self._sessions if not session.closed]

    # --- peers --------------------------------------------------------------------------------

    def replicate(self, mux: Mux) -> StoreReplication:
        """Share over this connection: every open core that is read, now or later, and what the remote asks
        for by a discovery key we store. `close()` of what is returned ends it."""
        replication = StoreReplication(self._registry, mux, self._replications)
        for log in self._registry.open_logs:
            if log.is_wanted:
                replication.attach(log)
        return replication

    # --- secrets ------------------------------------------------------------------------------

    @property
    def is_sealed(self) -> bool:
        """Whether the keys in the files are sealed by a passphrase."""
        return is_sealed(self._registry.storage)

    def seal(self, passphrase: str | None, cost: Cost = MODERATE) -> None:
        """Seal the keys by `passphrase` (None: by none), and leave nothing of what lay open in the files.

        Takes as long as writing the store anew. A process killed meanwhile leaves it sealed or open, never between;
        what was left of open keys is gone after the next opening. Raises `StorageError`.
        """
        self._seal(seal_of(self.primary_key, passphrase, cost))

    async def seal_meanwhile(self, passphrase: str | None, cost: Cost = MODERATE) -> None:
        """As `seal`, in a store that is used meanwhile: the passphrase is made into a key in a thread, and only the
        writing anew keeps others waiting.
        """
        self._seal(await asyncio.to_thread(seal_of, self.primary_key, passphrase, cost))

    async def opens_with(self, passphrase: str) -> bool:
        """Whether the keys are sealed by this passphrase. As slow as opening the store. Raises `StorageCorrupt`."""
        sealed = self._registry.storage.get(SEAL)
        return sealed is not None and await asyncio.to_thread(opens_with, sealed, passphrase)

    def _seal(self, sealed: bytes | None) -> None:
        self.commit()
        reseal(self._registry.storage, self.primary_key, sealed)

    # --- durability ---------------------------------------------------------------------------

    def commit(self) -> None:
        """Commit what was written so far: it survives a killed process. Raises `StorageError`; then none of it
        was kept.
        """
        if self._registry.commit.pending:
            self._registry.commit.now()

    def when_safe(self, told: Told, *, at_once: bool = False) -> None:
        """Call `told(None)` when what was shown to peers so far survives a power cut, `told(error)` when that
        cannot be: what is sent to them waits for it. `at_once`: wait for the disk here.
        """
        self._registry.commit.when_safe(told, at_once=at_once)

    async def safe(self) -> None:
        """As `flush`, but the disk is waited for in a thread. Raises `StorageError`."""
        self.commit()
        self._registry.commit.promise()
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def told(error: StorageError | None) -> None:
            if future.done():
                return
            if error is None:
                future.set_result(None)
            else:
                future.set_exception(error)

        self.when_safe(told)
        await future

    async def flush(self) -> None:
        """Commit what was written so far, and return when it survives a power cut. Raises `StorageError`."""
        self.commit()
        self._registry.storage.sync()

    async def copy(self, directory: Path) -> None:
        """A copy of the whole store, secrets included, in `directory`, which exists and is empty. Work goes on
        meanwhile. Raises `StorageError`; a store in memory cannot be copied.
        """
        self.commit()
        storage = self._registry.storage
        if not isinstance(storage, LmdbStorage):
            raise StorageError("a store in memory cannot be copied")
        await storage.copy(directory)

    async def close(self) -> None:
        """Close the sessions made here, stop replicating, commit, close the storage."""
        for session in list(self._sessions):
            await session.close()
        if self._parent is not None:
            return
        for replication in list(self._replications):
            replication.close()
        try:
            self._registry.close()
        finally:
            self._registry.storage.close()

    async def __aenter__(self) -> Corestore:
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.close()

    # --- inside -------------------------------------------------------------------------------

    def _log_by_key(self, key: bytes, manifest: Manifest | None, pair: KeyPair | None) -> Log:
        if manifest is not None and not is_manifest_of(key, manifest):
            raise BadArgument("the manifest is not the one of this key")
        log = self._registry.find(discovery_key_of(key))
        if log is None:
            return self._registry.create(Identity(key, manifest, pair))
        if manifest is not None:
            log.set_manifest(manifest)
        return log

    def _log_by_name(self, name: str) -> Log:
        alias = Alias(self._namespace, name)
        log = self._registry.find_named(alias)
        if log is not None:
            return log
        pair = self.create_key_pair(name)
        manifest = self._own_manifest(pair)
        key = manifest_key(manifest)
        # It may be here under its key only: read before, on a store with the same primary key.
        log = self._registry.find(discovery_key_of(key))
        if log is None:
            return self._registry.create(Identity(key, manifest, pair), alias)
        log.set_manifest(manifest)
        log.set_key_pair(pair)
        self._registry.name(log, alias)
        return log

    def _log_by_manifest(self, manifest: Manifest | None, pair: KeyPair | None, compat: bool) -> Log:
        if manifest is None:
            assert pair is not None
            manifest = self._own_manifest(pair)
        key = manifest.signers[0].public_key if compat else manifest_key(manifest)
        log = self._registry.find(discovery_key_of(key))
        if log is None:
            return self._registry.create(Identity(key, manifest, pair))
        log.set_manifest(manifest)
        if pair is not None:
            log.set_key_pair(pair)
        return log

    def _own_manifest(self, pair: KeyPair) -> Manifest:
        return create_manifest(version=self._manifest_version, signers=[Signer(pair.public_key)])

    def _wanted(self, log: Log) -> None:
        for replication in list(self._replications):
            replication.attach(log)
