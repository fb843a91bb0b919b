"""Reading sparse trees, and pushing onto them."""

from __future__ import annotations

import pytest

from core.crypto.hashing import leaf_hash
from core.errors import InvalidOperation
from core.hypercore.byte_seek import SeekFound, SeekUnresolved, byte_offset, seek
from core.hypercore.merkle import (
    EmptyTree,
    GrowingTree,
    append,
    can_upgrade_from,
    max_missing_nodes,
    missing_nodes,
    roots_at,
)
from core.hypercore.proof import BlockRequest, ProofRequest, UpgradeRequest
from core.hypercore.upgrade import extend, grow, upgrade_nodes
from tests.support.trees import fixture_block, fixture_writer

WRITER = fixture_writer(21)


def test_appending_leaves_the_old_roots_alone() -> None:
    before = list(WRITER.roots)
    new_roots, nodes = append(WRITER.roots, 21, [b"a", b"b", b"c"])
    assert before == WRITER.roots
    assert [index for index, _, _ in new_roots] == [15, 39]
    assert [index for index, _, _ in nodes] == [42, 41, 44, 46, 45, 43, 39]
    assert nodes[0] == (42, 1, leaf_hash(b"a"))


def test_appending_nothing() -> None:
    assert append(WRITER.roots, 21, []) == (WRITER.roots, [])


def test_roots_of_other_lengths() -> None:
    assert roots_at(WRITER, 21) == WRITER.roots
    assert roots_at(WRITER, 0) == []
    assert roots_at(WRITER, 16) == [WRITER.nodes[15]]
    with pytest.raises(InvalidOperation, match="21 blocks, not 22"):
        roots_at(WRITER, 22)
    with pytest.raises(InvalidOperation, match="node 7 is not stored"):
        reader = WRITER.reader()
        reader.receive(WRITER.prove(ProofRequest(upgrade=UpgradeRequest(0, 21))))
        roots_at(reader, 8)


def test_a_sparse_reader_knows_what_it_can_prove() -> None:
    reader = WRITER.reader()
    reader.receive(WRITER.prove(ProofRequest(upgrade=UpgradeRequest(0, 21))))
    assert [length for length in range(25) if can_upgrade_from(reader, length)] == [0, 16, 20, 21]


def test_missing_nodes_of_what_is_not_complete_yet() -> None:
    empty = EmptyTree()
    assert empty.node(0) is None
    assert missing_nodes(empty, 0) == 0
    assert missing_nodes(WRITER, 42) == 0
    assert missing_nodes(WRITER, 31) == 0


@pytest.mark.parametrize(
    ("index", "length", "levels"),
    [(0, 0, 0), (0, 1, 0), (0, 2, 1), (0, 8, 3), (2, 7, 2), (14, 8, 3), (16, 8, 0), (7, 8, 0), (3, 8, 1)],
)
def test_max_missing_nodes(index: int, length: int, levels: int) -> None:
    assert max_missing_nodes(index, length) == levels


def test_byte_offsets() -> None:
    position = 0
    for index in range(21):
        assert byte_offset(WRITER, 2 * index) == position
        position += len(fixture_block(index))
    assert byte_offset(WRITER, 42) == WRITER.byte_length == position
    assert byte_offset(WRITER, 35) == byte_offset(WRITER, 32)
    for outside in (44, 1001):
        with pytest.raises(InvalidOperation, match="outside"):
            byte_offset(WRITER, outside)


def test_a_seek_says_which_blocks_are_in_question() -> None:
    reader = WRITER.reader()
    reader.receive(WRITER.prove(ProofRequest(upgrade=UpgradeRequest(0, 21))))
    assert seek(reader, 40) == SeekUnresolved(0, 16)
    assert seek(reader, reader.byte_length) == SeekFound(21, 0)
    assert seek(reader, reader.byte_length + 1) is None
    reader.receive(WRITER.prove(ProofRequest(block=BlockRequest(0, 4))))
    assert seek(reader, 40) == SeekUnresolved(4, 8)
    assert seek(reader, 2) == SeekFound(0, 2)


def test_growing_takes_exactly_the_listed_nodes_in_their_order() -> None:
    for start in range(22):
        for end in range(start, 22):
            taken: list[int] = []
            growing = GrowingTree(roots_at(WRITER, start), start)

            def take(index: int, taken: list[int] = taken) -> tuple[int, int, bytes]:
                taken.append(index)
                return WRITER.nodes[index]

            grow(growing, end, take)
            assert taken == upgrade_nodes(start, end)
            assert growing.length == end
            assert growing.roots == roots_at(WRITER, end)


def test_extending_accepts_only_what_begins_at_the_end() -> None:
    tree = GrowingTree(roots_at(WRITER, 5), 5)
    extend(tree, [WRITER.nodes[10], WRITER.nodes[13]])
    assert tree.roots == roots_at(WRITER, 8)
    for index in (16, 18, 7, 15):
        start = GrowingTree(roots_at(WRITER, 5), 5)
        with pytest.raises(InvalidOperation, match="does not follow"):
            extend(start, [WRITER.nodes[index]])
    with pytest.raises(InvalidOperation, match="does not follow"):
        extend(GrowingTree(), [WRITER.nodes[0]])
