"""Blocks that a truncation takes away while a snapshot still shows them.

The reference reads snapshots through a snapshot of its database. Ours may not hold one open (an old reader
keeps LMDB from using freed pages again), so a truncation copies the blocks in question aside first. They live
in the store, not in memory, and go away with the last snapshot of the log, or when the store is opened the
next time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol
from weakref import WeakSet

from ..errors import StorageError
from ..storage.commit import GroupCommit
from .layout import kept_bounds, kept_key

if TYPE_CHECKING:
    from .stored_log import StoredLog

_NOTHING_KEPT: Final = 0
"""A generation that no block was ever kept for."""


class Snapshotted(Protocol):
    """A view of the first `length` blocks. `cuts`: the truncations below it since, as (length,
    generation).
    """

    @property
    def length(self) -> int: ...

    cuts: list[tuple[int, int]]


class KeptBlocks:
    """What is kept for the snapshots of one log."""

    __slots__ = ("_commit", "_fresh", "_generation", "_number", "_snapshots")

    def __init__(self, commit: GroupCommit, number: int) -> None:
        self._commit = commit
        self._number = number
        # Cuts that the commit of this turn may still take back.
        self._fresh: list[tuple[Snapshotted, tuple[int, int]]] = []
        self._generation = 0
        self._snapshots: WeakSet[Snapshotted] = WeakSet()

    def add(self, snapshot: Snapshotted) -> None:
        self._snapshots.add(snapshot)

    def remove(self, snapshot: Snapshotted) -> bool:
        """True when it was the last one; then nothing is kept any more."""
        self._snapshots.discard(snapshot)
        if self._snapshots:
            return False
        if self._generation:
            self._commit.storage.delete_range(*kept_bounds(self._number))
        return True

    def save(self, log: StoredLog, length: int) -> None:
        """`log` is about to be truncated to `length`: copy what the snapshots show of the rest."""
        # A snapshot that was cut before shows from the log only what lies below its lowest cut.
        reach = {view: min([view.length, *(cut for cut, _ in view.cuts)]) for view in self._snapshots}
        end = max(reach.values(), default=0)
        if end <= length:
            return
        self._generation += 1
        for index in range(length, min(end, log.length)):
            block = log.block(index)
            if block is not None:
                self._commit.storage.put(kept_key(self._number, self._generation, index), block)
        for view, low in reach.items():
            if low > length:
                cut = (length, self._generation)
                view.cuts.append(cut)
                if not self._fresh:
                    self._commit.after(self._settled)
                self._fresh.append((view, cut))

    def block(self, view: Snapshotted, index: int) -> bytes | None:
        """Block `index` as `view` shows it, once it was cut from the log."""
        for length, generation in view.cuts:
            if length <= index:
                return self._commit.storage.get(kept_key(self._number, generation, index))
        return None

    def rolled_back(self, log: StoredLog) -> None:
        """A commit failed: its truncations did not happen, nor did the appends that some snapshot may
        show.
        """
        for view, cut in self._fresh:
            view.cuts.remove(cut)
        self._fresh.clear()
        for view in self._snapshots:
            if view.length > log.length:
                view.cuts.append((log.length, _NOTHING_KEPT))

    def _settled(self, error: StorageError | None) -> None:
        if error is None:
            self._fresh.clear()
