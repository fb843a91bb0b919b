"""Two trees of one log, and when they are evidence against it."""

from __future__ import annotations

import dataclasses

import pytest

from core.hypercore.conflict import Comparison, compare_trees
from core.hypercore.proof import Proof, ProofRequest, UpgradeRequest
from tests.support.trees import DictTree, WriterTree, fixture_writer

OURS = fixture_writer(13)
TWIN = WriterTree([*list(OURS.blocks.values())[:9], b"another", b"story"])


def prove(writer: DictTree, length: int, start: int = 0) -> Proof:
    return writer.prove(ProofRequest(upgrade=UpgradeRequest(start, length)))


def compare(proof: Proof, tree: DictTree = OURS, **changes: object) -> Comparison:
    arguments = {"key": OURS.key, "manifest": OURS.manifest, "signature": tree.signature, **changes}
    return compare_trees(tree, proof, **arguments)


@pytest.mark.parametrize("length", [10, 11])
def test_two_signed_trees_that_differ(length: int) -> None:
    assert compare(prove(TWIN, length)) is Comparison.CONFLICT


@pytest.mark.parametrize("length", [1, 8, 9])
def test_up_to_where_they_part_they_are_equal(length: int) -> None:
    assert compare(prove(TWIN, length)) is Comparison.EQUAL


def test_our_own_tree() -> None:
    assert compare(prove(OURS, 13)) is Comparison.EQUAL
    assert compare(prove(fixture_writer(20), 13)) is Comparison.EQUAL


def test_what_cannot_be_compared() -> None:
    assert compare(prove(fixture_writer(20), 20)) is Comparison.NOT_COMPARABLE
    assert compare(prove(TWIN, 2, start=9)) is Comparison.NOT_COMPARABLE
    assert compare(Proof(0)) is Comparison.NOT_COMPARABLE
    assert compare(dataclasses.replace(prove(TWIN, 11), fork=1)) is Comparison.NOT_COMPARABLE
    assert compare(prove(TWIN, 11), manifest=None) is Comparison.NOT_COMPARABLE


def test_a_tree_that_is_not_signed_says_nothing() -> None:
    proof = prove(TWIN, 11)
    assert proof.upgrade is not None
    proof.upgrade.signature = OURS.signature
    assert compare(proof) is Comparison.UNPROVEN


def test_without_a_proof_of_our_own_nobody_is_accused() -> None:
    assert compare(prove(TWIN, 11), signature=bytes(68)) is Comparison.UNPROVEN
    reader = OURS.reader()
    reader.receive(prove(OURS, 13))
    assert compare(prove(TWIN, 11), tree=reader) is Comparison.UNPROVEN


def test_nodes_that_nothing_vouches_for_make_no_conflict() -> None:
    """The reference hashes every node of the message, so appending one to a true proof would do."""
    proof = prove(fixture_writer(20), 12)
    assert proof.upgrade is not None
    assert compare(proof) is Comparison.EQUAL
    proof.upgrade.nodes.append((998, 1, bytes(32)))
    assert compare(proof) is Comparison.EQUAL
