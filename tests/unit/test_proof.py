"""Corners of making and checking proofs that neither the vectors nor the model reach."""

from __future__ import annotations

import dataclasses

import pytest

from core.crypto.hashing import tree_hash
from core.errors import InvalidChecksum, InvalidOperation, InvalidProof, InvalidSignature
from core.hypercore.manifest import (
    Manifest,
    Prologue,
    Signer,
    create_manifest,
    default_manifest,
    manifest_key,
)
from core.hypercore.proof import (
    BlockRequest,
    HashProof,
    HashRequest,
    Proof,
    ProofRequest,
    SeekProof,
    SeekRequest,
    UpgradeRequest,
    verify_detached,
)
from tests.support.trees import DictTree, WriterTree, fixture_block, fixture_writer

WRITER = fixture_writer(21)
UPGRADE = ProofRequest(upgrade=UpgradeRequest(0, 21))


def upgraded_reader() -> DictTree:
    reader = WRITER.reader()
    reader.receive(WRITER.prove(UPGRADE))
    return reader


# --- making ------------------------------------------------------------------------------------


def test_an_empty_log_proves_nothing_but_its_manifest() -> None:
    empty = WRITER.reader()
    assert empty.prove(ProofRequest(block=BlockRequest(0, 0), manifest=True)) == Proof(
        0, manifest=WRITER.manifest
    )
    assert empty.prove(ProofRequest(upgrade=UpgradeRequest(0, 1))) == Proof(0)


def test_a_block_wins_over_a_hash() -> None:
    proof = WRITER.prove(ProofRequest(block=BlockRequest(3, 1), hash=HashRequest(8, 1)))
    assert proof.block is not None
    assert proof.hash is None


def test_a_block_that_is_not_stored() -> None:
    reader = upgraded_reader()
    with pytest.raises(InvalidOperation, match="block 20 is not stored"):
        reader.prove(ProofRequest(block=BlockRequest(20, 0)))
    with pytest.raises(InvalidOperation, match="block 20 is not stored"):
        reader.prove(ProofRequest(block=BlockRequest(20, 0), upgrade=UpgradeRequest(0, 21)))


@pytest.mark.parametrize("index", [21, 22, 1000])
def test_a_block_past_the_end(index: int) -> None:
    with pytest.raises(InvalidOperation):
        WRITER.prove(ProofRequest(block=BlockRequest(index, 0)))
    with pytest.raises(InvalidOperation, match="outside the part"):
        WRITER.prove(ProofRequest(block=BlockRequest(index, 0), upgrade=UpgradeRequest(16, 5)))


def test_a_seek_belongs_to_the_bytes_below_the_path() -> None:
    size = WRITER.nodes[3][1]
    for bytes_, answered in ((0, True), (size - 1, True), (size, False), (size + 1, False)):
        request = ProofRequest(hash=HashRequest(2, 2), seek=SeekRequest(bytes_))
        if answered:
            WRITER.prove(request)
        else:
            with pytest.raises(InvalidOperation, match="not below tree node 3"):
                WRITER.prove(request)


def test_the_request_is_left_as_it_is() -> None:
    writer = prologue_writer(5)
    request = ProofRequest(upgrade=UpgradeRequest(3, 2))
    assert writer.prove(request).upgrade.start == 0
    assert request.upgrade == UpgradeRequest(3, 2)


# --- checking ----------------------------------------------------------------------------------


def test_a_proof_of_another_fork_is_not_applied() -> None:
    proof = dataclasses.replace(WRITER.prove(UPGRADE), fork=1)
    with pytest.raises(InvalidOperation, match="fork 1"):
        WRITER.reader().receive(proof)


def test_a_proof_that_stops_below_what_is_stored() -> None:
    with pytest.raises(InvalidOperation, match="node 1, which is not stored"):
        upgraded_reader().receive(WRITER.prove(ProofRequest(block=BlockRequest(0, 1))))


def test_a_block_that_was_changed() -> None:
    proof = WRITER.prove(ProofRequest(block=BlockRequest(0, 4)))
    proof.block.value = b"not what was written"
    with pytest.raises(InvalidChecksum):
        upgraded_reader().receive(proof)


def test_left_over_nodes_are_ignored() -> None:
    proof = WRITER.prove(UPGRADE)
    proof.upgrade.nodes.append((998, 1, bytes(32)))
    reader = WRITER.reader()
    reader.receive(proof)
    assert sorted(reader.nodes) == [15, 35, 40]


def test_a_hash_alone_cannot_change_a_size() -> None:
    """Its hash says nothing about the size that was sent beside it."""
    reader = upgraded_reader()
    index, size, digest = reader.nodes[15]
    reader.receive(Proof(0, hash=HashProof(15, [(index, size, digest)])))
    larger = [(index, size + 1, digest)]
    for proof in (Proof(0, hash=HashProof(15, larger)), Proof(0, seek=SeekProof(3, larger))):
        with pytest.raises(InvalidChecksum, match="size of node 15"):
            reader.receive(proof)
    assert reader.nodes[15] == (index, size, digest)


def test_an_upgrade_to_nothing() -> None:
    proof = WRITER.prove(UPGRADE)
    proof.upgrade.length = 0
    for reader in (WRITER.reader(), upgraded_reader()):
        with pytest.raises(InvalidOperation, match="upgrade to nothing"):
            reader.receive(proof)


def test_an_upgrade_to_what_is_there_already_changes_nothing() -> None:
    """Roots are matched by their index, so not even the signature is looked at."""
    reader = upgraded_reader()
    proof = WRITER.prove(UPGRADE)
    proof.upgrade.signature = b"not looked at"
    before = reader.facts()
    verified = reader.receive(proof)
    assert (verified.upgraded, verified.signature, verified.nodes) == (False, None, [])
    assert reader.facts() == before


# --- manifests ---------------------------------------------------------------------------------


def test_a_manifest_is_learned_with_the_first_upgrade() -> None:
    reader = WRITER.reader(knows_manifest=False)
    verified = reader.receive(WRITER.prove(dataclasses.replace(UPGRADE, manifest=True)))
    assert verified.manifest == WRITER.manifest
    again = reader.receive(WRITER.prove(ProofRequest(block=BlockRequest(20, 0), manifest=True)))
    assert again.manifest is None


def test_a_manifest_alone() -> None:
    reader = WRITER.reader(knows_manifest=False)
    assert reader.receive(Proof(0, manifest=WRITER.manifest)).manifest == WRITER.manifest
    reader = WRITER.reader(knows_manifest=False)
    with pytest.raises(InvalidChecksum, match="does not hash"):
        reader.receive(Proof(0, manifest=default_manifest(bytes(32))))


def test_somebody_elses_manifest() -> None:
    reader = WRITER.reader(knows_manifest=False)
    proof = WRITER.prove(UPGRADE)
    with pytest.raises(InvalidSignature, match="21 blocks is not valid"):
        reader.receive(proof)  # without one it is taken for a compat log
    with pytest.raises(InvalidSignature, match="not the one of this log"):
        reader.receive(dataclasses.replace(proof, manifest=default_manifest(bytes(32))))


def test_a_compat_log_needs_no_manifest() -> None:
    writer = WriterTree()
    writer.key = writer.pair.public_key
    writer.append([fixture_block(2), fixture_block(3)])
    assert len(writer.signature) == 64
    proof = writer.prove(ProofRequest(upgrade=UpgradeRequest(0, 2), manifest=True))
    assert proof.manifest is None
    reader = writer.reader(knows_manifest=False)
    assert reader.receive(proof).manifest == default_manifest(writer.key)
    assert reader.facts() == writer.facts()


# --- prologues ---------------------------------------------------------------------------------


def static_log(length: int) -> DictTree:
    """A log without signers: nothing but its prologue."""
    source = fixture_writer(length)
    manifest = create_manifest(prologue=Prologue(tree_hash(source.roots), length))
    tree = DictTree(manifest_key(manifest), manifest)
    tree.length, tree.byte_length, tree.roots = length, source.byte_length, source.roots
    tree.nodes, tree.blocks = source.nodes, source.blocks
    return tree


def prologue_writer(length: int) -> WriterTree:
    """A log that begins with 5 fixed blocks and goes on with signed ones."""
    writer = WriterTree()
    fixed = fixture_writer(5)
    writer.manifest = create_manifest(
        prologue=Prologue(tree_hash(fixed.roots), 5), signers=[Signer(writer.pair.public_key)]
    )
    writer.key = manifest_key(writer.manifest)
    writer.append(map(fixture_block, range(length)))
    return writer


def test_a_static_log_needs_no_signature() -> None:
    log = static_log(6)
    proof = log.prove(ProofRequest(upgrade=UpgradeRequest(0, 6), manifest=True))
    assert proof.upgrade.signature is None
    reader = DictTree(log.key, None)
    assert reader.receive(proof).upgraded
    assert reader.facts() == log.facts()


def test_a_static_log_with_another_content() -> None:
    log = static_log(6)
    log.roots = WriterTree([b"x"] * 6).roots
    log.nodes = WriterTree([b"x"] * 6).nodes
    proof = log.prove(ProofRequest(upgrade=UpgradeRequest(0, 6), manifest=True))
    with pytest.raises(InvalidProof, match="differs from the prologue"):
        DictTree(log.key, None).receive(proof)


@pytest.mark.parametrize(("start", "length"), [(0, 5), (0, 2), (3, 4), (0, 9), (4, 1)])
def test_a_prologue_is_proved_in_one_piece(start: int, length: int) -> None:
    writer = prologue_writer(9)
    proof = writer.prove(ProofRequest(upgrade=UpgradeRequest(start, length), manifest=True))
    assert (proof.upgrade.start, proof.upgrade.length) == (0, 5)
    reader = DictTree(writer.key, None)
    reader.receive(proof)
    assert reader.facts() == writer.facts()


def test_past_the_prologue_upgrades_are_ordinary() -> None:
    writer = prologue_writer(9)
    proof = writer.prove(ProofRequest(upgrade=UpgradeRequest(6, 2)))
    assert (proof.upgrade.start, proof.upgrade.length) == (6, 2)


def test_a_split_prologue_is_refused() -> None:
    writer = prologue_writer(9)
    proof = writer.prove(ProofRequest(upgrade=UpgradeRequest(0, 9)))
    for start, length in ((0, 4), (1, 8), (4, 5)):
        proof.upgrade.start, proof.upgrade.length = start, length
        with pytest.raises(InvalidProof, match="splits the prologue"):
            DictTree(writer.key, writer.manifest).receive(proof)


def test_signed_blocks_do_not_excuse_another_prologue() -> None:
    """The pair signs a tree that does not begin with the fixed blocks: only the first 5 give it away."""
    writer = prologue_writer(0)
    writer.append([b"x"] * 9)
    proof = writer.prove(ProofRequest(upgrade=UpgradeRequest(0, 9)))
    with pytest.raises(InvalidProof, match="differs from the prologue"):
        DictTree(writer.key, writer.manifest).receive(proof)


def test_a_detached_proof_of_a_signed_log() -> None:
    verified = verify_detached(WRITER.prove(UPGRADE), key=WRITER.key, manifest=WRITER.manifest)
    assert (verified.length, verified.roots, verified.fork) == (21, WRITER.roots, 0)


def test_a_log_whose_manifest_nobody_can_satisfy() -> None:
    manifest = Manifest(version=1, quorum=0, signers=(Signer(WRITER.pair.public_key),))
    log = WriterTree([b"x"])
    log.manifest, log.key = manifest, manifest_key(manifest)
    log.sign()
    with pytest.raises(InvalidSignature):
        DictTree(log.key, manifest).receive(log.prove(ProofRequest(upgrade=UpgradeRequest(0, 1))))
