"""A log is a list of blocks: whatever is appended, truncated, cleared, lost in a failed commit, or reopened.

Its tree is the one that a dictionary would hold (`tests/support/trees.py`), and its snapshots never change.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import SnapshotNotAvailable, StorageFull
from core.hypercore.layout import Identity
from core.hypercore.log import Log
from core.hypercore.manifest import default_manifest, manifest_key
from core.hypercore.snapshot import Snapshot
from tests.support.logs import PAIR
from tests.support.stores import KINDS, StoreOnDemand, fail_next_commit
from tests.support.trees import WriterTree

FRACTIONS = st.floats(0, 1)
OPERATIONS = st.lists(
    st.one_of(
        st.tuples(st.just("append"), st.lists(st.binary(max_size=5), min_size=1, max_size=9)),
        st.tuples(st.just("truncate"), FRACTIONS),
        st.tuples(st.just("clear"), FRACTIONS, FRACTIONS),
        st.tuples(st.just("snapshot"), FRACTIONS),
        st.tuples(st.sampled_from(["commit", "fail", "reopen"])),
    ),
    max_size=25,
)


class Model:
    """What the log should be: blocks (None: cleared) and the fork."""

    def __init__(self) -> None:
        self.blocks: list[bytes | None] = []
        self.tree_blocks: list[bytes] = []
        self.fork = 0

    def copy(self) -> Model:
        other = Model()
        other.blocks, other.tree_blocks, other.fork = list(self.blocks), list(self.tree_blocks), self.fork
        return other


class Machine:
    """The log and its model, driven side by side."""

    def __init__(self, store: StoreOnDemand) -> None:
        self.store = store
        self.registry = store.registry()
        manifest = default_manifest(PAIR.public_key)
        self.log: Log = self.registry.create(Identity(manifest_key(manifest), manifest, PAIR))
        self.model = Model()
        self.snapshots: list[tuple[Snapshot, list[bytes | None]]] = []
        self.commit()

    def append(self, blocks: list[bytes]) -> None:
        self.log.append(blocks)
        self.model.blocks += blocks
        self.model.tree_blocks += blocks

    def truncate(self, fraction: float) -> None:
        length = round(fraction * self.log.length)
        self.log.truncate(length)
        del self.model.blocks[length:]
        del self.model.tree_blocks[length:]
        self.model.fork += 1

    def clear(self, start: float, end: float) -> None:
        low, high = sorted((round(start * self.log.length), round(end * self.log.length)))
        self.log.clear(low, high)
        self.model.blocks[low:high] = [None] * (high - low)
        for view, expected in self.snapshots:
            # A clear is not a change of the log: what is gone is gone in every view that shares it.
            for index in range(low, min(high, view.floor)):
                expected[index] = None

    def snapshot(self, fraction: float) -> None:
        length = round(fraction * self.log.length)
        view = Snapshot(self.log, length)
        self.snapshots.append((view, self.model.blocks[:length]))

    def commit(self) -> None:
        self.registry.commit.now()
        self.committed = self.model.copy()
        self.committed_snapshots = [(view, list(expected)) for view, expected in self.snapshots]

    def fail(self) -> None:
        if not self.registry.commit.pending:
            return
        fail_next_commit(self.store.storage)
        with pytest.raises(StorageFull):
            self.registry.commit.now()
        self.model = self.committed.copy()
        # Those of this turn may show blocks that never were.
        self.snapshots = [(view, list(expected)) for view, expected in self.committed_snapshots]

    def reopen(self) -> None:
        key = self.log.discovery_key
        self.store.reopen()
        self.registry = self.store.registry()
        log = self.registry.find(key)
        assert log is not None
        self.log = log
        self.model = self.committed.copy()
        self.snapshots.clear()
        self.committed_snapshots.clear()

    def check(self) -> None:
        log, blocks = self.log, self.model.blocks
        assert (log.length, log.fork) == (len(blocks), self.model.fork)
        assert [log.block(index) for index in range(log.length + 2)] == [*blocks, None, None]
        assert [log.has(index) for index in range(log.length + 2)] == [
            *(block is not None for block in blocks),
            False,
            False,
        ]
        gap = next((index for index, block in enumerate(blocks) if block is None), len(blocks))
        assert log.contiguous_length == gap
        tree = WriterTree(self.model.tree_blocks)
        assert log.roots == tree.roots
        assert log.byte_length == sum(map(len, self.model.tree_blocks))
        assert all(log.node(index) == node for index, node in tree.nodes.items())
        assert all(log.node(index) is None for index in range(2 * log.length + 40) if index not in tree.nodes)

    def check_snapshots(self) -> None:
        for view, expected in self.snapshots:
            assert view.length == len(expected)
            for index, block in enumerate(expected):
                if block is None and index >= view.floor:
                    with pytest.raises(SnapshotNotAvailable):
                        view.block_if_local(index)
                elif block is not None:
                    assert view.block_if_local(index) == block


@pytest.mark.parametrize("kind", KINDS)
@given(operations=OPERATIONS)
@settings(max_examples=60, deadline=None)
def test_log_is_a_list(kind: str, operations: list[tuple[Any, ...]]) -> None:
    with tempfile.TemporaryDirectory() as directory:
        store = StoreOnDemand(kind, Path(directory))
        machine = Machine(store)
        for name, *arguments in operations:
            getattr(machine, name)(*arguments)
            machine.check()
            machine.check_snapshots()
        store.storage.close()
