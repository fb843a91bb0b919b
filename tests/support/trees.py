"""Trees held in dictionaries: the simplest log that the pure functions of `core.hypercore` can work on."""

from __future__ import annotations

from collections.abc import Iterable

from core.crypto.hashing import Node, tree_hash
from core.crypto.keys import KeyPair, key_pair
from core.hypercore.manifest import Manifest, default_manifest, is_compat, manifest_key
from core.hypercore.merkle import append, roots_at, spine
from core.hypercore.proof import Proof, ProofRequest, Verified, create_proof, verify_proof
from core.hypercore.reorg import Reorg
from core.hypercore.signatures import sign_tree


class DictTree:
    """Satisfies `TreeReader`. Nodes and blocks are in `nodes` and `blocks`, both sparse."""

    def __init__(self, key: bytes, manifest: Manifest | None) -> None:
        self.key = key
        self.manifest = manifest
        self.fork = 0
        self.length = 0
        self.byte_length = 0
        self.roots: list[Node] = []
        self.nodes: dict[int, Node] = {}
        self.blocks: dict[int, bytes] = {}
        self.signature: bytes | None = None

    def copy(self) -> DictTree:
        """A second reader that holds the same."""
        other = DictTree(self.key, self.manifest)
        other.fork, other.length, other.byte_length = self.fork, self.length, self.byte_length
        other.roots, other.signature = list(self.roots), self.signature
        other.nodes, other.blocks = dict(self.nodes), dict(self.blocks)
        return other

    def node(self, index: int) -> Node | None:
        return self.nodes.get(index)

    def prove(self, request: ProofRequest) -> Proof:
        compat = self.manifest is None or is_compat(self.key, self.manifest)
        manifest = None if compat else self.manifest
        return create_proof(
            self, request, signature=self.signature, block_value=self.blocks.get, manifest=manifest
        )

    def receive(self, proof: Proof) -> Verified:
        """Verify and store."""
        verified = verify_proof(self, proof, key=self.key, manifest=self.manifest)
        self.store(verified)
        if proof.block is not None:
            self.blocks[proof.block.index] = proof.block.value
        return verified

    def store(self, verified: Verified) -> None:
        self.nodes.update((node[0], node) for node in verified.nodes)
        self.manifest = verified.manifest or self.manifest
        if verified.upgraded:
            self.fork, self.length = verified.fork, verified.length
            self.byte_length, self.roots = verified.byte_length, verified.roots
            self.signature = verified.signature

    def apply_reorg(self, reorg: Reorg) -> None:
        assert reorg.finished
        assert reorg.applies_to(self)
        self.cut(reorg.ancestors)
        self.store(reorg.verified)
        self.nodes.update((node[0], node) for node in reorg.nodes)

    def cut(self, length: int) -> None:
        """Forget every node and block that does not belong to the first `length` blocks."""
        stale = set(spine(length))
        self.nodes = {i: node for i, node in self.nodes.items() if i < 2 * length and i not in stale}
        self.blocks = {i: block for i, block in self.blocks.items() if i < length}

    def facts(self) -> tuple[int, int, int, list[Node]]:
        return self.fork, self.length, self.byte_length, self.roots


class WriterTree(DictTree):
    """Holds everything, and the pair of its manifest's only signer."""

    def __init__(self, blocks: Iterable[bytes] = (), pair: KeyPair | None = None) -> None:
        self.pair = pair or key_pair(bytes([1]) * 32)
        manifest = default_manifest(self.pair.public_key)
        super().__init__(manifest_key(manifest), manifest)
        self.append(blocks)

    def append(self, blocks: Iterable[bytes]) -> None:
        blocks = list(blocks)
        self.roots, created = append(self.roots, self.length, blocks)
        self.nodes.update((node[0], node) for node in created)
        self.blocks.update(enumerate(blocks, self.length))
        self.length += len(blocks)
        self.byte_length += sum(map(len, blocks))
        self.sign()

    def truncate(self, length: int) -> None:
        self.roots = roots_at(self, length)
        self.cut(length)
        self.length, self.fork = length, self.fork + 1
        self.byte_length = sum(size for _, size, _ in self.roots)
        self.sign()

    def sign(self) -> None:
        if self.length:
            assert self.manifest is not None
            root_hash = tree_hash(self.roots)
            self.signature = sign_tree(self.manifest, self.key, self.pair, root_hash, self.length, self.fork)

    def reader(self, *, knows_manifest: bool = True) -> DictTree:
        """An empty copy of the same log."""
        return DictTree(self.key, self.manifest if knows_manifest else None)


def fixture_block(index: int) -> bytes:
    """Block `index` of the vectors' test log."""
    return bytes((31 * index + 7 * position + 1) % 256 for position in range((5 * index + 3) % 17))


def fixture_writer(length: int) -> WriterTree:
    """The log of `log/merkle-33.json`, cut to `length`."""
    return WriterTree(map(fixture_block, range(length)))
