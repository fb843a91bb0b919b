"""The Merkle tree of a log: growing it, and reading what a sparse copy of it holds.

Source: hypercore 11.37.1 `lib/merkle-tree.js`. Checked against `tests/vectors/log/merkle-33.json` and
`verify-scenarios.json`.

A tree of N blocks is a short list of *roots* (the largest complete trees, left to right) over nodes that may
or may not be stored. Two invariants make a sparse copy useful: all roots of the current length are stored,
and whoever stores a parent that was computed stores both of its children too.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

from ..crypto.hashing import FRESH_HASH, LEAF, PARENT, Node, parent_hash
from ..errors import InvalidOperation
from ..limits import MAX_SAFE_INTEGER
from .flat_tree import full_roots, left_span, parent, right_span, sibling, width


class TreeReader(Protocol):
    """What the functions of this package need to know about a log. Lengths in blocks, sizes in bytes."""

    @property
    def length(self) -> int: ...

    @property
    def fork(self) -> int: ...

    @property
    def byte_length(self) -> int: ...

    @property
    def roots(self) -> list[Node]: ...

    def node(self, index: int, /) -> Node | None:
        """The stored node, or None. Never one that lies beyond `length`."""
        ...


class EmptyTree:
    """The tree of a log nobody knows anything about yet (of fork number `fork`)."""

    __slots__ = ("byte_length", "fork", "length", "roots")

    def __init__(self, fork: int = 0) -> None:
        self.fork = fork
        self.length = 0
        self.byte_length = 0
        self.roots: list[Node] = []

    def node(self, index: int) -> Node | None:
        return None


def append(roots: Sequence[Node], length: int, blocks: Iterable[bytes]) -> tuple[list[Node], list[Node]]:
    """Add blocks to a tree of `length` blocks: (the new roots, every node that was created, in order).

    The blocks are as stored (encrypted if the log is). Nothing is checked; `roots` is not changed.
    """
    stack = list(roots)
    nodes: list[Node] = []
    # `leaf_hash` and `parent_hash` inlined: together with their calls they are all there is to an append.
    fresh, pack_leaf, pack_parent = FRESH_HASH.copy, LEAF.pack, PARENT.pack
    for block in blocks:
        index = 2 * length
        size = len(block)
        state = fresh()
        state.update(pack_leaf(0, size) + block)
        node = (index, size, state.digest())
        nodes.append(node)
        # Block number 0b...0111 completes three trees: as many as it has trailing one bits.
        carry = length
        while carry & 1:
            left, left_size, left_digest = stack.pop()
            index = (left + index) >> 1
            size += left_size
            state = fresh()
            state.update(pack_parent(1, size, left_digest, node[2]))
            node = (index, size, state.digest())
            nodes.append(node)
            carry >>= 1
        stack.append(node)
        length += 1
    return stack, nodes


class GrowingTree:
    """A copy of a tree's roots to push nodes onto; `nodes` collects what came to be known by that."""

    __slots__ = ("byte_length", "length", "nodes", "roots")

    def __init__(self, roots: Iterable[Node] = (), length: int = 0, byte_length: int = 0) -> None:
        self.roots: list[Node] = list(roots)
        self.length = length
        self.byte_length = byte_length
        self.nodes: list[Node] = []

    def copy(self) -> GrowingTree:
        """A second tree that grows on its own, with no collected nodes."""
        return GrowingTree(self.roots, self.length, self.byte_length)

    def push(self, node: Node) -> None:
        """Add the complete tree `node`, which must begin exactly at the end of this one.

        Raises `InvalidOperation` when the bytes no longer fit an integer of the wire: sizes of nodes come
        from strangers.
        """
        roots = self.roots
        index, size, digest = node
        self.length += width(index)
        self.byte_length += size
        if self.byte_length > MAX_SAFE_INTEGER:
            raise InvalidOperation("the tree claims to cover more than 2^53 bytes")
        self.nodes.append(node)
        while roots and roots[-1][0] == sibling(index):
            left, left_size, left_digest = roots.pop()
            index = (left + index) >> 1
            size += left_size
            digest = parent_hash(size, left_digest, digest)
            node = (index, size, digest)
            self.nodes.append(node)
        roots.append(node)


def require_node(tree: TreeReader, index: int) -> Node:
    """The stored node `index`. Raises `InvalidOperation` when it is not stored."""
    node = tree.node(index)
    if node is None:
        raise InvalidOperation(f"tree node {index} is not stored here")
    return node


def roots_at(tree: TreeReader, length: int) -> list[Node]:
    """The roots of the first `length` blocks. Raises `InvalidOperation` if they are not stored."""
    if length == tree.length:
        return list(tree.roots)
    if length > tree.length:
        raise InvalidOperation(f"the tree has {tree.length} blocks, not {length}")
    return [require_node(tree, index) for index in full_roots(length)]


def can_upgrade_from(tree: TreeReader, length: int) -> bool:
    """Whether an upgrade from `length` can be proved: all roots of that length are stored."""
    return all(tree.node(index) is not None for index in full_roots(length))


def spine(length: int) -> list[int]:
    """The nodes left of `2 * length` that cover it, lowest first.

    They belong to a tree that was longer than `length`: truncating to it must delete them, and with them
    every node from index `2 * length` on.
    """
    end = 2 * length
    nodes = []
    index = end
    while True:
        index = parent(index)
        if index < end:
            nodes.append(index)
        elif left_span(index) == 0:
            return nodes


def missing_nodes(tree: TreeReader, index: int) -> int:
    """How many levels of the path of tree node `index` must be asked for.

    0: the hash of this very node is stored; k: that of the ancestor k levels up is. 0 also for a node that is
    not complete within the tree (then an upgrade must come first, and carries the path).
    """
    end = 2 * tree.length
    levels = 0
    while right_span(index) < end and tree.node(index) is None:
        levels += 1
        index = parent(index)
    return levels


def max_missing_nodes(index: int, length: int) -> int:
    """The most levels that anybody with `length` blocks can lack of the path of tree node `index`.

    For pushing blocks to a peer of which only the length is known. 0 for a node outside that length.
    """
    end = 2 * length
    levels = 0
    while right_span(parent(index)) < end:
        levels += 1
        index = parent(index)
    return levels
