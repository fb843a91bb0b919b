"""The write rules of the B-tree: what a put or a deletion changes, and what of it is written into which block.

Readers accept any correct tree; two writers give the same bytes only if they split, merge, mark and number alike.
The rules are those of hyperbee 2.27.3 (`Batch._put`, `Batch._del`, `rebalance`, `TreeNode.indexChanges`,
`Batch.toBlocks`), sections 10.3 and 10.4 of the protocol text, checked against every vector in `tests/vectors/bee`.

The tree is copy-on-write in the log: an operation rewrites the nodes from the leaf it changed up to the root, and
refers to all others where they were last written. Within a batch the same node may be rewritten by many operations;
only its last state is written, in the block of the operation that rewrote it last. So each operation keeps its list
of *levels*: the child records it set, in pre-order. A record that a later operation sets again, or that a merge
frees (seq 0), is dead in the earlier list, and `Transaction.encode` drops it there and closes the gap by moving the
last slot into it. Records are shared objects and compared by identity: that is what makes this work.

Two habits of the reference show in the bytes and are kept on purpose:

* A put that is refused (by `cas`, or as a duplicate) has already marked the inner nodes it passed, and in a batch
  the next effective operation writes those again. `Transaction.refused` does that; `_stray` remembers them.
* When the root shrinks, the record under which its child was known stays alive in the block that wrote it, as a
  level nobody refers to.

Keys are loaded only where a search compares them, so a node's `keys` may contain None; no rule here looks at a key.

People write in the order of time, so most puts go into the leaf that the put before them went into. `put_near` does
those without a search: it remembers that leaf, and the keys of the tree between which it lies. While puts stay in one
leaf their records are set again and again with nobody looking; `_stamp` sets them once, when the run is over.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from dataclasses import dataclass
from itertools import islice
from typing import Final, TypeAlias

from ..errors import DecodingError
from .blocks import MAX_TREE_DEPTH, NO_CHILDREN, BlockReader, Child, TreeNode
from .levels import encode_node, number, survivors
from .node import encode_block
from .rebalance import borrow_from_left, borrow_from_right, merge

MIN_KEYS: Final = 4
MAX_KEYS: Final = 8
"""hyperbee 2.27.3 index.js: T = 5, MIN_KEYS = T - 1, a node that reaches MAX_CHILDREN = 9 keys is split."""

MAX_LOADED_NODES: Final = 24_576
"""Nodes that the tree kept between writes may hold (about 1 KiB each) before it is cut back to its upper half."""

Place: TypeAlias = tuple[list[Child], TreeNode, int, bool]
"""Where a key is, or belongs: the records of the nodes below the root on the way, the last node, the position in it,
and whether the key is there. A plain tuple, because every put makes one."""

Operation: TypeAlias = tuple[bytes, bytes | None, list[Child]]
"""A written key with its value and its levels. The first level is always the root and is not in the list."""


@dataclass(slots=True)
class Removal:
    """How a key will be removed: `path` goes from the root down to the leaf that gives up a key."""

    path: list[TreeNode]
    slots: list[int]
    """Which child of each node but the last the path continues with."""
    depth: int
    """Which node of the path holds the key, and `slot` where in it."""
    slot: int
    leftmost: bool
    """Whether the leaf gives up its first key (it follows the removed one) or its last."""


class Transaction:
    """The tree in memory on top of the log's head, with the operations that are not appended yet.

    Synchronous; raises `Missing` where a block has to be fetched first, always before anything was changed.
    """

    __slots__ = (
        "_high",
        "_leaf",
        "_loaded",
        "_low",
        "_reader",
        "_records",
        "_searched",
        "_stamped",
        "_stray",
        "base",
        "fork",
        "operations",
        "root",
    )

    def __init__(self, reader: BlockReader) -> None:
        self._reader = reader
        self.base = max(1, reader.core.length)  # an empty log will first get its header block
        self.fork = reader.core.fork
        self.root: TreeNode | None = None
        self.operations: list[Operation] = []
        self._stray: list[TreeNode] = []
        self._loaded = 0
        # Where the last search ended, and the keys around that node in the nodes above (b"", None: none there).
        self._searched: TreeNode | None = None
        self._low: bytes = b""
        self._high: bytes | None = None
        # The leaf of the last put with the records that lead to it, and whether those carry its number already.
        self._leaf: TreeNode | None = None
        self._records: list[Child] = []
        self._stamped = True

    @property
    def next_seq(self) -> int:
        """The block that the next operation will be."""
        return self.base + len(self.operations)

    def fits(self) -> bool:
        """Whether the log's head is still the one this tree stands on."""
        core = self._reader.core
        return max(1, core.length) == self.base and core.fork == self.fork

    # --- searching ----------------------------------------------------------------------------

    def find(self, key: bytes) -> Place | None:
        """Walk down to `key`; None when the bee has no root yet."""
        node = self.root or self.load_root()
        if node is None:
            return None
        records: list[Child] = []
        low: bytes | None = b""
        high: bytes | None = None
        self._leaf = None
        if not self._stamped:
            self._stamp()
        while True:
            keys = node.keys
            try:
                slot = bisect_left(keys, key)  # type: ignore[type-var]
                found = slot < len(keys) and keys[slot] == key
            except TypeError:  # it compared a key that was not read yet
                slot, found = self._reader.search(node, key)
            if found or not node.children:
                self._searched, self._low, self._high = node, low or b"", high
                return records, node, slot, found
            # A search has compared, and therefore read, both neighbours of where it ends.
            if slot:
                low = keys[slot - 1]
            if slot < len(keys):
                high = keys[slot]
            record = node.children[slot]
            records.append(record)
            node = record.node or self._load(record)
            if len(records) > MAX_TREE_DEPTH:
                raise DecodingError("the tree is deeper than any honest one")

    def load_root(self) -> TreeNode | None:
        """The root as it is now; None when there is none yet."""
        if self.root is None and self.base > 1:
            self.root = self._reader.load(self.base - 1, 0)
        return self.root

    def child(self, node: TreeNode, slot: int) -> TreeNode:
        """The child node, loaded into its record when it is not there yet."""
        record = node.children[slot]
        return record.node or self._load(record)

    def _load(self, record: Child) -> TreeNode:
        node = record.node = self._reader.load(record.seq, record.level)
        self._loaded += 1
        return node

    def _path(self, records: list[Child]) -> list[TreeNode]:
        """The nodes of a place, from the root down."""
        assert self.root is not None
        return [self.root, *[record.node for record in records if record.node is not None]]

    # --- putting ------------------------------------------------------------------------------

    def put(self, place: Place | None, key: bytes, value: bytes | None) -> None:
        """Write `key` at the place `find` gave for it."""
        seq = self.base + len(self.operations)
        if place is None:
            self.root = TreeNode([], array("Q"), NO_CHILDREN)
            place = [], self.root, 0, False
        records, node, slot, found = place
        if found:
            node.keys[slot] = key
            node.seqs[slot] = seq
        else:
            node.keys.insert(slot, key)
            node.seqs.insert(slot, seq)
        if self._stray or len(node.seqs) > MAX_KEYS:
            self._put_and_split(records, key, value)
            return
        # Exactly the nodes of the path changed: their records are the levels.
        self.operations.append((key, value, records))
        self._records, self._stamped = records, False
        if self._searched is node and not node.children:
            self._leaf = node

    def put_near(self, key: bytes, value: bytes | None) -> bool:
        """`put`, if the key belongs into the leaf of the last one and nothing else is to be done; else False."""
        leaf, high = self._leaf, self._high
        if leaf is None or not self._low < key or (high is not None and not key < high) or self._stray:
            return False
        keys, operations = leaf.keys, self.operations
        seq = self.base + len(operations)
        try:
            if key > keys[-1]:  # type: ignore[operator]
                slot = len(keys)
                keys.append(key)
                leaf.seqs.append(seq)
            else:
                slot = bisect_left(keys, key)  # type: ignore[type-var]
                if keys[slot] == key:
                    leaf.seqs[slot] = seq
                else:
                    keys.insert(slot, key)
                    leaf.seqs.insert(slot, seq)
        except TypeError:  # it compared a key that was not read yet
            return False
        if len(keys) <= MAX_KEYS:
            operations.append((key, value, self._records))
            self._stamped = False
        elif not self._split_leaf(leaf, slot, key, value):
            self._put_and_split(self._records, key, value)
        return True

    def _stamp(self) -> None:
        """Give the records of the last put the number they would have got at once (see above)."""
        seq = self.base + len(self.operations) - 1
        for level, record in enumerate(self._records, 1):
            record.seq = seq
            record.level = level
        self._stamped = True

    def _put_and_split(self, records: list[Child], key: bytes, value: bytes | None) -> None:
        """The rest of a put that changes more nodes than those of its path."""
        seq = self.base + len(self.operations)
        path = self._path(records)
        for passed in path:
            passed.dirty = True
        self._split(path, records)
        self.operations.append((key, value, self._collect(seq)))
        self._leaf, self._stamped = None, True

    def _split_leaf(self, leaf: TreeNode, slot: int, key: bytes, value: bytes | None) -> bool:
        """The rest of a put (at `slot`) that splits its leaf and no other node, which is nearly every split.

        The levels are the path and behind it the new leaf; the run goes on in the half where the key came to lie.
        """
        records = self._records
        if not records:
            return False
        parent = self.root if len(records) == 1 else records[-2].node
        if parent is None or len(parent.seqs) == MAX_KEYS:
            return False
        median = leaf.keys[4]
        self._halve(leaf, parent, records[-1])
        right = parent.children[parent.children.index(records[-1]) + 1]
        assert right.node is not None
        right.node.dirty = False
        levels = [*records, right]
        self.operations.append((key, value, levels))
        self._records = levels
        self._stamp()
        self._leaf = None
        if median is None:
            return True
        if slot < 4:
            self._leaf, self._records, self._high = leaf, records, median
        else:
            self._leaf, self._records, self._low = right.node, [*records[:-1], right], median
        return True

    def refused(self, place: Place) -> None:
        """A put at `place` was refused: the marks it made on its way stay (see above)."""
        for node in self._path(place[0]):
            if node.children and not node.dirty:
                node.dirty = True
                self._stray.append(node)

    def _split(self, path: list[TreeNode], records: list[Child]) -> None:
        """Split what has too many keys, from the leaf upward."""
        depth = len(path) - 1
        node = path[depth]
        while len(node.seqs) > MAX_KEYS:
            if depth == 0:
                own = Child(0, 0, node)
                self.root = TreeNode([], array("Q"), [own])
                self._halve(node, self.root, own)
                return
            depth -= 1
            parent = path[depth]
            self._halve(node, parent, records[depth])
            node = parent

    def _halve(self, node: TreeNode, parent: TreeNode, own: Child) -> None:
        """Four keys stay, four go into a new node on the right, the median goes up. `own` is the node's record."""
        self._loaded += 1
        right = TreeNode(node.keys[5:], node.seqs[5:], node.children[5:] or NO_CHILDREN)
        right.dirty = True
        slot = parent.children.index(own)
        parent.keys.insert(slot, node.keys[4])
        parent.seqs.insert(slot, node.seqs[4])
        parent.children.insert(slot + 1, Child(0, 0, right))
        del node.keys[4:], node.seqs[4:], node.children[5:]

    # --- deleting -----------------------------------------------------------------------------

    def plan_delete(self, place: Place) -> Removal:
        """Load every node that `delete` will touch and extend the path of `place` to a leaf; changes nothing."""
        records, node, slot, _ = place
        path = self._path(records)
        slots = [parent.children.index(record) for parent, record in zip(path, records, strict=False)]
        removal = Removal(path, slots, len(path) - 1, slot, leftmost=False)
        if node.children:
            before = self._edge(self.child(node, slot), leftmost=False)
            after = self._edge(self.child(node, slot + 1), leftmost=True)
            if len(before[-1].seqs) < len(after[-1].seqs):
                removal.leftmost = True
                path += after
                slots += [slot + 1, *[0] * len(after)]
            else:
                path += before
                slots += [slot, *[len(inner.children) - 1 for inner in before]]
        depth = len(path) - 1
        keys_left = len(path[depth].seqs) - 1
        while depth and keys_left < MIN_KEYS:
            parent, index = path[depth - 1], slots[depth - 1]
            if index and len(self.child(parent, index - 1).seqs) > MIN_KEYS:
                break
            if index < len(parent.seqs) and len(self.child(parent, index + 1).seqs) > MIN_KEYS:
                break
            depth -= 1
            keys_left = len(parent.seqs) - 1
        return removal

    def _edge(self, node: TreeNode, *, leftmost: bool) -> list[TreeNode]:
        """The nodes from `node` down to its first or last leaf."""
        nodes = [node]
        while node.children:
            node = self.child(node, 0 if leftmost else len(node.children) - 1)
            nodes.append(node)
            if len(nodes) > MAX_TREE_DEPTH:
                raise DecodingError("the tree is deeper than any honest one")
        return nodes

    def delete(self, removal: Removal, key: bytes) -> None:
        """Remove `key` as planned. A key of an inner node is replaced by its neighbour from the nearest leaf."""
        if not self._stamped:
            self._stamp()
        self._leaf = self._searched = None
        seq = self.next_seq
        node, slot, leaf = removal.path[removal.depth], removal.slot, removal.path[-1]
        if node is leaf:
            del leaf.keys[slot], leaf.seqs[slot]
        else:
            end = 0 if removal.leftmost else -1
            node.keys[slot], node.seqs[slot] = leaf.keys.pop(end), leaf.seqs.pop(end)
        for passed in removal.path:
            passed.dirty = True
        self._rebalance(removal)
        self.operations.append((key, None, self._collect(seq)))

    def _rebalance(self, removal: Removal) -> None:
        """From the leaf upward: borrow a key from a sibling, or merge with one, until all have enough."""
        for depth in range(len(removal.path) - 1, 0, -1):
            node, parent, index = removal.path[depth], removal.path[depth - 1], removal.slots[depth - 1]
            if len(node.seqs) >= MIN_KEYS:
                return
            left = parent.children[index - 1].node if index else None
            right = parent.children[index + 1].node if index < len(parent.seqs) else None
            if left is not None and len(left.seqs) > MIN_KEYS:
                borrow_from_left(parent, index, left, node)
                return
            if right is not None and len(right.seqs) > MIN_KEYS:
                borrow_from_right(parent, index, node, right)
                return
            if left is not None:
                merge(parent, index - 1, left, node)
            elif right is not None:
                merge(parent, index, node, right)
        root = removal.path[0]
        if not root.seqs and root.children:
            self.root = root.children[0].node

    # --- writing ------------------------------------------------------------------------------

    def _collect(self, seq: int) -> list[Child]:
        """Number every changed node below the root, in pre-order, as a level of block `seq`, and clear its mark."""
        assert self.root is not None
        levels: list[Child] = []
        self._stray.clear()
        number(self.root, levels, seq)
        return levels

    def encode(self) -> list[bytes]:
        """The blocks of all operations, in order."""
        blocks: list[bytes] = []
        operations = self.operations
        if not operations:
            return blocks
        if not self._stamped:
            self._stamp()
        seq = self.base
        key, value, levels = operations[0]
        for following in islice(operations, 1, None):
            index = b""
            if levels is not following[2]:  # otherwise the next operation writes all of it again
                for record in survivors(levels, seq):
                    index += encode_node(record.node)
            blocks.append(encode_block(index, key, value))
            key, value, levels = following
            seq += 1
        nodes = [self.root, *[record.node for record in levels]]
        blocks.append(encode_block(b"".join([encode_node(node) for node in nodes]), key, value))
        return blocks

    def appended(self) -> None:
        """The encoded blocks are in the log: keep the tree for the next transaction."""
        self.base += len(self.operations)
        self.operations = []
        self.settle()
        if self._loaded > MAX_LOADED_NODES:
            self._prune()

    def settle(self) -> None:
        """Forget the marks of refused puts: between transactions every operation starts from a clean tree."""
        for node in self._stray:
            node.dirty = False
        self._stray.clear()

    def _prune(self) -> None:
        """Keep the upper half of the loaded nodes, breadth first; the rest is loaded again when needed."""
        self._leaf = self._searched = None
        keep = MAX_LOADED_NODES // 2
        kept = 1
        row = [self.root] if self.root is not None else []
        while row:
            following: list[TreeNode] = []
            for node in row:
                for record in node.children:
                    if record.node is None:
                        continue
                    if kept < keep:
                        kept += 1
                        following.append(record.node)
                    else:
                        record.node = None
            row = following
        self._loaded = kept
