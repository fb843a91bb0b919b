"""Making proofs: which nodes answer a request, in the order in which the receiver consumes them.

Source: hypercore 11.37.1 `lib/merkle-tree.js` (`generateProof`). Checked against
`tests/vectors/log/proof-selection.json` and `proof-wire.json`.

A request names up to three things: a *target* (a block or a tree node), a byte to *seek*, and an *upgrade* of
the tree. The path of the target leads up to a node the receiver trusts. That is one it has already (the
target lies in the old part: `nodes` levels up), or one that the upgrade itself carries (the target lies in
the new part). In the second case the path replaces that one node in the upgrade's list: the receiver
computes it.
"""

from __future__ import annotations

from collections.abc import Callable

from ..crypto.hashing import Node
from ..errors import InvalidOperation
from .byte_seek import seek_from_head, seek_within
from .flat_tree import contains, parent, right_span, sibling
from .manifest import Manifest, Prologue
from .merkle import TreeReader, require_node
from .proof_types import (
    BlockProof,
    BlockRequest,
    HashProof,
    Proof,
    ProofRequest,
    SeekProof,
    SeekRequest,
    UpgradeProof,
    UpgradeRequest,
)
from .upgrade import upgrade_nodes


def create_proof(
    tree: TreeReader,
    request: ProofRequest,
    *,
    signature: bytes | None,
    block_value: Callable[[int], bytes | None],
    manifest: Manifest | None,
) -> Proof:
    """The answer to `request` from `tree`.

    `signature` is the one of the whole tree; `block_value(index)` gives a block as stored. `manifest` is
    None for a compat log, whose readers derive it. An empty tree proves nothing and gives a proof without
    parts (a wanted manifest is attached all the same). Raises `InvalidOperation` when the request does not
    fit the tree, or what it needs is not stored here.
    """
    attached = manifest if request.manifest else None
    if tree.length == 0:
        return Proof(tree.fork, manifest=attached)
    block = request.block
    if block is not None and request.upgrade is None and request.seek is None:
        nodes = _block_path(tree, block)
        proof = BlockProof(block.index, _value(block_value, block.index), nodes)
        return Proof(tree.fork, proof, manifest=attached)
    selection = _Selection(tree, request, manifest.prologue if manifest is not None else None)
    return selection.proof(signature, block_value, attached)


def _block_path(tree: TreeReader, block: BlockRequest) -> list[Node]:
    """The commonest answer: the siblings on the first `block.nodes` levels above a block."""
    index = 2 * block.index
    nodes = []
    read = tree.node
    for _ in range(block.nodes):
        leaves = (index + 1) & -(index + 1)
        if (index + 1) & (2 * leaves):
            beside = index - 2 * leaves
            index -= leaves
        else:
            beside = index + 2 * leaves
            index += leaves
        node = read(beside)
        if node is None:  # also where the tree is not complete yet
            raise InvalidOperation(f"tree node {beside} is not stored here")
        nodes.append(node)
    return nodes


def _value(block_value: Callable[[int], bytes | None], index: int) -> bytes:
    value = block_value(index)
    if value is None:
        raise InvalidOperation(f"block {index} is not stored here")
    return value


class _Selection:
    """The node lists of one answer. Each stays None until something of it was selected."""

    def __init__(self, tree: TreeReader, request: ProofRequest, prologue: Prologue | None) -> None:
        self.tree = tree
        self.request = request
        self.target: int | None = None
        self.target_nodes: list[Node] | None = None
        self.seek_nodes: list[Node] | None = None
        self.upgrade_nodes: list[Node] = []
        self.additional_nodes: list[Node] = []
        self.upgrade = _fit_prologue(request.upgrade, prologue)
        start, end = self._bounds()
        if request.block is not None:
            self.target = 2 * request.block.index
        elif request.hash is not None:
            self.target = request.hash.index
        self._check(start, end)
        self._select(start, end)

    def _bounds(self) -> tuple[int, int]:
        """First and end block of the upgrade; the whole tree without one."""
        if self.upgrade is None:
            return 0, self.tree.length
        return self.upgrade.start, self.upgrade.start + self.upgrade.length

    def _check(self, start: int, end: int) -> None:
        if start >= end or end > self.tree.length:
            raise InvalidOperation(f"no upgrade from {start} to {end} in a tree of {self.tree.length} blocks")
        if self.upgrade is None or self.target is None or self.request.seek is None:
            return
        if self.target >= 2 * start:
            raise InvalidOperation("a seek goes with an upgrade, or with a target in the new part, not both")

    def _select(self, start: int, end: int) -> None:
        target, seek = self.target, self.request.seek
        anchor: int | None = None
        if target is not None and (self.upgrade is None or right_span(target) < 2 * start):
            self._select_known(target, end)
        elif self.upgrade is not None:
            if seek is not None:
                anchor = seek_from_head(self.tree, end, seek.bytes, seek.padding)
            else:
                anchor = target
        if self.upgrade is None:
            return
        for index in upgrade_nodes(start, end):
            if anchor is not None and contains(index, anchor):
                self._select_path(target, anchor if seek is not None else None, index)
                anchor = None
            else:
                self.upgrade_nodes.append(require_node(self.tree, index))
        if end < self.tree.length:
            more = upgrade_nodes(end, self.tree.length)
            self.additional_nodes = [require_node(self.tree, index) for index in more]

    def _select_known(self, target: int, end: int) -> None:
        """The path of a target that lies in the part of the tree which the receiver knows the roots of."""
        wanted = self.request.block or self.request.hash
        assert wanted is not None
        root = target
        for _ in range(wanted.nodes):
            root = parent(root)
            if contains(root, 2 * end):
                raise InvalidOperation(f"the tree is not complete {wanted.nodes} levels above node {target}")
        self._select_path(target, self._seek_root(root), root)

    def _seek_root(self, root: int) -> int | None:
        seek: SeekRequest | None = self.request.seek
        return None if seek is None else seek_within(self.tree, root, seek.bytes, seek.padding)

    def _select_path(self, target: int | None, seek_root: int | None, root: int) -> None:
        """Siblings from the target up to `root`; the one that holds `seek_root` is proved from there."""
        if target is None:
            assert seek_root is not None
            self.seek_nodes = self._climb(seek_root, root)
            return
        self.target_nodes = [] if self.request.block is not None else [require_node(self.tree, target)]
        index = target
        while index != root:
            beside = sibling(index)
            if seek_root is not None and beside != seek_root and contains(beside, seek_root):
                self.seek_nodes = self._climb(seek_root, beside)
            else:
                self.target_nodes.append(require_node(self.tree, beside))
            index = parent(index)

    def _climb(self, index: int, root: int) -> list[Node]:
        nodes = [require_node(self.tree, index)]
        while index != root:
            nodes.append(require_node(self.tree, sibling(index)))
            index = parent(index)
        return nodes

    def proof(
        self, signature: bytes | None, block_value: Callable[[int], bytes | None], manifest: Manifest | None
    ) -> Proof:
        """The lists, put into the message."""
        request, proof = self.request, Proof(self.tree.fork, manifest=manifest)
        if self.target is not None and self.target_nodes is None:
            raise InvalidOperation(f"node {self.target} is outside the part of the tree that was asked for")
        if request.block is not None:
            index = request.block.index
            proof.block = BlockProof(index, _value(block_value, index), self.target_nodes or [])
        elif request.hash is not None:
            proof.hash = HashProof(request.hash.index, self.target_nodes or [])
        if request.seek is not None and self.seek_nodes is not None:
            proof.seek = SeekProof(request.seek.bytes, self.seek_nodes)
        if self.upgrade is not None:
            start, length = self.upgrade.start, self.upgrade.length
            proof.upgrade = UpgradeProof(start, length, self.upgrade_nodes, self.additional_nodes, signature)
        return proof


def _fit_prologue(upgrade: UpgradeRequest | None, prologue: Prologue | None) -> UpgradeRequest | None:
    """A prologue has one hash and no signatures in between, so it is proved in one piece or not at all."""
    if upgrade is None or prologue is None or upgrade.start >= prologue.length:
        return upgrade
    return UpgradeRequest(0, prologue.length)
