"""The levels of an operation: which tree nodes its block carries, in which order, and as which bytes.

How `tree.py` writes, section 10.4 of the protocol text (hyperbee 2.27.3 `TreeNode.indexChanges`, `Batch.toBlocks`).
"""

from __future__ import annotations

from .blocks import Child, TreeNode
from .node import encode_level


def number(node: TreeNode, levels: list[Child], seq: int) -> None:
    """Number every changed node below `node`, in pre-order, as a level of block `seq`, and clear its mark."""
    node.dirty = False
    for record in node.children:
        child = record.node
        if child is not None and child.dirty:
            levels.append(record)
            record.seq = seq
            record.level = len(levels)
            number(child, levels, seq)


def survivors(levels: list[Child], seq: int) -> list[Child]:
    """The levels that only block `seq` can carry, numbered anew: not the root, and nothing written again later.

    Each gap is closed by the last slot, so the order may change; only one or none leaves no choice.
    """
    alive = [record for record in levels if record.seq == seq]
    if len(alive) > 1:
        slots: list[Child | None] = [None, *levels]
        slot = 0
        while slot < len(slots):
            record = slots[slot]
            if record is not None and record.seq == seq:
                slot += 1
                continue
            last = slots.pop()
            if slot < len(slots):
                slots[slot] = last
        alive = [record for record in slots if record is not None]
    for level, record in enumerate(alive):
        record.level = level
    return alive


def encode_node(node: TreeNode | None) -> bytes:
    """A node as a field of an index; its children must have their final addresses."""
    assert node is not None
    pairs = [part for record in node.children for part in (record.seq, record.level)]
    return encode_level(node.seqs, pairs)
