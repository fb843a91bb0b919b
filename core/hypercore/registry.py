"""The logs of one store: which exist, which are open, and how a new one is entered.

An open log is one object however many sessions and peers use it; it leaves memory with the last of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from ..errors import BadArgument, SessionClosed, StorageCorrupt, StorageError
from ..storage.base import Storage
from ..storage.commit import GroupCommit
from .demand import ReplicatorFactory
from .layout import (
    HEAD,
    IDENTITY,
    NEXT_NUMBER,
    U32,
    Head,
    Identity,
    alias_key,
    core_bounds,
    core_key,
    discovery_key_of,
    kept_bounds,
    log_bounds,
    log_prefix,
)
from .log import Log
from .offline import Offline

NAMESPACE_BYTES = 32


class Alias(NamedTuple):
    """How a core is called in its store."""

    namespace: bytes
    name: str


class CoreInfo(NamedTuple):
    """One entry of the store's directory; `alias` is None for a core known by its key only."""

    discovery_key: bytes
    alias: Alias | None


class LogRegistry:
    """All logs in `storage`. `on_wanted(log)` is called when somebody begins to read a log from peers."""

    def __init__(self, storage: Storage, *, replicator_factory: ReplicatorFactory = Offline) -> None:
        self.storage = storage
        self.commit = GroupCommit(storage)
        self.on_wanted: Callable[[Log], None] | None = None
        self._replicator_factory = replicator_factory
        self._logs: dict[bytes, Log] = {}
        # Directory entries of this turn, to be made again if its commit fails.
        self._uncommitted: dict[Log, Alias | None] = {}
        self._closed = False
        storage.on_rollback.append(self._rolled_back)
        # What snapshots of an earlier process kept is of no use to anybody.
        if next(storage.range(*kept_bounds(), limit=1), None) is not None:
            storage.delete_range(*kept_bounds())

    @property
    def open_logs(self) -> list[Log]:
        return list(self._logs.values())

    def find(self, discovery_key: bytes) -> Log | None:
        """The log with this discovery key, opened if the store has it."""
        log = self._logs.get(discovery_key)
        if log is not None:
            return log
        self._refuse_if_closed()
        entry = self.storage.get(core_key(discovery_key))
        if entry is None:
            return None
        number = U32.unpack_from(entry)[0]
        prefix = log_prefix(number)
        identity, head = self.storage.get(prefix + IDENTITY), self.storage.get(prefix + HEAD)
        if identity is None or head is None:
            raise StorageCorrupt(f"the log {discovery_key.hex()} is listed but its records are missing")
        return self._open(number, Identity.decode(identity, self.storage.vault), Head.decode(head))

    def find_named(self, alias: Alias) -> Log | None:
        self._refuse_if_closed()
        found = self.storage.get(alias_key(alias.namespace, alias.name))
        return None if found is None else self.find(found)

    def create(self, identity: Identity, alias: Alias | None = None) -> Log:
        """Enter a log that is not there yet; durable with the commit of this turn."""
        self._refuse_if_closed()
        last = self.storage.get(NEXT_NUMBER)
        number = 0 if last is None else U32.unpack(last)[0]
        self.storage.put(log_prefix(number) + IDENTITY, identity.encode(self.storage.vault))
        self.storage.put(log_prefix(number) + HEAD, Head().encode())
        log = self._open(number, identity, Head())
        self._enter(log, alias)
        return log

    def name(self, log: Log, alias: Alias) -> None:
        """Let `log` be found by `alias` too."""
        self._enter(log, alias)

    def list(self, namespace: bytes | None = None) -> Iterator[CoreInfo]:
        """Every core of the store, or those named under `namespace`, by discovery key."""
        for key, entry in self.storage.range(*core_bounds()):
            alias = _alias_in(entry)
            if namespace is None or (alias is not None and alias.namespace == namespace):
                yield CoreInfo(discovery_key_of(key), alias)

    def signed_here(self) -> Iterator[tuple[bytes, Alias | None]]:
        """The key and name of every log whose secret key this store holds; opens none."""
        for _, entry in self.storage.range(*core_bounds()):
            identity = self.storage.get(log_prefix(U32.unpack_from(entry)[0]) + IDENTITY)
            if identity is not None:
                known = Identity.decode(identity, self.storage.vault)
                if known.key_pair is not None:
                    yield known.key, _alias_in(entry)

    def drop(self, discovery_key: bytes) -> int:
        """Take a log out of the store with all that belongs to it; returns how many blocks it held here.

        Peers that read it are told nothing more of it. Raises `BadArgument` while a session on it is open.
        """
        log = self.find(discovery_key)
        if log is None:
            return 0
        if log.session_count:
            raise BadArgument(
                f"the log {log.key.hex()} is open here; close its sessions before it is dropped"
            )
        held = log.bitfield.count(0, log.length)
        self._forget(log)
        alias = _alias_in(self.storage.get(core_key(discovery_key)) or b"")
        if alias is not None:
            self.storage.delete(alias_key(alias.namespace, alias.name))
        self.storage.delete(core_key(discovery_key))
        self.storage.delete_range(*log_bounds(log.number))
        self.storage.delete_range(*kept_bounds(log.number))
        self.commit.touch()
        return held

    def close(self) -> None:
        """Commit, then let go of every log. The storage stays open."""
        if self._closed:
            return
        try:
            if self.commit.pending:
                self.commit.now()
        finally:
            self._closed = True
            logs, self._logs = self._logs, {}
            for log in logs.values():
                log.on_unused = log.on_wanted = None
                if log.replicator is not None:
                    log.replicator.close()
            self.storage.on_rollback.remove(self._rolled_back)

    # --- inside -------------------------------------------------------------------------------

    def _open(self, number: int, identity: Identity, head: Head) -> Log:
        log = Log(
            self.storage,
            self.commit,
            number,
            identity,
            head,
            replicator_factory=self._replicator_factory,
        )
        log.on_unused = self._forget
        log.on_wanted = self._wanted
        self._logs[log.discovery_key] = log
        return log

    def _enter(self, log: Log, alias: Alias | None) -> None:
        """Enter an open log into the directory, and remember to do it again if the commit of this turn
        fails.
        """
        if not self._uncommitted:
            self.commit.after(self._entered)
        self._uncommitted[log] = alias
        self._write_entry(log, alias)

    def _write_entry(self, log: Log, alias: Alias | None) -> None:
        entry = U32.pack(log.number)
        if alias is not None:
            entry += alias.namespace + alias.name.encode()
            self.storage.put(alias_key(alias.namespace, alias.name), log.discovery_key)
        self.storage.put(core_key(log.discovery_key), entry)
        last = self.storage.get(NEXT_NUMBER)
        following = max(log.number + 1, 0 if last is None else U32.unpack(last)[0])
        self.storage.put(NEXT_NUMBER, U32.pack(following))

    def _entered(self, error: StorageError | None) -> None:
        if error is None:
            self._uncommitted.clear()
        elif self._uncommitted:
            self.commit.after_next(self._entered)

    def _forget(self, log: Log) -> None:
        if self._logs.get(log.discovery_key) is not log:
            return
        log.flush()
        del self._logs[log.discovery_key]
        log.on_unused = log.on_wanted = None
        if log.replicator is not None:
            log.replicator.close()

    def _wanted(self, log: Log) -> None:
        if self.on_wanted is not None:
            self.on_wanted(log)

    def _rolled_back(self) -> None:
        """A commit failed: all logs go back to the store, and those created in that turn are entered again.

        That is not a reason to try again at once (the disk is still full): the next write will.
        """
        for log, alias in self._uncommitted.items():
            self._write_entry(log, alias)
        for log in {*self.open_logs, *self._uncommitted}:
            log.reload()

    def _refuse_if_closed(self) -> None:
        if self._closed:
            raise SessionClosed("the store is closed")


def _alias_in(entry: bytes) -> Alias | None:
    if len(entry) <= U32.size:
        return None
    start = U32.size + NAMESPACE_BYTES
    return Alias(entry[U32.size : start], entry[start:].decode())
