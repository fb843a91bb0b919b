"""Stores that tests open, fail and reopen."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from core.errors import StorageFull
from core.hypercore.registry import LogRegistry
from core.storage import LmdbStorage, MemoryStorage
from core.storage.base import OverlayStorage

KINDS = ("memory", "lmdb")


class StoreOnDemand:
    """One store of either kind that can be closed and opened again with what it committed."""

    def __init__(self, kind: str, directory: Path, **lmdb_options: int) -> None:
        self._kind = kind
        self._directory = directory
        self._options = lmdb_options
        self.storage: OverlayStorage = MemoryStorage() if kind == "memory" else self._open_lmdb()

    def reopen(self) -> OverlayStorage:
        """As a new process would find it: what was not committed is gone."""
        self.storage.close()
        if self._kind == "lmdb":
            self.storage = self._open_lmdb()
        self.storage.on_rollback.clear()
        return self.storage

    def kill(self) -> OverlayStorage:
        """As a new process would find it after `kill -9`: nothing more was written, the files are as they are."""
        if isinstance(self.storage, LmdbStorage):
            self.storage._release()
        return self.reopen()

    def registry(self) -> LogRegistry:
        return LogRegistry(self.storage)

    def _open_lmdb(self) -> LmdbStorage:
        return LmdbStorage(self._directory, **self._options)


def put(storage: LmdbStorage, **values: bytes) -> None:
    """One commit."""
    for key, value in values.items():
        storage.put(key.encode(), value)
    storage.commit()


def pairs(storage: LmdbStorage) -> dict[bytes, bytes]:
    """All whose keys begin with a letter."""
    return dict(storage.range(b"a", b"z"))


def fail_next_commit(storage: OverlayStorage) -> Callable[[], bool]:
    """The next commit of `storage` ends as on a full disk. Returns what tells whether that happened yet."""
    write = storage._write
    failed = False

    def refuse(*arguments: object) -> None:
        nonlocal failed
        failed = True
        storage._write = write  # type: ignore[method-assign]
        raise StorageFull("the disk is full")

    storage._write = refuse  # type: ignore[method-assign, assignment]
    return lambda: failed
