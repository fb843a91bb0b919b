"""What a store is: an ordered map of bytes to bytes whose writes become durable together.

Writes go to an overlay in memory that reads see at once; `commit()` makes all of it outlive the process in one
atomic step, `sync()` makes what was committed outlive the power. Whoever acknowledges something to anybody does
so after the commit (`commit.py` shares one among all writers of a turn of the event loop). The overlay is a
dict: a burst of appends costs dict stores, and the engine gets them sorted, which is how a B+tree likes its
writes.

If a commit fails, the overlay is dropped as a whole, so that what is readable is again what was committed,
and the functions in `on_rollback` tell whoever holds copies of it in memory.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Final, Protocol

from ..crypto.vault import Vault
from ..errors import StorageError
from .layer import Layer, Pair

MAX_KEY_BYTES: Final = 511
"""LMDB's compile-time bound on keys; every engine here keeps to it so that tests find what production
would.
"""

_CHUNK: Final = 256

SyncJob = Callable[[], None]


class Storage(Protocol):
    """The interface that logs and the corestore are written against. Not safe for use by several threads."""

    on_rollback: list[Callable[[], None]]
    vault: Vault | None
    """What the secrets in here are sealed with; None: they lie open."""

    @property
    def dirty(self) -> bool:
        """Whether something waits for a commit."""

    def get(self, key: bytes) -> bytes | None: ...
    def put(self, key: bytes, value: bytes) -> None: ...
    def put_many(self, pairs: Iterable[Pair]) -> None: ...
    def delete(self, key: bytes) -> None: ...
    def delete_range(self, gte: bytes, lt: bytes) -> None: ...

    def range(self, gte: bytes, lt: bytes, *, reverse: bool = False, limit: int = -1) -> Iterator[Pair]:
        """Pairs with gte <= key < lt in key order, at most `limit` (-1: all). Keys written while it runs and
        still ahead of it may or may not be seen."""

    def commit(self) -> None:
        """Everything written so far survives a killed process from here on. Raises `StorageError`; then none
        of it was kept, and everything committed before was.
        """

    @property
    def unsynced(self) -> bool:
        """Whether a power cut could still undo something that was committed."""

    def sync(self) -> None:
        """Everything committed so far survives even a power cut. Raises `StorageError`; it is committed all
        the same.
        """

    def begin_sync(self) -> tuple[int, SyncJob]:
        """A sync for another thread: what names it to `end_sync`, and the call that blocks (and may raise
        `OSError`) while this thread goes on writing.
        """

    def end_sync(self, mark: int, error: OSError | None) -> None:
        """The call that `begin_sync` gave has ended. Raises `StorageError` as `sync` does."""

    @property
    def uncheckpointed(self) -> bool:
        """Whether a checkpoint would do anything."""

    def checkpoint(self) -> None:
        """Carry what was committed into the engine, synced. Raises `StorageError`; nothing is lost then."""

    def rewrite(self) -> None:
        """Write the files anew from what is committed: what was deleted or replaced is in none of them any more.
        Raises `StorageError`; then the old files are there still.
        """

    def close(self) -> None:
        """Drops what was not committed."""


class OverlayStorage(ABC):
    """The overlay over whatever can read committed pairs and commit a layer of changes atomically."""

    def __init__(self) -> None:
        self.on_rollback: list[Callable[[], None]] = []
        self.vault: Vault | None = None
        self._overlay = Layer()

    @abstractmethod
    def _read(self, key: bytes) -> bytes | None:
        """The committed value."""

    @abstractmethod
    def _read_chunk(self, gte: bytes, lt: bytes, reverse: bool, count: int) -> list[Pair]:
        """Up to `count` pairs of the engine, in the order asked."""

    def _committed(self, chunk: list[Pair], gte: bytes, lt: bytes, reverse: bool) -> list[Pair]:
        """The committed pairs of a stretch of which `chunk` is what the engine holds."""
        return chunk

    @abstractmethod
    def _write(self, delta: Layer) -> None:
        """Commit `delta`, all or nothing; it is given away. Raises `StorageError`."""

    @property
    def dirty(self) -> bool:
        return bool(self._overlay)

    def get(self, key: bytes) -> bytes | None:
        changes = self._overlay.changes
        if changes and key in changes:
            return changes[key]
        if self._overlay.dropped and self._overlay.drops(key):
            return None
        return self._read(key)

    def put(self, key: bytes, value: bytes) -> None:
        self._overlay.changes[key] = value

    def put_many(self, pairs: Iterable[Pair]) -> None:
        self._overlay.changes.update(pairs)

    def delete(self, key: bytes) -> None:
        self._overlay.changes[key] = None

    def delete_range(self, gte: bytes, lt: bytes) -> None:
        self._overlay.drop(gte, lt)

    def range(self, gte: bytes, lt: bytes, *, reverse: bool = False, limit: int = -1) -> Iterator[Pair]:
        pairs = self._walk(gte, lt, reverse)
        return pairs if limit < 0 else islice(pairs, limit)

    def commit(self) -> None:
        delta = self._overlay
        if not delta:
            return
        try:
            self._write(delta)
        except BaseException:
            self._overlay = Layer()
            for tell in self.on_rollback:
                tell()
            raise
        self._overlay = Layer()

    def _walk(self, gte: bytes, lt: bytes, reverse: bool) -> Iterator[Pair]:
        """Chunk by chunk, because nothing of the engine may stay open while the caller does something
        else.
        """
        while True:
            chunk = self._read_chunk(gte, lt, reverse, _CHUNK)
            last = chunk[-1][0] if len(chunk) == _CHUNK else None
            # The layers' keys of the same stretch of the key space.
            low = last if last is not None and reverse else gte
            high = last + b"\0" if last is not None and not reverse else lt
            committed = self._committed(chunk, low, high, reverse)
            yield from self._overlay.over(committed, low, high, reverse)
            if last is None:
                return
            if reverse:
                lt = last
            else:
                gte = last + b"\0"


def check_key(key: bytes) -> None:
    """Refuse what LMDB cannot hold, before it gets into an overlay and spoils everybody's commit."""
    if not 0 < len(key) <= MAX_KEY_BYTES:
        raise StorageError(f"a key of the store has 1 to {MAX_KEY_BYTES} bytes, not {len(key)}")
