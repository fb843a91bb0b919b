"""Following a writer who truncated: how much of the local log the new fork still shares.

Source: hypercore 11.37.1 `lib/merkle-tree.js` (`ReorgBatch`, `MerkleTree.reorg`).

A peer with a higher fork number first proves its whole new tree (`Reorg.begin`). The first root that differs
from what is stored covers the first changed block, and the search goes down the tree from there: where a left
child is known and equal, the change is to the right of it, otherwise in it. When the nodes received so far do
not reach down to the change, `want` says which path to ask for, and `advance` takes the answer. Once `want`
is None, everything below `ancestors` is shared; the log is truncated to that and takes over head and nodes.

Nothing is stored before that, so a reorg that is never finished leaves no trace.
"""

from __future__ import annotations

from typing import NamedTuple

from ..crypto.hashing import Node
from ..errors import InvalidChecksum, InvalidOperation
from .flat_tree import block_range, depth, width
from .manifest import Manifest
from .merkle import TreeReader
from .proof_types import HashRequest, Proof, Verified
from .proof_verify import verify_detached, verify_paths


class ReorgWant(NamedTuple):
    """Any one block of `start` to `end` (half open) will do; its path must have `nodes` levels."""

    start: int
    end: int
    nodes: int

    def request(self, block: int) -> HashRequest:
        """The hash request for a `block` in the range that a peer has."""
        return HashRequest(2 * block, self.nodes)


class Reorg:
    """One fork of one log, being compared with the tree that is stored (which must not change meanwhile)."""

    __slots__ = ("_diff", "ancestors", "base_fork", "base_length", "nodes", "verified", "want")

    def __init__(self, tree: TreeReader, verified: Verified) -> None:
        self.verified = verified
        self.base_fork = tree.fork
        self.base_length = tree.length
        self.nodes: list[Node] = list(verified.nodes)
        self.want: ReorgWant | None = None
        self._diff = _first_difference(tree, verified.roots)
        self.ancestors = verified.length
        if self._diff is not None:
            self._descend(tree, self.nodes)

    @classmethod
    def begin(cls, tree: TreeReader, proof: Proof, *, key: bytes, manifest: Manifest | None) -> Reorg:
        """Check the proof of a whole new tree (an upgrade from 0, of a higher fork) and start comparing.

        Raises as `verify_detached`, and `InvalidOperation` when the fork is not a newer one.
        """
        if proof.fork <= tree.fork:
            raise InvalidOperation(f"fork {proof.fork} is not newer than fork {tree.fork}")
        return cls(tree, verify_detached(proof, key=key, manifest=manifest))

    @property
    def fork(self) -> int:
        return self.verified.fork

    @property
    def length(self) -> int:
        return self.verified.length

    @property
    def finished(self) -> bool:
        """Whether `ancestors` is final."""
        return self.want is None

    def applies_to(self, tree: TreeReader) -> bool:
        """Whether the log is still the one this was compared with."""
        return tree.fork == self.base_fork and tree.length == self.base_length

    def advance(self, tree: TreeReader, proof: Proof) -> bool:
        """Take the path that `want` asked for; True when that finished the search.

        An answer to an older `want` is ignored. Raises `InvalidOperation` for a path that is not one, and
        `InvalidChecksum` for one of another tree.
        """
        if self._diff is None or self.want is None:
            return True
        if proof.fork != self.fork:
            raise InvalidOperation(f"the path is of fork {proof.fork}, not {self.fork}")
        claimed, nodes = verify_paths(proof)
        if claimed is None:
            raise InvalidOperation("the answer contains no path")
        if claimed[0] == self._diff[0]:
            if claimed[2] != self._diff[2]:
                raise InvalidChecksum(f"the path leads to another node {claimed[0]} than the signed one")
            self.nodes += nodes
            self._descend(tree, nodes)
        return self.finished

    def _descend(self, tree: TreeReader, nodes: list[Node]) -> None:
        """Follow the difference down as far as `nodes` reach, and say what is wanted next."""
        assert self._diff is not None
        known = {node[0]: node for node in nodes}
        diff = self._diff
        while diff[0] & 1:
            half = width(diff[0]) >> 1
            left = known.get(diff[0] - half)
            if left is None:
                break
            # Every path and every upgrade brings both children of what it computes, or neither.
            diff = known[diff[0] + half] if _is_stored(tree, left) else left
        self._diff = diff
        start, end = block_range(diff[0])
        end = min(end, self.base_length)
        self.ancestors = min(start, self.base_length)
        self.want = ReorgWant(start, end, depth(diff[0])) if diff[0] & 1 and start < end else None


def _first_difference(tree: TreeReader, roots: list[Node]) -> Node | None:
    for root in roots:
        if not _is_stored(tree, root):
            return root
    return None


def _is_stored(tree: TreeReader, node: Node) -> bool:
    stored = tree.node(node[0])
    return stored is not None and stored[2] == node[2]
