"""Flat trees: a binary tree whose nodes are numbered so that it can grow to the right for ever.

Source: flat-tree 1.13.0. Checked against `tests/vectors/log/flat-tree.json`.

Leaves are the even numbers, and a parent has the number in the middle of what it covers::

    3            3
    2        1       5
    1      0   2   4   6        (block i is leaf 2i)

One trick carries the whole file. `width(i) = (i + 1) & -(i + 1)` is the number of leaves below node i,
because the number of trailing one bits of i is its depth. With it every relation is an addition or a
subtraction: the span of i is `i - width + 1 .. i + width - 1`, its parent is `i + width` when i is a left
child and `i - width` when it is a right one, and bit `2 * width` of `i + 1` says which of the two it is.

All arguments are non-negative integers; sizes are in leaves unless said otherwise.
"""

from __future__ import annotations


def width(index: int) -> int:
    """How many leaves (blocks) node `index` covers: 1, 2, 4, ..."""
    return (index + 1) & -(index + 1)


def depth(index: int) -> int:
    """0 for a leaf, 1 for its parent, ..."""
    return ((index + 1) & -(index + 1)).bit_length() - 1


def offset(index: int) -> int:
    """Position from the left among the nodes of the same depth."""
    return (index + 1) >> (depth(index) + 1)


def index_of(level: int, position: int) -> int:
    """The node at depth `level` that is `position` nodes from the left."""
    return ((2 * position + 1) << level) - 1


def parent(index: int) -> int:
    leaves = (index + 1) & -(index + 1)
    return index - leaves if (index + 1) & (2 * leaves) else index + leaves


def sibling(index: int) -> int:
    leaves = (index + 1) & -(index + 1)
    return index - 2 * leaves if (index + 1) & (2 * leaves) else index + 2 * leaves


def left_child(index: int) -> int | None:
    """None for a leaf."""
    return index - (((index + 1) & -(index + 1)) >> 1) if index & 1 else None


def right_child(index: int) -> int | None:
    """None for a leaf."""
    return index + (((index + 1) & -(index + 1)) >> 1) if index & 1 else None


def children(index: int) -> tuple[int, int] | None:
    """Left and right child, None for a leaf."""
    if not index & 1:
        return None
    half = ((index + 1) & -(index + 1)) >> 1
    return index - half, index + half


def left_span(index: int) -> int:
    """The leftmost leaf below `index`, as a tree index."""
    return index - ((index + 1) & -(index + 1)) + 1


def right_span(index: int) -> int:
    """The rightmost leaf below `index`, as a tree index."""
    return index + ((index + 1) & -(index + 1)) - 1


def spans(index: int) -> tuple[int, int]:
    """Leftmost and rightmost leaf below `index`, as tree indexes, both included."""
    leaves = (index + 1) & -(index + 1)
    return index - leaves + 1, index + leaves - 1


def block_range(index: int) -> tuple[int, int]:
    """The blocks below `index` as a half-open range."""
    leaves = (index + 1) & -(index + 1)
    start = (index - leaves + 1) >> 1
    return start, start + leaves


def contains(index: int, other: int) -> bool:
    """Whether `other` (any node) lies in the subtree of `index`, itself included."""
    leaves = (index + 1) & -(index + 1)
    return index - leaves < other < index + leaves


def full_roots(length: int) -> list[int]:
    """The roots of the largest complete trees over `length` blocks, left to right. [] for 0."""
    roots = []
    first = 0
    while length:
        leaves = 1 << (length.bit_length() - 1)
        roots.append(2 * first + leaves - 1)
        first += leaves
        length -= leaves
    return roots
