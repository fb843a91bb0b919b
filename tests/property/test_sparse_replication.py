"""A writer, a sparse reader and a reader of that reader, through any sequence of valid requests.

Whatever order things are asked for in, a reader's roots are the writer's, every node it stores is one the
writer has, and every block it holds can be proved to somebody else.
"""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from core.errors import InvalidOperation
from core.hypercore.byte_seek import SeekFound, SeekUnresolved, seek
from core.hypercore.flat_tree import index_of, parent, right_span, sibling
from core.hypercore.merkle import can_upgrade_from, missing_nodes
from core.hypercore.proof import (
    BlockRequest,
    HashRequest,
    ProofRequest,
    SeekRequest,
    UpgradeRequest,
)
from core.hypercore.reorg import Reorg
from tests.support.trees import DictTree, WriterTree

blocks = st.lists(st.binary(max_size=20), min_size=1, max_size=12)
fractions = st.floats(0, 1, exclude_max=True)


class SparseReplication(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.writer = WriterTree()
        self.reader = self.writer.reader(knows_manifest=False)
        self.relayed = self.writer.reader(knows_manifest=False)

    @initialize(first=st.lists(st.binary(max_size=20), min_size=2, max_size=40), fraction=fractions)
    def begin(self, first: list[bytes], fraction: float) -> None:
        self.writer.append([*first, b"at least one byte"])
        self.upgrade(fraction)

    @property
    def behind(self) -> int:
        return self.writer.length - self.reader.length

    def fall_behind(self) -> None:
        if self.behind == 0:
            self.writer.append([b"one", b"two", b"three"])

    def pick(self, fraction: float, count: int) -> int:
        return int(fraction * count)

    @rule(more=blocks)
    def append(self, more: list[bytes]) -> None:
        self.writer.append(more)

    @rule(fraction=fractions)
    def upgrade(self, fraction: float) -> None:
        """Whatever part is asked for, the answer leads to the length that is signed."""
        self.fall_behind()
        length = 1 + self.pick(fraction, self.behind)
        request = ProofRequest(upgrade=UpgradeRequest(self.reader.length, length), manifest=True)
        assert self.reader.receive(self.writer.prove(request)).upgraded
        assert self.reader.facts() == self.writer.facts()

    @rule(fraction=fractions)
    def upgrade_with_a_block(self, fraction: float) -> None:
        """New or old: the path of the block goes into the upgrade, or beside it."""
        self.fall_behind()
        index = self.pick(fraction, self.writer.length)
        nodes = missing_nodes(self.reader, 2 * index)
        upgrade = UpgradeRequest(self.reader.length, self.behind)
        request = ProofRequest(block=BlockRequest(index, nodes), upgrade=upgrade, manifest=True)
        assert self.reader.receive(self.writer.prove(request)).upgraded
        assert missing_nodes(self.reader, 2 * index) == 0

    @rule(fraction=fractions)
    def upgrade_with_a_seek(self, fraction: float) -> None:
        self.fall_behind()
        target = self.pick(fraction, self.writer.byte_length + 1)
        upgrade = UpgradeRequest(self.reader.length, self.behind)
        request = ProofRequest(seek=SeekRequest(target), upgrade=upgrade, manifest=True)
        assert self.reader.receive(self.writer.prove(request)).upgraded

    @rule(fraction=fractions)
    def block(self, fraction: float) -> None:
        index = self.pick(fraction, self.reader.length)
        nodes = missing_nodes(self.reader, 2 * index)
        self.reader.receive(self.writer.prove(ProofRequest(block=BlockRequest(index, nodes))))
        assert missing_nodes(self.reader, 2 * index) == 0

    @rule(fraction=fractions, level=st.integers(0, 5))
    def hash(self, fraction: float, level: int) -> None:
        index = index_of(level, self.pick(fraction, self.reader.length) >> level)
        nodes = missing_nodes(self.reader, index)
        if nodes == 0:
            return
        self.reader.receive(self.writer.prove(ProofRequest(hash=HashRequest(index, nodes))))
        assert missing_nodes(self.reader, index) == 0

    @rule(fraction=fractions)
    def seek(self, fraction: float) -> None:
        """Ask for what is unresolved until the byte is found; it is where the writer finds it."""
        target = self.pick(fraction, self.reader.byte_length)
        found = seek(self.reader, target)
        rounds = 0
        while isinstance(found, SeekUnresolved):
            rounds += 1
            assert rounds <= 20
            levels = (found.end - found.start).bit_length() - 1
            request = ProofRequest(hash=HashRequest(2 * found.start, levels), seek=SeekRequest(target))
            self.reader.receive(self.writer.prove(request))
            found = seek(self.reader, target)
        assert isinstance(found, SeekFound)
        assert found == seek(self.writer, target)

    @rule(fraction=fractions, more=blocks)
    def reorg(self, fraction: float, more: list[bytes]) -> None:
        """The writer truncates and goes on; the reader finds out how much it still shares."""
        kept = 1 + self.pick(fraction, self.writer.length - 1)
        shared = min(kept, self.reader.length)
        self.writer.truncate(kept)
        self.writer.append(more)
        before = dict(self.reader.blocks)
        request = ProofRequest(upgrade=UpgradeRequest(0, self.writer.length), manifest=True)
        reorg = Reorg.begin(
            self.reader, self.writer.prove(request), key=self.writer.key, manifest=self.reader.manifest
        )
        rounds = 0
        while reorg.want is not None:
            rounds += 1
            assert rounds <= 20
            request = ProofRequest(hash=reorg.want.request(reorg.want.start))
            reorg.advance(self.reader, self.writer.prove(request))
        self.reader.apply_reorg(reorg)
        assert self.reader.facts() == self.writer.facts()
        for index, block in before.items():
            if index < shared:
                assert self.reader.blocks[index] == block

    @rule(fraction=fractions)
    def relay(self, fraction: float) -> None:
        """A sparse sender refuses or proves; it never makes a proof that does not hold."""
        if self.relayed.fork != self.reader.fork:
            self.relayed = self.writer.reader(knows_manifest=False)
            self.relayed.fork = self.reader.fork
        missing = self.reader.length - self.relayed.length
        request = ProofRequest(manifest=True)
        if missing > 0:
            request.upgrade = UpgradeRequest(self.relayed.length, missing)
        if self.reader.blocks:
            held = sorted(self.reader.blocks)
            index = held[self.pick(fraction, len(held))]
            request.block = BlockRequest(index, missing_nodes(self.relayed, 2 * index))
        try:
            proof = self.reader.prove(request)
        except InvalidOperation:
            assert missing > 0
            assert not can_upgrade_from(self.reader, self.relayed.length) or request.block is not None
            return
        self.relayed.receive(proof)
        if request.block is not None:
            assert self.relayed.blocks[request.block.index] == self.writer.blocks[request.block.index]

    @invariant()
    def everything_known_is_true(self) -> None:
        for tree in (self.reader, self.relayed):
            if tree.fork == self.writer.fork:
                self.check(tree)

    def check(self, tree: DictTree) -> None:
        assert all(self.writer.nodes[index] == node for index, node in tree.nodes.items())
        assert all(self.writer.blocks[index] == block for index, block in tree.blocks.items())
        assert all(tree.node(index) == (index, size, digest) for index, size, digest in tree.roots)
        for index in tree.nodes:
            if right_span(parent(index)) < 2 * tree.length:
                assert tree.node(sibling(index)) is not None
                assert tree.node(parent(index)) is not None


TestSparseReplication = SparseReplication.TestCase
TestSparseReplication.settings = settings(max_examples=100, stateful_step_count=30, deadline=None)
