"""Changes that lie over an engine: what is deleted from below, and what is written above it.

A store has up to two of them over its engine: what was not committed yet, and what was committed to the journal
but not yet carried into the engine. Both are read through, merged and carried down in the same way.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from heapq import merge
from itertools import islice

Pair = tuple[bytes, bytes]

_FEW: int = 64
"""Up to so many new keys are put into the sorted list one by one; with more, sorting it again is cheaper."""


class Layer:
    """`changes`: what is written here; None marks a deleted key. `dropped`: ranges [gte, lt) deleted from what
    lies below, before everything in `changes`.
    """

    __slots__ = ("_keys", "changes", "dropped")

    def __init__(
        self,
        dropped: list[tuple[bytes, bytes]] | None = None,
        changes: dict[bytes, bytes | None] | None = None,
    ) -> None:
        self.changes: dict[bytes, bytes | None] = {} if changes is None else changes
        self.dropped: list[tuple[bytes, bytes]] = [] if dropped is None else dropped
        # The first keys of `changes` in sorted order. A dict keeps the order of insertion, so whatever came
        # after these keys is new, and counting tells how much that is.
        self._keys: list[bytes] = []

    def __bool__(self) -> bool:
        return bool(self.changes or self.dropped)

    def drops(self, key: bytes) -> bool:
        """Whether `key` of what lies below is deleted by a range."""
        return any(gte <= key < lt for gte, lt in self.dropped)

    def drop(self, gte: bytes, lt: bytes) -> None:
        """Delete [gte, lt), here and below."""
        keys = self._sorted_keys()
        start, end = bisect_left(keys, gte), bisect_left(keys, lt)
        for key in keys[start:end]:
            del self.changes[key]
        del keys[start:end]
        if (gte, lt) not in self.dropped:
            self.dropped.append((gte, lt))

    def absorb(self, later: Layer) -> None:
        """Take over everything of `later`, which lay directly above."""
        for gte, lt in later.dropped:
            self.drop(gte, lt)
        self.changes.update(later.changes)

    def value_bytes(self) -> int:
        """How large the values are, all together: close enough to what there is to write."""
        try:
            return sum(map(len, self.changes.values()))  # type: ignore[arg-type]
        except TypeError:
            return sum([len(value) for value in self.changes.values() if value is not None])

    def copy(self) -> Layer:
        return Layer(list(self.dropped), dict(self.changes))

    def over(self, below: list[Pair], gte: bytes, lt: bytes, reverse: bool) -> list[Pair]:
        """The pairs of [gte, lt) seen through this layer; `below`: those under it, in the order asked."""
        changes = self.changes
        if self.dropped:
            below = [pair for pair in below if not self.drops(pair[0])]
        if not changes:
            return below
        keys = self._sorted_keys()
        found = keys[bisect_left(keys, gte) : bisect_left(keys, lt)]
        if not found:
            return below
        if reverse:
            found.reverse()
        below = [pair for pair in below if pair[0] not in changes]
        written = [(key, value) for key in found if (value := changes[key]) is not None]
        return list(merge(below, written, reverse=reverse)) if below else written

    def _sorted_keys(self) -> list[bytes]:
        keys = self._keys
        new = len(self.changes) - len(keys)
        if new > _FEW:
            keys.extend(islice(reversed(self.changes), new))
            keys.sort()
        elif new:
            for key in islice(reversed(self.changes), new):
                insort(keys, key)
        return keys
