"""The arithmetic of flat trees against the tree it stands for."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from core.hypercore import flat_tree as flat
from core.hypercore.merkle import spine
from core.hypercore.upgrade import upgrade_nodes

indexes = st.integers(0, 2**53 - 1)
lengths = st.integers(0, 2**53 - 1)
short_lengths = st.integers(0, 300)


@given(indexes)
def test_family(index: int) -> None:
    parent, sibling = flat.parent(index), flat.sibling(index)
    assert flat.depth(parent) == flat.depth(index) + 1
    assert flat.sibling(sibling) == index
    assert flat.parent(sibling) == parent
    assert flat.children(parent) == (min(index, sibling), max(index, sibling))
    assert (flat.left_child(parent), flat.right_child(parent)) == flat.children(parent)
    assert flat.index_of(flat.depth(index), flat.offset(index)) == index
    assert flat.width(index) == 2 ** flat.depth(index)


@given(indexes)
def test_spans(index: int) -> None:
    left, right = flat.spans(index)
    assert (left, right) == (flat.left_span(index), flat.right_span(index))
    assert flat.block_range(index) == (left // 2, right // 2 + 1)
    assert (right - left) // 2 + 1 == flat.width(index)
    children = flat.children(index)
    if children is None:
        assert left == right == index
        assert flat.left_child(index) is None
        assert flat.right_child(index) is None
    else:
        assert left == flat.left_span(children[0])
        assert right == flat.right_span(children[1])


@given(st.integers(0, 500), st.integers(0, 500))
def test_contains_is_being_an_ancestor(index: int, other: int) -> None:
    climbing = other
    while flat.depth(climbing) < flat.depth(index):
        climbing = flat.parent(climbing)
    assert flat.contains(index, other) == (climbing == index)


@given(lengths)
def test_full_roots_tile_the_log_with_shrinking_trees(length: int) -> None:
    end = 0
    last_width = 2**60
    for root in flat.full_roots(length):
        start, next_end = flat.block_range(root)
        assert start == end
        assert flat.width(root) < last_width
        end, last_width = next_end, flat.width(root)
    assert end == length


@given(short_lengths, short_lengths)
def test_upgrade_nodes_tile_what_is_new(first: int, second: int) -> None:
    start, end = sorted((first, second))
    covered = [flat.block_range(node) for node in upgrade_nodes(start, end)]
    position = start
    for begin, after in covered:
        assert begin == position
        position = after
    assert position == end
    assert len(covered) <= 2 * end.bit_length()


@given(short_lengths)
def test_spine_is_every_earlier_node_that_covers_the_end(length: int) -> None:
    end = 2 * length
    expected = {index for index in range(end) if flat.contains(index, end)}
    assert set(spine(length)) == expected
