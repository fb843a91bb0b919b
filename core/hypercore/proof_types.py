"""What peers ask each other for, what they answer, and what a checked answer is worth.

Indexes named `index` in a block part count blocks; in a hash part and in nodes they are flat-tree numbers.
Node lists are in the order in which the receiver consumes them. The classes are mutable slots dataclasses
only because freezing them would triple the cost of making one; nobody changes them after they were made.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..crypto.hashing import Node
from .manifest import Manifest


@dataclass(slots=True)
class BlockRequest:
    """Block `index`, and the `nodes` lowest levels of its path (the requester has the node above them)."""

    index: int
    nodes: int


@dataclass(slots=True)
class HashRequest:
    """Tree node `index` and `nodes` levels of its path."""

    index: int
    nodes: int


@dataclass(slots=True)
class SeekRequest:
    """What is needed to find the block with byte `bytes`; `padding` bytes of each block do not count."""

    bytes: int
    padding: int = 0


@dataclass(slots=True)
class UpgradeRequest:
    """From a log of `start` blocks to one of `start + length` (the answer may go further)."""

    start: int
    length: int


@dataclass(slots=True)
class ProofRequest:
    """Any combination of parts. A block wins over a hash when both are given."""

    block: BlockRequest | None = None
    hash: HashRequest | None = None
    seek: SeekRequest | None = None
    upgrade: UpgradeRequest | None = None
    manifest: bool = False


@dataclass(slots=True)
class BlockProof:
    """The block as stored, and the siblings on the way up."""

    index: int
    value: bytes
    nodes: list[Node]


@dataclass(slots=True)
class HashProof:
    """The node itself (first of `nodes`), then the siblings on the way up."""

    index: int
    nodes: list[Node]


@dataclass(slots=True)
class SeekProof:
    """The node found (first of `nodes`), then the siblings up to where the other path takes over."""

    bytes: int
    nodes: list[Node]


@dataclass(slots=True)
class UpgradeProof:
    """Nodes from `start` to `start + length`, then those up to the length that `signature` was made for.

    There is no signature for a log that is nothing but its manifest's prologue.
    """

    start: int
    length: int
    nodes: list[Node]
    additional_nodes: list[Node]
    signature: bytes | None


@dataclass(slots=True)
class Proof:
    """An answer: the parts that were asked for, all about the sender's tree with number `fork`."""

    fork: int
    block: BlockProof | None = None
    hash: HashProof | None = None
    seek: SeekProof | None = None
    upgrade: UpgradeProof | None = None
    manifest: Manifest | None = None


@dataclass(slots=True)
class Verified:
    """What a proof established. Nothing in here needs to be checked again.

    `nodes`: every node to store. `fork`, `length`, `byte_length`, `roots`, `signature`: the log after the
    proof; they differ from the log before it only when `upgraded` (`signature` is None otherwise, and for a
    log without one). `manifest`: one that was not known before, to be stored.
    """

    fork: int
    length: int
    byte_length: int
    roots: list[Node]
    nodes: list[Node]
    upgraded: bool = False
    signature: bytes | None = None
    manifest: Manifest | None = None
