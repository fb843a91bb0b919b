"""A store without a disk: for tests, and for peers that keep nothing."""

from __future__ import annotations

from bisect import bisect_left

from .base import OverlayStorage, SyncJob
from .layer import Layer, Pair


class MemoryStorage(OverlayStorage):
    """Same behaviour as `LmdbStorage`, including the overlay and what a failed commit leaves; no
    durability.
    """

    def __init__(self) -> None:
        super().__init__()
        self._pairs: dict[bytes, bytes] = {}
        self._sorted: list[bytes] | None = []

    def _read(self, key: bytes) -> bytes | None:
        return self._pairs.get(key)

    def _read_chunk(self, gte: bytes, lt: bytes, reverse: bool, count: int) -> list[Pair]:
        if self._sorted is None:
            self._sorted = sorted(self._pairs)
        keys = self._sorted
        start, end = bisect_left(keys, gte), bisect_left(keys, lt)
        found = (
            keys[max(start, end - count) : end][::-1] if reverse else keys[start : min(end, start + count)]
        )
        return [(key, self._pairs[key]) for key in found]

    def _write(self, delta: Layer) -> None:
        pairs = self._pairs
        for gte, lt in delta.dropped:
            for key in [key for key in pairs if gte <= key < lt]:
                del pairs[key]
        for key, value in delta.changes.items():
            if value is None:
                pairs.pop(key, None)
            else:
                pairs[key] = value
        self._sorted = None

    # --- syncs and checkpoints: nothing here outlives the process, so there is nothing to do -----------

    @property
    def unsynced(self) -> bool:
        return False

    @property
    def uncheckpointed(self) -> bool:
        return False

    def sync(self) -> None:
        pass

    def begin_sync(self) -> tuple[int, SyncJob]:
        return 0, self.sync

    def end_sync(self, mark: int, error: OSError | None) -> None:
        pass

    def checkpoint(self) -> None:
        pass

    def rewrite(self) -> None:
        pass

    def close(self) -> None:
        """Drops what was not committed; the rest stays readable as long as the object lives."""
        self._overlay = Layer()
