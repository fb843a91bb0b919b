"""Conflicts: the key of a log signed two different trees of one length and one fork.

Source: hypercore 11.37.1 `lib/core.js` (`checkConflict`).

When data of a peer does not verify, each side asks the other to prove its tree up to the shorter of the two
lengths. Two valid proofs with different hashes are evidence that anybody can check: the log cannot be
trusted any more, whoever is to blame.
"""

from __future__ import annotations

import enum

from ..crypto.hashing import tree_hash
from ..errors import IntegrityError
from .manifest import Manifest
from .merkle import TreeReader, roots_at
from .proof_create import create_proof
from .proof_types import Proof, ProofRequest, UpgradeRequest
from .proof_verify import upgrade_roots, verify_detached


class Comparison(enum.Enum):
    """What the proof of a peer's tree says about ours."""

    NOT_COMPARABLE = "another fork, a longer tree than ours, or no manifest: nothing follows"
    UNPROVEN = "the proof does not hold, or we cannot prove our own tree: keep away from the peer"
    EQUAL = "both trees are the same up to the length"
    CONFLICT = "both trees are signed and they differ"


def compare_trees(
    tree: TreeReader, proof: Proof, *, key: bytes, manifest: Manifest | None, signature: bytes | None
) -> Comparison:
    """Compare a peer's tree (an upgrade from 0, not longer than ours) with the log `key` and its `signature`.

    Unlike the reference, the trees are compared by the roots that were verified and not by every node the
    message carries, so a peer cannot make a conflict out of nodes that nothing vouches for.
    """
    upgrade = proof.upgrade
    if upgrade is None or upgrade.start != 0 or manifest is None or proof.fork != tree.fork:
        return Comparison.NOT_COMPARABLE
    if upgrade.length > tree.length:
        return Comparison.NOT_COMPARABLE
    try:
        verify_detached(proof, key=key, manifest=manifest)
        request = ProofRequest(upgrade=UpgradeRequest(0, upgrade.length))
        own = create_proof(
            tree, request, signature=signature, block_value=lambda index: None, manifest=manifest
        )
        verify_detached(own, key=key, manifest=manifest)
        theirs, ours = upgrade_roots(proof), roots_at(tree, upgrade.length)
    except IntegrityError:
        return Comparison.UNPROVEN
    return Comparison.EQUAL if tree_hash(theirs) == tree_hash(ours) else Comparison.CONFLICT
