"""A reader compares a writer's new fork with what it holds."""

from __future__ import annotations

import pytest

from core.errors import InvalidChecksum, InvalidOperation, InvalidProof, InvalidSignature
from core.hypercore.proof import BlockRequest, HashRequest, Proof, ProofRequest, UpgradeRequest
from core.hypercore.reorg import Reorg, ReorgWant
from tests.support.trees import DictTree, WriterTree, fixture_block, fixture_writer


def full_reader(writer: WriterTree) -> DictTree:
    """A reader that downloaded everything."""
    reader = writer.reader()
    reader.fork = writer.fork
    reader.receive(writer.prove(ProofRequest(upgrade=UpgradeRequest(0, writer.length))))
    reader.nodes.update(writer.nodes)
    reader.blocks.update(writer.blocks)
    return reader


def whole(writer: WriterTree, **parts: object) -> Proof:
    return writer.prove(ProofRequest(upgrade=UpgradeRequest(0, writer.length), **parts))


def begin(reader: DictTree, proof: Proof) -> Reorg:
    return Reorg.begin(reader, proof, key=reader.key, manifest=reader.manifest)


def forked(length: int, kept: int, more: int) -> WriterTree:
    """The writer of `length` fixture blocks after truncating to `kept` and appending `more` other blocks."""
    writer = fixture_writer(length)
    writer.truncate(kept)
    writer.append(b"new %d" % number for number in range(more))
    return writer


def walk(reader: DictTree, reorg: Reorg, writer: WriterTree) -> list[ReorgWant]:
    wants = []
    while reorg.want is not None:
        wants.append(reorg.want)
        request = ProofRequest(hash=reorg.want.request(reorg.want.end - 1))
        reorg.advance(reader, writer.prove(request))
    return wants


@pytest.mark.parametrize("length", [1, 2, 7, 8, 21])
@pytest.mark.parametrize("more", [0, 1, 2, 20])
def test_a_full_reader_keeps_every_shared_block(length: int, more: int) -> None:
    for kept in range(1, length + 1):
        reader, writer = full_reader(fixture_writer(length)), forked(length, kept, more)
        reorg = begin(reader, whole(writer))
        wants = walk(reader, reorg, writer)
        assert len(wants) <= 6
        assert reorg.ancestors == kept
        reader.apply_reorg(reorg)
        assert reader.facts() == writer.facts()
        assert reader.blocks == {index: fixture_block(index) for index in range(kept)}
        assert all(writer.nodes[index] == node for index, node in reader.nodes.items())


def test_the_walk_asks_for_smaller_and_smaller_ranges() -> None:
    reader, writer = full_reader(fixture_writer(16)), forked(16, 5, 11)
    reorg = begin(reader, whole(writer))
    assert not reorg.finished
    assert reorg.want == ReorgWant(0, 16, 4)
    assert reorg.want.request(9) == HashRequest(18, 4)
    reorg.advance(reader, writer.prove(ProofRequest(hash=reorg.want.request(9))))
    assert reorg.want == ReorgWant(0, 8, 3)
    reorg.advance(reader, writer.prove(ProofRequest(hash=reorg.want.request(7))))
    assert reorg.want == ReorgWant(4, 6, 1)
    assert reorg.advance(reader, writer.prove(ProofRequest(hash=reorg.want.request(4))))
    assert reorg.finished
    assert reorg.ancestors == 5


def test_nothing_changed_but_the_fork_number() -> None:
    reader, writer = full_reader(fixture_writer(21)), forked(21, 21, 0)
    reorg = begin(reader, whole(writer))
    assert (reorg.finished, reorg.ancestors, reorg.fork, reorg.length) == (True, 21, 1, 21)
    reader.apply_reorg(reorg)
    assert len(reader.blocks) == 21


def test_an_empty_reader_has_nothing_to_compare() -> None:
    writer = forked(21, 3, 5)
    reader = writer.reader(knows_manifest=False)
    reorg = begin(reader, whole(writer, manifest=True))
    assert (reorg.finished, reorg.ancestors) == (True, 0)
    reader.apply_reorg(reorg)
    assert reader.facts() == writer.facts()
    assert reader.manifest == writer.manifest


def test_a_block_beside_the_upgrade_shortens_the_walk() -> None:
    reader, writer = full_reader(fixture_writer(16)), forked(16, 5, 11)
    reorg = begin(reader, whole(writer, block=BlockRequest(5, 0)))
    assert (reorg.finished, reorg.ancestors) == (True, 5)


def test_only_a_newer_fork_is_one() -> None:
    writer = forked(8, 4, 4)
    reader = full_reader(writer)
    with pytest.raises(InvalidOperation, match="not newer"):
        begin(reader, whole(writer))


def test_the_whole_tree_must_be_signed_for_its_fork() -> None:
    reader, writer = full_reader(fixture_writer(8)), forked(8, 4, 4)
    proof = whole(writer)
    proof.fork = 7
    with pytest.raises(InvalidSignature):
        begin(reader, proof)
    with pytest.raises(InvalidOperation, match="from nothing"):
        begin(reader, writer.prove(ProofRequest(upgrade=UpgradeRequest(4, 4))))
    with pytest.raises(InvalidOperation, match="from nothing"):
        begin(reader, writer.prove(ProofRequest(block=BlockRequest(0, 1))))


def test_a_path_beside_the_upgrade_must_lead_into_it() -> None:
    reader, writer = full_reader(fixture_writer(8)), forked(8, 4, 4)
    proof = whole(writer)
    proof.block = writer.prove(ProofRequest(block=BlockRequest(5, 1))).block
    with pytest.raises(InvalidProof, match="does not lead"):
        begin(reader, proof)


def test_paths_of_another_tree_are_refused() -> None:
    reader, writer = full_reader(fixture_writer(16)), forked(16, 5, 11)
    other = forked(16, 4, 12)
    reorg = begin(reader, whole(writer))
    request = ProofRequest(hash=reorg.want.request(9))
    with pytest.raises(InvalidChecksum):
        reorg.advance(reader, other.prove(request))
    with pytest.raises(InvalidOperation, match="fork 0"):
        reorg.advance(reader, fixture_writer(16).prove(request))
    with pytest.raises(InvalidOperation, match="no path"):
        reorg.advance(reader, Proof(1))
    assert reorg.want == ReorgWant(0, 16, 4)


def test_an_answer_to_an_earlier_want_changes_nothing() -> None:
    reader, writer = full_reader(fixture_writer(16)), forked(16, 5, 11)
    reorg = begin(reader, whole(writer))
    late = writer.prove(ProofRequest(hash=reorg.want.request(9)))
    reorg.advance(reader, late)
    want, nodes = reorg.want, list(reorg.nodes)
    assert not reorg.advance(reader, late)
    assert (reorg.want, reorg.nodes) == (want, nodes)


def test_a_finished_reorg_ignores_what_comes_later() -> None:
    reader, writer = full_reader(fixture_writer(8)), forked(8, 8, 0)
    reorg = begin(reader, whole(writer))
    assert reorg.advance(reader, writer.prove(ProofRequest(hash=HashRequest(0, 3))))


def test_it_applies_only_to_the_log_it_was_compared_with() -> None:
    reader, writer = full_reader(fixture_writer(8)), forked(8, 4, 4)
    reorg = begin(reader, whole(writer))
    assert reorg.applies_to(reader)
    longer = full_reader(fixture_writer(9))
    assert not reorg.applies_to(longer)
    reader.fork = 3
    assert not reorg.applies_to(reader)
