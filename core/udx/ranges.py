"""A set of sequence numbers kept as ranges: what a receiver holds beyond a gap, and says in its SACK blocks."""

from __future__ import annotations

from bisect import bisect_right


class SequenceRanges:
    """Disjoint half-open ranges in ascending order. Adding at the end of the last range, the common case, is O(1)."""

    __slots__ = ("_ends", "_starts")

    def __init__(self) -> None:
        self._starts: list[int] = []
        self._ends: list[int] = []

    def __len__(self) -> int:
        """The number of ranges."""
        return len(self._starts)

    def __contains__(self, seq: int) -> bool:
        at = bisect_right(self._starts, seq) - 1
        return at >= 0 and seq < self._ends[at]

    def add(self, seq: int) -> bool:
        """Put one number in; False when it was there already."""
        starts, ends = self._starts, self._ends
        if ends and seq == ends[-1]:
            ends[-1] = seq + 1
            return True
        at = bisect_right(starts, seq) - 1
        if at >= 0 and seq < ends[at]:
            return False
        joins_left = at >= 0 and ends[at] == seq
        joins_right = at + 1 < len(starts) and starts[at + 1] == seq + 1
        if joins_left and joins_right:
            ends[at] = ends.pop(at + 1)
            del starts[at + 1]
        elif joins_left:
            ends[at] = seq + 1
        elif joins_right:
            starts[at + 1] = seq
        else:
            starts.insert(at + 1, seq)
            ends.insert(at + 1, seq + 1)
        return True

    def drop_below(self, seq: int) -> None:
        """Forget every number below `seq`."""
        starts, ends = self._starts, self._ends
        gone = 0
        while gone < len(ends) and ends[gone] <= seq:
            gone += 1
        if gone:
            del starts[:gone], ends[:gone]
        if starts and starts[0] < seq:
            starts[0] = seq

    def blocks(self, limit: int) -> list[tuple[int, int]]:
        """The lowest `limit` ranges as (start, end)."""
        return list(zip(self._starts[:limit], self._ends[:limit], strict=True))
