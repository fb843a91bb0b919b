"""From a tree of one length to a tree of another: which nodes that takes, and how they are put together.

Source: hypercore 11.37.1 `lib/merkle-tree.js` (`upgradeProof`, `verifyUpgrade`), `lib/verifier.js`
(`generateUpgrade`).

The sender lists nodes (`upgrade_nodes`), the receiver asks for them one by one in the same order (`grow`).
The two walks agree because both follow from nothing but the two lengths.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from ..crypto.hashing import Node
from ..errors import InvalidOperation
from .flat_tree import contains, full_roots, left_span, parent, right_span, sibling
from .merkle import GrowingTree


def upgrade_nodes(start: int, end: int) -> list[int]:
    """The tree indexes that take a tree of `start` blocks to `end`, in the order of consumption.

    First the right siblings on the way up from the last known block to the root that swallows it, then the
    roots after that.
    """
    nodes: list[int] = []
    connected = start == 0
    last_known = 2 * start - 2
    for root in full_roots(end):
        if right_span(root) <= last_known:
            continue
        if not connected and contains(root, last_known):
            index = last_known
            while index != root:
                if sibling(index) > index:
                    nodes.append(sibling(index))
                index = parent(index)
        else:
            nodes.append(root)
        connected = True
    return nodes


def grow(tree: GrowingTree, length: int, take: Callable[[int], Node]) -> None:
    """Push onto `tree` what leads it to `length` blocks; `take(index)` gives the wanted node or raises.

    Roots that the tree has already are recognised by their index alone, as the reference does: growing to a
    length that is covered already changes nothing and takes nothing.
    """
    matched = 0
    connected = not tree.roots
    for root in full_roots(length):
        if matched < len(tree.roots) and tree.roots[matched][0] == root:
            matched += 1
            continue
        if not connected:
            connected = True
            if matched < len(tree.roots):
                while tree.roots[-1][0] != root:
                    tree.push(take(sibling(tree.roots[-1][0])))
                continue
        tree.push(take(root))


def extend(tree: GrowingTree, nodes: Iterable[Node]) -> None:
    """Push nodes that follow the tree, each beginning where the last one ended.

    Raises `InvalidOperation` for any other node. (One that begins there cannot reach too far: nodes are aligned
    to their width, so it is at most as wide as the last root.)
    """
    for node in nodes:
        if not tree.roots or left_span(node[0]) != 2 * tree.length:
            raise InvalidOperation(f"node {node[0]} does not follow a tree of {tree.length} blocks")
        tree.push(node)
