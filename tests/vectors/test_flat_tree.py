"""flat-tree 1.13.0."""

from __future__ import annotations

import pytest

from core.hypercore import flat_tree
from tests.support.vectors import load_vectors

VECTORS = load_vectors("log/flat-tree")


@pytest.mark.parametrize("case", VECTORS["nodes"], ids=lambda case: case["index"])
def test_relations_of_a_node(case: dict) -> None:
    index = case["index"]
    assert flat_tree.depth(index) == case["depth"]
    assert flat_tree.offset(index) == case["offset"]
    assert flat_tree.index_of(case["depth"], case["offset"]) == index
    assert flat_tree.parent(index) == case["parent"]
    assert flat_tree.sibling(index) == case["sibling"]
    assert flat_tree.children(index) == (tuple(case["children"]) if case["children"] else None)
    assert flat_tree.spans(index) == tuple(case["spans"])
    assert flat_tree.width(index) == case["countLeaves"]


@pytest.mark.parametrize("case", VECTORS["fullRoots"], ids=lambda case: case["length"])
def test_full_roots(case: dict) -> None:
    assert flat_tree.full_roots(case["length"]) == case["roots"]
