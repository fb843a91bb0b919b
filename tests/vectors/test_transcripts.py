"""Conversations of two official peers, replayed with one of them being ours.

What the other side wrote is delivered in its order, what the application did is done at its place, and what we write
must be what the official peer wrote: every request, answer, announcement and control message, byte for byte and in
order. Of syncs only the last one of each step counts: the official code sends some of them twice (for instance one
for a manifest and one for the blocks of the same answer), and each one replaces the one before.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from core.crypto.keys import key_pair
from core.hypercore.manifest import default_manifest, manifest_key
from core.protomux import Mux
from core.replication import Options
from core.replication.messages import SYNC, Sync, decode_sync
from tests.support.replication import SEED_1, Clock, Node, block, copy_log, messages_of
from tests.support.vectors import load_vectors

VECTORS = load_vectors("log/transcripts")
SCENARIOS = {scenario["name"]: scenario for scenario in VECTORS["scenarios"]}
KEY = manifest_key(default_manifest(key_pair(SEED_1).public_key))

CONTROL = 0
CLOSE = 3

pytestmark = pytest.mark.anyio


@pytest.fixture(autouse=True)
def _first_of_all_choices(monkeypatch: pytest.MonkeyPatch) -> None:
    """The transcripts were made with fixed random numbers that chose the first of the candidates."""
    monkeypatch.setattr(random, "randrange", lambda start, stop: start)


class Replay:
    """Our side of one conversation."""

    def __init__(self, scenario: str, side: str, node: Node) -> None:
        self.node = node
        self.side = side
        # How many syncs the recording tool caused by taking everything down.
        self.syncs_at_the_end = 0
        self._frames = SCENARIOS[scenario]["frames"]
        self._written: list[bytes] = []
        self._actions: dict[str, Callable[[], Any]] = {}
        self.mux = Mux(
            is_initiator=side == "A",
            handshake_hash=b"\x42" * 64,
            remote_public_key=bytes(32),
            send=self._written.append,
        )
        self.at("both attach", lambda: node.replicator.attach(self.mux))

    def at(self, step: str, action: Callable[[], Any]) -> Replay:
        self._actions[step] = action
        return self

    def run(self) -> None:
        for step, frames in self._steps():
            expected: list[bytes] = []
            if step in self._actions:
                self._actions[step]()
            self.node.turn()
            for frame in frames:
                raw = bytes.fromhex(frame["hex"])
                if frame["from"] == self.side:
                    expected.append(raw)
                else:
                    self.mux.receive(raw)
                    self.node.turn()
            self._compare(step, expected)
            self._written.clear()

    def _steps(self) -> Iterator[tuple[str, list[dict[str, Any]]]]:
        starts = [place for place, frame in enumerate(self._frames) if "step" in frame]
        for start, end in zip(starts, [*starts[1:], len(self._frames)], strict=True):
            yield self._frames[start]["step"], self._frames[start + 1 : end]

    def _compare(self, step: str, expected: list[bytes]) -> None:
        theirs = [message for frame in expected for message in messages_of(frame)]
        ours = [message for frame in self._written for message in messages_of(frame)]
        # The closes at the very end belong to the tool that recorded; ours has no reason to close then.
        if (CONTROL, CLOSE) not in [message[:2] for message in ours]:
            theirs = [message for message in theirs if message[:2] != (CONTROL, CLOSE)]
        assert _without_syncs(ours) == _without_syncs(theirs), step
        if syncs := _syncs(theirs):
            assert _syncs(ours)[-1] in syncs[-1 - self.syncs_at_the_end :], step


def _is_sync(message: tuple[int, int, bytes]) -> bool:
    return message[0] != CONTROL and message[1] == SYNC


def _without_syncs(messages: list[tuple[int, int, bytes]]) -> list[tuple[int, int, str]]:
    return [
        (channel, type, body.hex()) for channel, type, body in messages if not _is_sync((channel, type, body))
    ]


def _syncs(messages: list[tuple[int, int, bytes]]) -> list[Sync]:
    """`can_upgrade` means something only to a shorter remote; for others the official code repeats an older value."""
    syncs = [decode_sync(message[2], 0) for message in messages if _is_sync(message)]
    return [
        replace(sync, can_upgrade=sync.can_upgrade and sync.length > sync.remote_length) for sync in syncs
    ]


def writer(blocks: int) -> Node:
    node = Node(Clock())
    if blocks:
        node.append(blocks)
    node.turn()
    return node


def reader(
    source: Node | None = None, *, options: Options | None = None, blocks: list[int] | None = None
) -> Node:
    """An empty reader, or one that took the length of `source` (and some of its blocks) over an earlier connection."""
    node = Node(Clock(), KEY, options=options or Options(linger=0.0))
    if source is not None:
        copy_log(source, node, blocks or [])
    node.turn()
    return node


ONE_AT_A_TIME = Options(linger=0.0, in_flight=(1, 1))


async def test_open_and_eager_upgrade_reader() -> None:
    node = reader()
    Replay("open-and-eager-upgrade", "B", node).run()
    assert (node.log.length, node.log.contiguous_length, node.log.remote_contiguous_length) == (6, 0, 6)


async def test_open_and_eager_upgrade_writer() -> None:
    node = writer(5)
    Replay("open-and-eager-upgrade", "A", node).at("A appends block 5", node.append).run()


async def test_sparse_get_reader() -> None:
    node = reader()
    wishes: list[asyncio.Future[None]] = []
    replay = Replay("sparse-get", "B", node)
    for index in (13, 12, 20):
        replay.at(f"B get({index})", lambda index=index: wishes.append(node.replicator.want_block(index)))
    replay.run()
    assert [wish.done() for wish in wishes] == [True] * 3
    assert node.blocks_downloaded == [13, 12, 20]
    assert node.log.block(12) == block(12)


@pytest.mark.parametrize(
    ("scenario", "blocks"), [("sparse-get", 21), ("linear-download", 6), ("resume-from-5", 9), ("seek", 21)]
)
async def test_writer_that_only_answers(scenario: str, blocks: int) -> None:
    Replay(scenario, "A", writer(blocks)).run()


async def test_linear_download_reader() -> None:
    node = reader(options=ONE_AT_A_TIME)
    wishes: list[asyncio.Future[None]] = []
    step = "B download({ start: 0, end: 6, linear: true })"
    Replay("linear-download", "B", node).at(
        step, lambda: wishes.append(node.replicator.want_range(0, 6, linear=True))
    ).run()
    assert wishes[0].done()
    assert node.log.contiguous_length == 6


async def test_resume_reader() -> None:
    node = reader(writer(5))
    Replay("resume-from-5", "B", node).run()
    assert node.log.length == 9


async def test_clear_and_drop_reader() -> None:
    node = reader()
    wishes: list[asyncio.Future[None]] = []
    Replay("clear-and-drop", "B", node).at(
        "B get(2, { timeout: 300 })", lambda: wishes.append(node.replicator.want_block(2))
    ).run()
    assert not wishes[0].done()


async def test_clear_and_drop_writer() -> None:
    node = writer(6)
    Replay("clear-and-drop", "A", node).at("A clear(2, 4)", lambda: node.log.clear(2, 4)).run()


async def test_sparse_seeder_reader() -> None:
    node = reader()
    wishes: list[asyncio.Future[None]] = []
    Replay("sparse-seeder-want-bitfield", "A", node).at(
        "A get(40)", lambda: wishes.append(node.replicator.want_block(40))
    ).at("A get(3, { timeout: 300 })", lambda: wishes.append(node.replicator.want_block(3))).run()
    assert [wish.done() for wish in wishes] == [True, False]
    assert node.blocks_downloaded == [40]


async def test_sparse_seeder_seeder() -> None:
    Replay("sparse-seeder-want-bitfield", "B", reader(writer(50), blocks=[1, 40, 41])).run()


async def test_truncate_reorg_reader() -> None:
    node = reader(options=ONE_AT_A_TIME)
    Replay("truncate-reorg", "B", node).at(
        "B downloads all", lambda: node.replicator.want_range(0, 8, linear=True)
    ).run()
    assert (node.log.length, node.log.fork, node.log.contiguous_length) == (7, 1, 5)


async def test_truncate_reorg_writer() -> None:
    node = writer(8)
    Replay("truncate-reorg", "A", node).at("A truncate(5)", lambda: node.log.truncate(5)).at(
        "A append x, y", lambda: node.log.append([b"x", b"y"])
    ).run()


async def test_reorg_with_tree_walk_reader() -> None:
    node = reader(writer(16), blocks=list(range(16)))
    Replay("reorg-with-tree-walk", "B", node).run()
    assert (node.log.length, node.log.fork) == (20, 1)
    assert [index for index in range(20) if node.log.has(index)] == [0, 1, 2, 3, 4]


async def test_seek_reader() -> None:
    node = reader()
    wishes: list[asyncio.Future[tuple[int, int] | None]] = []
    Replay("seek", "B", node).at(
        "B seek(100)", lambda: wishes.append(node.replicator.want_seek(100, 0))
    ).run()
    assert wishes[0].result() == (12, 6)


async def test_compat_reader() -> None:
    node = Node(Clock(), key_pair(SEED_1).public_key)
    wishes: list[asyncio.Future[None]] = []
    Replay("compat-core", "B", node).at(
        "B get(1)", lambda: wishes.append(node.replicator.want_block(1))
    ).run()
    assert wishes[0].done()
    assert node.log.compat


async def test_compat_writer() -> None:
    pair = key_pair(SEED_1)
    node = Node(Clock(), pair.public_key, pair=pair, manifest=default_manifest(pair.public_key))
    node.append(3)
    node.turn()
    Replay("compat-core", "A", node).run()


async def test_manifest_before_data_reader() -> None:
    node = reader()
    Replay("manifest-before-data", "B", node).run()
    assert node.log.manifest is not None


async def test_push_reader() -> None:
    node = reader(options=Options(linger=0.0, allow_push=True, push_only=True))
    replay = Replay("push", "B", node)
    replay.syncs_at_the_end = 1
    replay.run()
    assert (node.log.length, node.log.has(2)) == (3, True)


async def test_push_writer() -> None:
    node = writer(3)
    Replay("push", "A", node).at("A push(2)", lambda: node.replicator.push(2)).run()


async def test_idle_close_reader() -> None:
    node = reader()
    replay = Replay("idle-close", "B", node)
    replay.at("B setActive(false)", lambda: node.replicator.set_downloading(False)).run()
    assert not list(replay.mux.channels)


async def test_idle_close_writer() -> None:
    node = writer(2)
    replay = Replay("idle-close", "A", node)
    replay.at("A setActive(false)", lambda: node.replicator.set_downloading(False)).run()
    assert not list(replay.mux.channels)


async def test_unknown_core_is_rejected() -> None:
    replay = Replay("unknown-core-is-rejected", "A", writer(1))
    replay.run()
    assert not list(replay.mux.channels)


async def test_conflict_is_judged_from_the_recorded_proofs() -> None:
    """Our log cannot be rebuilt from the transcript, so the recorded probe meets another tree of the same key."""
    node = writer(4)
    closing = [frame for frame in SCENARIOS["conflict"]["frames"] if frame.get("from") == "A"][-1]
    replay = Replay("conflict", "B", node)
    node.replicator.attach(replay.mux)
    for frame in SCENARIOS["conflict"]["frames"]:
        if frame.get("from") == "A":
            replay.mux.receive(bytes.fromhex(frame["hex"]))
            node.turn()
    assert node.log.frozen, closing
    assert [event[1:3] for event in node.events if event[0] == "conflicted"] == [(3, 0)]
    assert not list(replay.mux.channels)


def test_every_transcript_is_replayed() -> None:
    """`hyperbee-extension` is about the bee's requests and replayed by its own tests."""
    source = Path(__file__).read_text()
    assert [name for name in SCENARIOS if f'("{name}"' not in source] == ["hyperbee-extension"]
