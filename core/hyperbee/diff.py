"""What differs between two versions of a bee, without reading what they share.

Source of the semantics: hyperbee 2.27.3 `iterators/diff.js`. Two cursors walk both trees in key order. A subtree that
both trees refer to at the same place in the log is the same subtree and is skipped unread; otherwise the side whose
position covers smaller keys is opened first. Every step either happens completely or raises `Missing` first.
"""

from __future__ import annotations

from typing import NamedTuple

from ..errors import DecodingError
from .blocks import MAX_TREE_DEPTH, TreeNode
from .node import parse_block
from .ranges import Bounds, Entry, EntryMaker, TreeSource


class Difference(NamedTuple):
    """One key that the two versions disagree about; None where a version does not have it."""

    left: Entry | None
    right: Entry | None


class _Position:
    """A place in one node: a child (even) or a key (odd), as in `ranges`."""

    __slots__ = ("at", "node", "parent")

    def __init__(self, node: TreeNode, parent: _Position | None) -> None:
        self.node = node
        self.parent = parent
        self.at = 0 if node.children else 1

    @property
    def is_key(self) -> bool:
        return self.at & 1 == 1

    @property
    def address(self) -> tuple[bool, int, int]:
        """What lies here: equal addresses on both sides are the same thing."""
        slot = self.at >> 1
        if self.at & 1:
            return True, self.node.seqs[slot], 0
        record = self.node.children[slot]
        return False, record.seq, record.level

    def advance(self) -> bool:
        """To the next key or child; False at the end of the node."""
        self.at += 1 if self.node.children else 2
        return self.at <= (2 * len(self.node.seqs) if self.node.children else 2 * len(self.node.seqs) - 1)


class _Side:
    """One of the two trees."""

    def __init__(self, source: TreeSource, version: int, bounds: Bounds, make_entry: EntryMaker) -> None:
        self._source = source
        self._version = version
        self._bounds = bounds
        self._make_entry = make_entry
        self._seeking = bounds.lower is not None
        self._last: bytes | None = None
        self._opened = 0
        self.stack: list[_Position] = []

    def open(self) -> None:
        self._seeking = self._bounds.lower is not None
        root = self._source.root(self._version)
        if root is None or not root.seqs:
            return
        position = _Position(root, None)
        if self._seeking and self._seek(position):
            self._seeking = False
        if self._in_range(position):
            self.stack = [position]

    def _seek(self, position: _Position) -> bool:
        """Move `position` to the first thing in its node that may hold the lower bound; True when it is found."""
        assert self._bounds.lower is not None
        slot, found = self._source.position(position.node, self._bounds.lower)
        inner = bool(position.node.children)
        if found:
            position.at = 2 * slot + 1 if self._bounds.lower_inclusive else 2 * slot + (2 if inner else 3)
            return True
        position.at = 2 * slot + (0 if inner else 1)
        return not inner

    @staticmethod
    def _in_range(position: _Position) -> bool:
        slots = len(position.node.seqs) if position.is_key else len(position.node.children)
        return position.at >> 1 < slots

    def upper_key(self) -> bytes | None:
        """The key at the current position or the first one after it; None at the right edge of the tree."""
        position: _Position | None = self.stack[-1]
        while position is not None:
            slot = position.at >> 1
            node = position.node
            if slot < len(node.seqs):
                key = node.keys[slot]
                if key is None:
                    key = node.keys[slot] = parse_block(self._source.block(node.seqs[slot]))[2]
                return key
            position = position.parent
        return None

    def prepare(self) -> None:
        """Read what `descend` or `take` at the current position will need; changes nothing."""
        top = self.stack[-1]
        if top.is_key:
            self._source.block(top.node.seqs[top.at >> 1])
            return
        child = self._source.child(top.node, top.at >> 1)
        if self._seeking and self._bounds.lower is not None:
            self._source.position(child, self._bounds.lower)

    def skip(self) -> None:
        if not self.stack[-1].advance():
            self.stack.pop()

    def descend(self) -> None:
        """Open the child at the current position."""
        # An honest tree has fewer nodes than its log has blocks. A hostile one may refer to a node many times over,
        # and what both sides share is never read, so the order of keys cannot tell.
        if len(self.stack) > MAX_TREE_DEPTH or self._opened > self._version:
            raise DecodingError("the tree is deeper or larger than any honest one")
        top = self.stack[-1]
        position = _Position(self._source.child(top.node, top.at >> 1), top)
        if self._seeking and self._seek(position):
            self._seeking = False
        self._opened += 1
        self.skip()
        if self._in_range(position):
            self.stack.append(position)
        else:
            self._seeking = False

    def take(self) -> Entry | None:
        """The entry of the next key; None (and the end) when it lies beyond the upper bound."""
        while self.stack and not self.stack[-1].is_key:
            self.descend()
        if not self.stack:
            return None
        top = self.stack[-1]
        seq = top.node.seqs[top.at >> 1]
        _, _, key, value = parse_block(self._source.block(seq))
        if self._last is not None and key <= self._last:
            raise DecodingError(f"the tree's keys are not in order (operation {seq})")
        self._last = key
        self._seeking = False
        self.skip()
        if not self._bounds.contain_upper(key):
            self.stack = []
            return None
        return self._make_entry(seq, key, value)


class DiffCursor:
    """The differences in key order. Synchronous: `next` raises `Missing` and can be called again after it."""

    def __init__(
        self,
        source: TreeSource,
        left_version: int,
        right_version: int,
        bounds: Bounds,
        make_entry: EntryMaker,
        *,
        limit: int = -1,
    ) -> None:
        self._left = _Side(source, left_version, bounds, make_entry)
        self._right = _Side(source, right_version, bounds, make_entry)
        self._remaining = limit
        self._opened = False

    def next(self) -> Difference | None:
        """The next key that differs, or None when there is none (left)."""
        if not self._remaining:
            return None
        if not self._opened:
            self._left.open()
            self._right.open()
            self._opened = True
        found = self._advance()
        if found is None or found == (None, None):
            return None
        self._remaining -= 1
        return found

    def _advance(self) -> Difference | None:
        left, right = self._left, self._right
        while left.stack or right.stack:
            if not left.stack:
                return Difference(None, right.take())
            if not right.stack:
                return Difference(left.take(), None)
            a, b = left.stack[-1], right.stack[-1]
            if a.address == b.address:
                left.skip()
                right.skip()
                continue
            order = _compare(left.upper_key(), right.upper_key())
            if a.is_key and b.is_key:
                left.prepare()
                right.prepare()
                return Difference(left.take() if order <= 0 else None, right.take() if order >= 0 else None)
            if a.is_key:
                right.descend()
            elif b.is_key:
                left.descend()
            elif order == 0:
                left.prepare()
                right.prepare()
                left.descend()
                right.descend()
            elif order < 0:
                right.descend()
            else:
                left.descend()
        return None


def _compare(a: bytes | None, b: bytes | None) -> int:
    """None is the right edge of a tree: larger than every key."""
    if a is None or b is None:
        return (a is None) - (b is None)
    return (a > b) - (a < b)
