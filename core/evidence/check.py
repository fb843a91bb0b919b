"""Checking a proof file: pure, with nothing but the file, which names the key it is about.

The messages are checked as a peer's would be that sends them to somebody who holds nothing of the log
(`hypercore.proof_verify`): the first leads from nothing to a signed tree, each further one climbs to a node that is
known by then. What a file shows is a `Finding`; whoever reads it compares `key` with the key of the person they mean.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..crypto.hashing import Node, tree_hash
from ..errors import InvalidProof
from ..hyperbee.blocks import BlockReader, Missing, NodeCache
from ..hyperbee.node import is_deletion, parse_block
from ..hypercore.manifest import Manifest
from ..hypercore.proof_types import Proof
from ..hypercore.proof_verify import upgrade_roots, verify_detached, verify_proof
from ..hypercore.upgrade import upgrade_nodes
from .file import Kind, ProofFile, decode_file


@dataclass(frozen=True, slots=True)
class Version:
    """One operation on the subject: block `seq`, and the value it gave, None when it removed the key."""

    seq: int
    value: bytes | None


@dataclass(frozen=True, slots=True)
class Finding:
    """What a proof file shows. Lengths in blocks.

    `length`, `fork`: the tree that `key` signed. `at_length`, `at_hash`: a shorter or equal tree of the same log that
    the file also proves (a witness named its hash earlier), and for a conflict the length that was signed twice.
    A null that was put counts as an empty value. `versions`: one for a record; one or none for a lookup; newest
    first for a history; none for a conflict.
    """

    kind: Kind
    key: bytes
    subject: bytes
    fork: int
    length: int
    at_length: int
    at_hash: bytes
    versions: tuple[Version, ...] = ()
    other_hash: bytes | None = None

    @property
    def is_absent(self) -> bool:
        """A lookup that found nothing: the author's bee has no such key in this version."""
        return self.kind is Kind.LOOKUP and not self.versions


def check_file(data: bytes) -> Finding:
    """What the file in these bytes proves.

    Raises `DecodingError` (it is no proof file) or another `IntegrityError` (it proves nothing), with a sentence.
    """
    return check(decode_file(data))


def check(file: ProofFile) -> Finding:
    """The same for a file that was decoded."""
    if not file.messages:
        raise InvalidProof("the file holds no proof")
    if file.kind is Kind.CONFLICT:
        return _check_conflict(file)
    known = _Known(file.key, file.messages[0])
    for message in file.messages[1:]:
        known.add(message)
    if file.kind is Kind.LOOKUP:
        versions = _looked_up(known, file.subject)
    else:
        versions = _operations(known, file)
    return Finding(
        file.kind, file.key, file.subject, known.fork, known.length, known.at_length, known.at_hash, versions
    )


class _Known:
    """What the messages have proved so far: the tree that everything is checked against, and the blocks."""

    def __init__(self, key: bytes, first: Proof) -> None:
        _refuse_unused(first)
        verified = verify_detached(first, key=key, manifest=None)
        self.key = key
        self.manifest: Manifest | None = verified.manifest
        self.fork = verified.fork
        self.length = verified.length
        self.byte_length = verified.byte_length
        self.roots = verified.roots
        self.nodes: dict[int, Node] = {node[0]: node for node in (*verified.nodes, *verified.roots)}
        self.blocks: dict[int, bytes] = {}
        assert first.upgrade is not None
        self.at_length = first.upgrade.length
        self.at_hash = tree_hash(upgrade_roots(first))
        if first.block is not None:
            self.blocks[first.block.index] = first.block.value

    def add(self, proof: Proof) -> None:
        """One more block of the same tree."""
        block = proof.block
        if block is None or proof.upgrade or proof.seek or proof.hash or proof.manifest:
            raise InvalidProof("every message after the first must be one block and its path")
        if block.index >= self.length:
            raise InvalidProof(f"block {block.index} lies beyond the signed length {self.length}")
        verified = verify_proof(self, proof, key=self.key, manifest=self.manifest)
        self.nodes.update((node[0], node) for node in verified.nodes)
        self.blocks[block.index] = block.value

    def node(self, index: int) -> Node | None:
        return self.nodes.get(index)

    def block_if_local(self, index: int) -> bytes | None:
        return self.blocks.get(index)


def _refuse_unused(first: Proof) -> None:
    """Only what the first message needs may stand in it: what nothing vouches for must not look proved."""
    upgrade = first.upgrade
    if upgrade is None or upgrade.start != 0 or first.seek is not None or first.hash is not None:
        raise InvalidProof(
            "the first message must lead from nothing to a signed tree, with at most one block"
        )
    needed = len(upgrade_nodes(0, upgrade.length)) - (first.block is not None)
    if len(upgrade.nodes) != needed:
        raise InvalidProof(
            f"a tree of {upgrade.length} blocks takes {needed} nodes, not {len(upgrade.nodes)}"
        )


def _looked_up(known: _Known, subject: bytes) -> tuple[Version, ...]:
    if known.at_length != known.length:
        raise InvalidProof("a lookup is proved in the version that was signed, and in no earlier one")
    reader = BlockReader(known, NodeCache(known.fork))  # type: ignore[arg-type]  # it reads blocks, and no more
    try:
        seq = reader.find(known.length, subject)
        if seq is None:
            return ()
        return (Version(seq, parse_block(reader.block(seq))[3] or b""),)
    except Missing as missing:
        raise InvalidProof(f"the lookup comes to block {missing.seq}, which is not in the file") from None


def _operations(known: _Known, file: ProofFile) -> tuple[Version, ...]:
    """The blocks of the file as operations on its subject, in the order of the messages."""
    versions: list[Version] = []
    for message in file.messages:
        if message.block is None:
            raise InvalidProof("the file holds no block")
        seq, block = message.block.index, message.block.value
        _, _, key, value = parse_block(block)
        if key != file.subject or seq == 0:
            raise InvalidProof(f"block {seq} is no operation on the key that the file names")
        if versions and versions[-1].seq <= seq:
            raise InvalidProof("a history goes from the newest block to older ones")
        versions.append(Version(seq, value if value is not None or is_deletion(block, seq) else b""))
    if file.kind is Kind.RECORD and len(versions) != 1:
        raise InvalidProof("the proof of a record holds one block")
    return tuple(versions)


def _check_conflict(file: ProofFile) -> Finding:
    if len(file.messages) != 2 or file.subject:
        raise InvalidProof("evidence of two trees consists of two proofs and nothing else")
    first, second = (_Known(file.key, message) for message in file.messages)
    if first.blocks or second.blocks:
        raise InvalidProof("evidence of two trees holds no blocks")
    if (first.fork, first.at_length) != (second.fork, second.at_length):
        raise InvalidProof("the two trees are of different lengths or forks, which every log may have")
    if first.at_hash == second.at_hash:
        raise InvalidProof("the two trees are one and the same")
    return Finding(
        file.kind, file.key, b"", first.fork, max(first.length, second.length), first.at_length, first.at_hash,
        other_hash=second.at_hash,
    )  # fmt: skip
