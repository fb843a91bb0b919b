"""From byte offsets to blocks and back, over a tree that may be sparse.

Source: hypercore 11.37.1 `lib/merkle-tree.js` (`ByteSeeker`, `seekFromHead`, `seekTrustedTree`,
`seekUntrustedTree`, `getByteOffset`). Checked against `tests/vectors/log/proof-selection.json`.

`padding` is what each block carries in front of its content (8 in an encrypted log, otherwise 0); offsets
count content only.
"""

from __future__ import annotations

from typing import NamedTuple

from ..crypto.hashing import Node
from ..errors import InvalidOperation
from .flat_tree import block_range, full_roots, left_span, right_span, width
from .merkle import TreeReader, require_node


class SeekFound(NamedTuple):
    """The byte is in `block`, `offset` bytes from its beginning."""

    block: int
    offset: int


class SeekUnresolved(NamedTuple):
    """The byte is somewhere in the blocks `start` to `end` (half open); the tree knows no more."""

    start: int
    end: int


def seek(tree: TreeReader, bytes: int, padding: int = 0) -> SeekFound | SeekUnresolved | None:
    """Where byte `bytes` of the log is. None when it is past the end.

    The byte right after the last one is found too, as offset 0 of the block that will follow.
    """
    if bytes == 0:
        return SeekFound(0, 0)
    for root in tree.roots:
        size = _content_size(root, padding)
        if bytes == size:
            return SeekFound(block_range(root[0])[1], 0)
        if bytes < size:
            return _seek_under(tree, root[0], bytes, padding)
        bytes -= size
    return None


def _seek_under(tree: TreeReader, index: int, bytes: int, padding: int) -> SeekFound | SeekUnresolved:
    while index & 1:
        half = width(index) >> 1
        left = tree.node(index - half)
        if left is None:
            return SeekUnresolved(*block_range(index))
        size = _content_size(left, padding)
        if size == bytes:
            return SeekFound((index + 1) >> 1, 0)
        if size > bytes:
            index -= half
        else:
            bytes -= size
            index += half
    return SeekFound(index >> 1, bytes)


def byte_offset(tree: TreeReader, index: int) -> int:
    """Bytes (padding included) in front of tree node `index`.

    Raises `InvalidOperation` when the node is outside the tree or the nodes that tell are not stored.
    """
    leaf = left_span(index)
    if leaf == 2 * tree.length:
        return tree.byte_length
    offset = 0
    for at, size, _ in tree.roots:
        if right_span(at) < leaf:
            offset += size
            continue
        while at != leaf:
            half = width(at) >> 1
            if leaf < at:
                at -= half
            else:
                offset += require_node(tree, at - half)[1]
                at += half
        return offset
    raise InvalidOperation(f"tree node {index} is outside a tree of {tree.length} blocks")


def seek_from_head(tree: TreeReader, length: int, bytes: int, padding: int) -> int:
    """The node to prove for byte `bytes` of the first `length` blocks; `2 * length` when it is past them."""
    for index in full_roots(length):
        size = _content_size(require_node(tree, index), padding)
        if bytes == size:
            return index
        if bytes < size:
            return seek_below(tree, index, bytes, padding)
        bytes -= size
    return 2 * length


def seek_below(tree: TreeReader, index: int, bytes: int, padding: int) -> int:
    """The lowest stored node under `index` that holds byte `bytes` of it."""
    if bytes == 0:
        return index
    while index & 1:
        half = width(index) >> 1
        left = tree.node(index - half)
        if left is None:
            return index
        size = _content_size(left, padding)
        if size >= bytes:
            index -= half
            if size == bytes:
                return index
        else:
            bytes -= size
            index += half
    return index


def seek_within(tree: TreeReader, index: int, bytes: int, padding: int) -> int:
    """As `seek_below`, but `bytes` counts from the beginning of the log and may lie anywhere.

    Raises `InvalidOperation` when it is not under `index`.
    """
    start = byte_offset(tree, index) - padding * (left_span(index) >> 1)
    if start == bytes:
        return index
    if start > bytes or bytes - start >= _content_size(require_node(tree, index), padding):
        raise InvalidOperation(f"byte {bytes} is not below tree node {index}")
    return seek_below(tree, index, bytes - start, padding)


def _content_size(node: Node, padding: int) -> int:
    return node[1] - padding * width(node[0]) if padding else node[1]
