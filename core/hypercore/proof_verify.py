"""Checking proofs: from a stranger's bytes to nodes that may be stored.

Source: hypercore 11.37.1 `lib/merkle-tree.js` (`verifyTree`, `verifyUpgrade`), `lib/core.js` (`verify`,
`_verifyBatchUpgrade`). Checked against `tests/vectors/log/verify-scenarios.json`.

A block, hash or seek part hashes its way up to one node, the *claimed* one. It is true if the log stores a
node with that index and hash already, or if the upgrade of the same proof consumes it and the signature over
the tree that results is valid. Everything the proof mentioned on the way is then true as well.

What a hash says about sizes: a parent's hash covers the *sum* of its children's sizes. A path that begins
with a block therefore forces every size on it; one that begins with a bare hash leaves the split between the
first two nodes to the sender. Offsets found by a seek are worth no more than that until the blocks arrive.
"""

from __future__ import annotations

from ..crypto.hashing import Node, leaf_hash, parent_hash, tree_hash
from ..errors import InvalidChecksum, InvalidOperation, InvalidProof, InvalidSignature
from .flat_tree import parent, sibling
from .manifest import Manifest, Prologue, default_manifest, is_compat, is_manifest_of, manifest_key
from .merkle import EmptyTree, GrowingTree, TreeReader
from .proof_types import BlockProof, Proof, UpgradeProof, Verified
from .signatures import verify_signature
from .upgrade import extend, grow


def verify_proof(tree: TreeReader, proof: Proof, *, key: bytes, manifest: Manifest | None) -> Verified:
    """Check `proof` against what `tree` (of the log `key`) knows; `manifest` is None while it is unknown.

    Raises `InvalidOperation` (the proof does not fit this tree, or is about another fork), `InvalidChecksum`
    (a hash differs from a stored one), `InvalidProof` (against the prologue), `InvalidSignature`.
    """
    if proof.fork != tree.fork:
        raise InvalidOperation(f"the proof is about fork {proof.fork}, the log is at fork {tree.fork}")
    block = proof.block
    if block is not None and proof.upgrade is None and proof.seek is None and proof.manifest is None:
        return _verify_block(tree, block)
    return _verify_parts(tree, proof, key, manifest)


def verify_detached(proof: Proof, *, key: bytes, manifest: Manifest | None) -> Verified:
    """Check a proof that stands alone: it must lead from nothing to a signed tree (of any fork number).

    For another fork of a log, and for comparing two trees of one log. Raises as `verify_proof`.
    """
    if proof.upgrade is None or proof.upgrade.start != 0:
        raise InvalidOperation("a proof that stands alone must contain an upgrade from nothing")
    claimed, nodes = verify_paths(proof)
    learned = _manifest_for(key, manifest, proof)
    trusted = manifest or learned
    growing = GrowingTree()
    if not _apply_upgrade(growing, proof.upgrade, claimed, _prologue(key, trusted)):
        raise InvalidProof(f"the upgrade does not lead to node {claimed[0] if claimed else None}")
    return _signed(EmptyTree(proof.fork), growing, proof, nodes, key, manifest, learned)


def _verify_block(tree: TreeReader, block: BlockProof) -> Verified:
    """The commonest proof by far, with nothing in it but one block and its path."""
    value = block.value
    index, size, digest = 2 * block.index, len(value), leaf_hash(value)
    nodes: list[Node] = [(index, size, digest)]
    for beside in block.nodes:
        leaves = (index + 1) & -(index + 1)
        size += beside[1]
        if (index + 1) & (2 * leaves):
            if beside[0] != index - 2 * leaves:
                raise InvalidOperation(f"expected node {index - 2 * leaves}, got node {beside[0]}")
            index -= leaves
            digest = parent_hash(size, beside[2], digest)
        else:
            if beside[0] != index + 2 * leaves:
                raise InvalidOperation(f"expected node {index + 2 * leaves}, got node {beside[0]}")
            index += leaves
            digest = parent_hash(size, digest, beside[2])
        nodes.append(beside)
        nodes.append((index, size, digest))
    stored = tree.node(index)
    if stored is None:
        raise InvalidOperation(f"the proof leads to node {index}, which is not stored here")
    if stored[2] != digest:
        raise InvalidChecksum(f"the hash of node {index} differs from the stored one")
    return Verified(tree.fork, tree.length, tree.byte_length, tree.roots, nodes)


def _verify_parts(tree: TreeReader, proof: Proof, key: bytes, manifest: Manifest | None) -> Verified:
    claimed, nodes = verify_paths(proof)
    if proof.upgrade is not None:
        learned = _manifest_for(key, manifest, proof)
        growing = GrowingTree(tree.roots, tree.length, tree.byte_length)
        consumed = _apply_upgrade(growing, proof.upgrade, claimed, _prologue(key, manifest or learned))
        if claimed is not None and not consumed:
            _check_claimed(tree, claimed, proof)
        if growing.nodes:
            return _signed(tree, growing, proof, nodes, key, manifest, learned)
    elif claimed is not None:
        _check_claimed(tree, claimed, proof)
    learned = None
    if manifest is None and proof.manifest is not None:
        if manifest_key(proof.manifest) != key:
            raise InvalidChecksum("the manifest does not hash to the log's key")
        learned = proof.manifest
    return Verified(tree.fork, tree.length, tree.byte_length, tree.roots, nodes, manifest=learned)


def _signed(
    tree: TreeReader,
    growing: GrowingTree,
    proof: Proof,
    nodes: list[Node],
    key: bytes,
    manifest: Manifest | None,
    learned: Manifest | None,
) -> Verified:
    """The result for a tree that grew, if its signature holds."""
    trusted = manifest or learned
    signature = proof.upgrade.signature if proof.upgrade is not None else None
    if trusted is None or not verify_signature(
        trusted, key, growing.roots, growing.length, proof.fork, signature
    ):
        raise InvalidSignature(f"the signature of the tree of {growing.length} blocks is not valid")
    return Verified(
        fork=proof.fork,
        length=growing.length,
        byte_length=growing.byte_length,
        roots=growing.roots,
        nodes=nodes + growing.nodes,
        upgraded=True,
        signature=signature,
        manifest=learned if manifest is None else None,
    )


def upgrade_roots(proof: Proof) -> list[Node]:
    """The roots at `upgrade.length` of a proof that stands alone (its additional nodes may lead further)."""
    if proof.upgrade is None:
        return []
    claimed, _ = verify_paths(proof)
    growing = GrowingTree()
    grow(growing, proof.upgrade.length, NodeQueue(proof.upgrade.nodes, claimed).take)
    return growing.roots


class NodeQueue:
    """Nodes in the order of a proof, and one computed node that may be asked for at any point, once."""

    __slots__ = ("extra", "nodes", "position")

    def __init__(self, nodes: list[Node], extra: Node | None = None) -> None:
        self.nodes = nodes
        self.extra = extra
        self.position = 0

    def take(self, index: int) -> Node:
        """The next node, which must be `index`. Raises `InvalidOperation`."""
        if self.extra is not None and self.extra[0] == index:
            node, self.extra = self.extra, None
            return node
        if self.position == len(self.nodes):
            raise InvalidOperation(f"expected node {index}, but the proof ends")
        node = self.nodes[self.position]
        if node[0] != index:
            raise InvalidOperation(f"expected node {index}, got node {node[0]}")
        self.position += 1
        return node

    @property
    def exhausted(self) -> bool:
        return self.extra is None and self.position == len(self.nodes)


def verify_paths(proof: Proof) -> tuple[Node | None, list[Node]]:
    """Hash the seek and the block or hash part upwards: (the claimed node, all nodes seen or computed)."""
    nodes: list[Node] = []
    claimed: Node | None = None
    if proof.seek is not None and proof.seek.nodes:
        queue = NodeQueue(proof.seek.nodes)
        claimed = _climb(queue.take(proof.seek.nodes[0][0]), queue, nodes)
    if proof.block is not None:
        value = proof.block.value
        queue = NodeQueue(proof.block.nodes, claimed)
        claimed = _climb((2 * proof.block.index, len(value), leaf_hash(value)), queue, nodes)
    elif proof.hash is not None:
        queue = NodeQueue(proof.hash.nodes, claimed)
        claimed = _climb(queue.take(proof.hash.index), queue, nodes)
    return claimed, nodes


def _climb(node: Node, queue: NodeQueue, nodes: list[Node]) -> Node:
    """Up to the root that the queue leads to. (Indexes below 2^53 keep this under 60 levels.)"""
    nodes.append(node)
    while not queue.exhausted:
        index, size, digest = node
        beside = queue.take(sibling(index))
        size += beside[1]
        if beside[0] < index:
            node = (parent(index), size, parent_hash(size, beside[2], digest))
        else:
            node = (parent(index), size, parent_hash(size, digest, beside[2]))
        nodes.append(beside)
        nodes.append(node)
    return node


def _check_claimed(tree: TreeReader, claimed: Node, proof: Proof) -> None:
    """The claimed node must be one that the log trusts already."""
    stored = tree.node(claimed[0])
    if stored is None:
        raise InvalidOperation(f"the proof leads to node {claimed[0]}, which is not stored here")
    if stored[2] != claimed[2]:
        raise InvalidChecksum(f"the hash of node {claimed[0]} differs from the stored one")
    # A node that was computed has a hash over its size. One that was merely sent may claim any size.
    if proof.block is None and stored[1] != claimed[1] and _was_sent(claimed, proof):
        raise InvalidChecksum(f"the size of node {claimed[0]} differs from the stored one")


def _was_sent(claimed: Node, proof: Proof) -> bool:
    if proof.hash is not None:
        return proof.hash.index == claimed[0]
    return proof.seek is not None and proof.seek.nodes[0][0] == claimed[0]


def _apply_upgrade(
    tree: GrowingTree, upgrade: UpgradeProof, claimed: Node | None, prologue: Prologue | None
) -> bool:
    """Grow `tree` by the proof's nodes. True unless there is a claimed node which was left over."""
    start, end = upgrade.start, upgrade.start + upgrade.length
    if end == 0:
        raise InvalidOperation("an upgrade to nothing")
    if prologue is not None and start < prologue.length and (start != 0 or end < prologue.length):
        raise InvalidProof("the upgrade splits the prologue")
    queue = NodeQueue(upgrade.nodes, claimed)
    grow(tree, end, queue.take)
    if prologue is not None and tree.length == prologue.length and tree_hash(tree.roots) != prologue.hash:
        raise InvalidProof("the tree differs from the prologue")
    extend(tree, upgrade.additional_nodes)
    return queue.extra is None


def _manifest_for(key: bytes, manifest: Manifest | None, proof: Proof) -> Manifest | None:
    """The manifest a proof introduces; None if one is known. Raises `InvalidSignature` for a wrong one."""
    if manifest is not None:
        return None
    introduced = proof.manifest or default_manifest(key)
    if not is_manifest_of(key, introduced):
        raise InvalidSignature("the manifest in the proof is not the one of this log")
    return introduced


def _prologue(key: bytes, manifest: Manifest | None) -> Prologue | None:
    if manifest is None or manifest.version == 0 or is_compat(key, manifest):
        return None
    return manifest.prologue
