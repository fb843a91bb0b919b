"""Every stored block of a log against the signature of its author, from what is in the store alone.

What a log accepts is verified when it comes; this looks again, for whoever fears for a disk. A block is good when its
hash leads, sibling by sibling, to a root, and the roots are what the key signed.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from ..crypto.hashing import Node, leaf_hash, parent_hash
from .flat_tree import contains, parent, sibling
from .signatures import verify_signature
from .stored_log import StoredLog


class Damage(NamedTuple):
    """One thing that is wrong; `block` None: with the log as a whole."""

    block: int | None
    what: str


class Audit:
    """One look at a log. `for damage in audit` walks it; then `blocks` says how many were looked at."""

    def __init__(self, log: StoredLog) -> None:
        self._log = log
        self.blocks = 0

    def __iter__(self) -> Iterator[Damage]:
        log = self._log
        if log.length == 0:
            return
        roots = {node[0]: node for node in log.roots}
        if log.manifest is None:
            yield Damage(None, "the manifest is missing, so its signature cannot be checked")
        elif not verify_signature(log.manifest, log.key, log.roots, log.length, log.fork, log.signature):
            yield Damage(None, f"the signature does not fit the tree of {log.length} blocks, fork {log.fork}")
        above: list[int] = []  # nodes over the last block that are known to lead to a root
        block = log.first_set(0, log.length)
        while block >= 0:
            self.blocks += 1
            trouble = self._look(block, roots, above)
            if trouble is not None:
                yield Damage(block, trouble)
            block = log.first_set(block + 1, log.length)

    def _look(self, block: int, roots: dict[int, Node], above: list[int]) -> str | None:
        log, leaf = self._log, 2 * block
        above[:] = [index for index in above if contains(index, leaf)]
        value = log.block(block)
        if value is None:
            return "it is listed as stored and is not there"
        node: Node = (leaf, len(value), leaf_hash(value))
        climbed: list[int] = []
        while True:
            index = node[0]
            known = roots.get(index) or log.node(index)
            if known is None and index == leaf:
                return "its hash is not in the store"
            if known is not None and known != node:
                return (
                    "it is not what its author signed"
                    if index == leaf
                    else "its path does not lead to a root"
                )
            if index in roots or index in above:
                above.extend(climbed)
                return None
            climbed.append(index)
            other = log.node(sibling(index)) or roots.get(sibling(index))
            if other is None:
                return "its path to the root is not in the store"
            left, right = (node, other) if index < other[0] else (other, node)
            node = (parent(index), left[1] + right[1], parent_hash(left[1] + right[1], left[2], right[2]))
