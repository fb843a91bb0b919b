"""Many conversations at once, in every order that the dice find: whoever can know a log ends up knowing it.

A writer and one to three readers, connected in all sorts of ways, append, truncate, clear, ask for blocks, ranges and
bytes, change their minds, connect and disconnect, while frames are carried in random portions. Then the world goes
quiet, everybody is connected to the writer, and what must hold is checked.
"""

from __future__ import annotations

import asyncio
import random

import pytest

from core.replication.wishes import RangeWish
from tests.support.replication import Clock, Node, Wire, run

pytestmark = pytest.mark.anyio

WORLDS = 200


class World:
    """One simulated world; everything in it follows from `seed`."""

    def __init__(self, seed: int, *, overtaking: bool) -> None:
        random.seed(seed)  # the replicators throw dice too
        self.dice = random.Random(seed)
        self.clock = Clock()
        self.writer = Node(self.clock)
        self.readers = [Node(self.clock, self.writer.log.key) for _ in range(self.dice.randint(1, 3))]
        self.nodes = [self.writer, *self.readers]
        self.wires: list[Wire] = []
        self._overtaking = self.dice if overtaking else None
        self._content = 0
        self.asked: dict[Node, set[int]] = {reader: set() for reader in self.readers}
        self.takes_everything: set[Node] = set()
        self._append(self.dice.randint(0, 60))
        for reader in self.readers:
            self._connect(self.writer, reader)

    # --- what may happen ----------------------------------------------------------------------

    async def step(self) -> None:
        """One thing happens, and some frames are carried."""
        reader = self.dice.choice(self.readers)
        actions = (
            (25, lambda: self._append(self.dice.randint(1, 8))),
            (8, lambda: self.writer.log.truncate(self.dice.randint(0, self.writer.log.length))),
            (9, lambda: self._clear(self.dice.choice(self.nodes))),
            (20, lambda: self._want_block(reader)),
            (12, lambda: self._want_range(reader)),
            (4, lambda: self._want_list(reader)),
            (5, lambda: reader.replicator.want_seek(self.dice.randint(0, self.writer.log.byte_length), 0)),
            (3, lambda: reader.replicator.want_upgrade()),
            (5, lambda: self._connect(*self.dice.sample(self.nodes, 2))),
            (3, self._disconnect),
        )
        weights, callbacks = zip(*actions, strict=True)
        self.dice.choices(callbacks, weights)[0]()
        await asyncio.sleep(0)  # asyncio tells of cancelled futures
        for _ in range(self.dice.randint(0, 12)):
            busy = [(wire, side) for wire in self.wires for side in (0, 1) if wire.queues[side]]
            if not busy:
                break
            wire, side = self.dice.choice(busy)
            wire.carry(side, self.dice.randint(1, 3))
        self.clock.advance(self.dice.choice([0, 0, 0, 0.3, 1]))

    def settle(self) -> None:
        """Connect every reader to the writer, and carry until everybody is silent."""
        if self.writer.log.length == 0:
            self._append(1)  # nobody can prove an empty tree, so nobody follows a log to its emptiness
        for reader in self.readers:
            self._connect(self.writer, reader)
        run(self.wires, self.clock, dice=self.dice, seconds=8)

    def _append(self, count: int) -> None:
        blocks = [str(self._content + number).encode() * self.dice.randint(0, 3) for number in range(count)]
        self._content += count
        if blocks:
            self.writer.log.append(blocks)

    def _clear(self, node: Node) -> None:
        if node.log.length:
            start = self.dice.randrange(node.log.length)
            node.log.clear(start, self.dice.randint(start + 1, node.log.length))

    def _want_block(self, reader: Node) -> None:
        index = self.dice.randint(0, self.writer.log.length + 1)
        self.asked[reader].add(index)
        self._regret(reader.replicator.want_block(index), 0.2)

    def _want_range(self, reader: Node) -> None:
        start = self.dice.randint(0, self.writer.log.length)
        end = self.dice.randint(start, self.writer.log.length + 1)
        if self.dice.random() < 0.25:
            self.takes_everything.add(reader)
            start, end = 0, -1
        self.asked[reader].update(range(start, end))
        self._regret(reader.replicator.want_range(start, end, linear=self.dice.random() < 0.5), 0.3)

    def _want_list(self, reader: Node) -> None:
        blocks = [self.dice.randint(0, self.writer.log.length) for _ in range(5)]
        self.asked[reader].update(blocks)
        reader.replicator.want_range(0, 0, blocks=blocks)

    def _regret(self, wish: asyncio.Future[None], probability: float) -> None:
        if self.dice.random() < probability:
            wish.cancel()

    def _connect(self, left: Node, right: Node) -> None:
        if self.dice.random() < 0.5:
            left, right = right, left
        if not any({left, right} == set(wire.nodes) for wire in self.wires):
            self.wires.append(Wire(left, right, overtaking=self._overtaking))

    def _disconnect(self) -> None:
        if len(self.wires) > 1:
            self.wires.pop(self.dice.randrange(len(self.wires))).close()

    # --- what must hold -----------------------------------------------------------------------

    def check(self) -> None:
        assert [wire.error for wire in self.wires if wire.error] == []
        for reader in self.readers:
            self._check_log(reader)
            self._check_wishes(reader)
            self._check_bookkeeping(reader)

    def _check_log(self, reader: Node) -> None:
        ours, theirs = reader.log, self.writer.log
        assert (ours.length, ours.fork, ours.tree_hash()) == (theirs.length, theirs.fork, theirs.tree_hash())
        for index in range(ours.length):
            if ours.has(index) and theirs.has(index):
                assert ours.block(index) == theirs.block(index)
        if reader not in self.takes_everything:
            assert set(reader.blocks_downloaded) <= self.asked[reader], "more than was asked for"

    def _check_wishes(self, reader: Node) -> None:
        demands = reader.replicator.demands
        neighbours = [
            node for wire in self.wires if reader in wire.nodes for node in wire.nodes if node is not reader
        ]
        for index in range(reader.log.length):
            wanted = index in demands.blocks or any(_still_waits_for(wish, index) for wish in demands.ranges)
            if wanted and not reader.log.has(index):
                assert not any(node.log.has(index) for node in neighbours), (
                    f"nobody was asked for block {index}"
                )
        for seek in demands.seeks:
            assert seek.bytes > reader.log.byte_length, f"byte {seek.bytes} was not found"

    def _check_bookkeeping(self, reader: Node) -> None:
        replicator = reader.replicator
        assert [event for event in reader.events if event[0] == "verification-error"] == []
        assert len(replicator.table) == 0
        assert replicator.outbox.asked == {}
        assert replicator.forks.wishes == []
        for peer in replicator.open_peers:
            assert (peer.in_flight, peer.promised, peer.paused) == (0, {}, False)


def _still_waits_for(wish: RangeWish, index: int) -> bool:
    return wish.covers(index) if wish.blocks is None else index in wish.blocks[wish.start : wish.end]


@pytest.mark.parametrize("overtaking", [False, True], ids=["in order", "answers overtake each other"])
async def test_everybody_ends_up_with_the_writers_log(overtaking: bool) -> None:
    for seed in range(WORLDS):
        world = World(seed, overtaking=overtaking)
        try:
            for _ in range(world.dice.randint(5, 40)):
                await world.step()
            world.settle()
            world.check()
        except BaseException as error:
            error.add_note(f"in world {seed}")
            raise
