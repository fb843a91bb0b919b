"""Moving keys between neighbouring tree nodes after a deletion (hyperbee 2.27.3 `rebalance`).

Every function marks as changed what it changes; the path to the deleted key is marked by its caller.
"""

from __future__ import annotations

from .blocks import TreeNode


def borrow_from_left(parent: TreeNode, index: int, left: TreeNode, node: TreeNode) -> None:
    """The child at `index`, short of a key, takes the last of the child before it, through the parent."""
    left.dirty = True
    node.keys.insert(0, parent.keys[index - 1])
    node.seqs.insert(0, parent.seqs[index - 1])
    if left.children:
        node.children.insert(0, left.children.pop())
    parent.keys[index - 1] = left.keys.pop()
    parent.seqs[index - 1] = left.seqs.pop()


def borrow_from_right(parent: TreeNode, index: int, node: TreeNode, right: TreeNode) -> None:
    """The child at `index`, short of a key, takes the first of the child after it, through the parent."""
    right.dirty = True
    node.keys.append(parent.keys[index])
    node.seqs.append(parent.seqs[index])
    if right.children:
        node.children.append(right.children.pop(0))
    parent.keys[index] = right.keys.pop(0)
    parent.seqs[index] = right.seqs.pop(0)


def merge(parent: TreeNode, index: int, left: TreeNode, right: TreeNode) -> None:
    """The child at `index` absorbs the key after it and the child at `index + 1`."""
    left.dirty = True
    left.keys += [parent.keys.pop(index), *right.keys]
    left.seqs.append(parent.seqs.pop(index))
    left.seqs.extend(right.seqs)
    left.children += right.children
    parent.children.pop(index + 1).seq = 0
    parent.dirty = True
