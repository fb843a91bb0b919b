"""Reading over the network: what is asked of whom, what comes of it, and what is never downloaded."""

from __future__ import annotations

import asyncio
import random

import pytest

from core.errors import RequestCancelled, StorageFull
from core.hypercore.proof_types import UpgradeRequest
from core.replication.messages import (
    BITFIELD,
    CANCEL,
    DATA,
    WANT,
    decode_data,
)
from tests.support.replication import (
    READER,
    WRITER,
    Clock,
    Node,
    Wire,
    block,
    copy_log,
    pair,
    requests_of,
    run,
)

pytestmark = pytest.mark.anyio


async def test_nothing_is_downloaded_that_nobody_asked_for() -> None:
    clock, writer, reader, wire = pair(1000)
    assert (reader.log.length, reader.blocks_downloaded) == (1000, [])
    wish = reader.replicator.want_block(500)
    run([wire], clock)
    assert wish.done()
    assert reader.blocks_downloaded == [500]
    writer.append(1)
    run([wire], clock)
    assert reader.log.length == 1001
    assert reader.blocks_downloaded == [500]


async def test_a_range_costs_each_tree_node_once() -> None:
    """Requests in flight count on each other's nodes: two nodes a block at most, not the depth of the tree."""
    clock, _, reader, wire = pair(1000)
    wish = reader.replicator.want_range(0, 1000)
    run([wire], clock)
    assert wish.done()
    nodes = sum(len(decode_data(body, 0)[1].block.nodes) for body in wire.sent_by(WRITER, DATA)[1:])  # type: ignore[union-attr]
    assert nodes < 1000
    assert [request.parts.block.index for request in requests_of(wire)[1:]] == list(range(1000))  # type: ignore[union-attr]


async def test_the_window_is_kept() -> None:
    _clock, _, reader, wire = pair(1000, in_flight=(4, 10))
    reader.replicator.want_range(0, 1000)
    (peer,) = reader.replicator.open_peers
    assert peer.in_flight == 10
    while not wire.silent:
        wire.carry(READER)
        wire.carry(WRITER, 1)
        assert peer.in_flight <= 10
    assert reader.log.contiguous_length == 1000


async def test_large_blocks_make_a_small_window() -> None:
    clock = Clock()
    writer = Node(clock)
    writer.log.append([bytes(1024 * 1024)] * 40)
    reader = Node(clock, writer.log.key)
    wire = Wire(writer, reader)
    run([wire], clock)
    reader.replicator.want_range(0, 40)
    (peer,) = reader.replicator.open_peers
    assert peer.in_flight == 16
    run([wire], clock)
    assert reader.log.contiguous_length == 40


async def test_a_get_beyond_the_end_waits_for_it() -> None:
    clock, writer, reader, wire = pair(3)
    wish = reader.replicator.want_block(5)
    run([wire], clock)
    assert not wish.done()
    writer.append(3)
    run([wire], clock)
    assert wish.done()
    assert reader.blocks_downloaded == [5]
    # The upgrade and the block came in one answer.
    assert requests_of(wire)[-1].parts.upgrade == UpgradeRequest(3, 3)


async def test_a_live_range_follows_with_the_newest_block() -> None:
    clock, writer, reader, wire = pair(3)
    wish = reader.replicator.want_range(0, -1)
    run([wire], clock)
    writer.append(1)
    run([wire], clock)
    assert reader.log.contiguous_length == 4
    last = requests_of(wire)[-1].parts
    assert (last.block.index, last.upgrade) == (3, UpgradeRequest(3, 1))  # type: ignore[union-attr]
    assert not wish.done()
    wish.cancel()
    await asyncio.sleep(0)
    writer.append(1)
    run([wire], clock)
    assert reader.log.contiguous_length == 4


async def test_a_cancelled_get_is_cancelled_with_the_peer_too() -> None:
    clock, _, reader, wire = pair(30)
    wish = reader.replicator.want_block(7)
    wish.cancel()
    await asyncio.sleep(0)
    kept = reader.replicator.want_block(8)
    run([wire], clock)
    assert kept.done()
    assert len(wire.sent_by(READER, CANCEL)) == 1
    # Its number is not used again before an answer to something newer came.
    numbers = [request.id for request in requests_of(wire)]
    assert numbers[1] != numbers[2]


async def test_a_block_that_a_range_needs_too_is_not_cancelled() -> None:
    clock, _, reader, wire = pair(30)
    complete = reader.replicator.want_range(0, 30)
    reader.replicator.want_block(7).cancel()
    await asyncio.sleep(0)
    run([wire], clock)
    assert complete.done()
    assert wire.sent_by(READER, CANCEL) == []


async def test_a_list_of_blocks() -> None:
    clock, _, reader, wire = pair(30)
    wish = reader.replicator.want_range(0, 0, blocks=[29, 3, 17])
    run([wire], clock)
    assert wish.done()
    assert sorted(reader.blocks_downloaded) == [3, 17, 29]


async def test_update_is_false_when_nobody_knows_more() -> None:
    clock, _, reader, wire = pair(3)
    wish = reader.replicator.want_upgrade()
    run([wire], clock)
    assert wish.result() is False
    wire.close()
    alone = reader.replicator.want_upgrade()
    assert alone.result() is False


async def test_update_waits_for_peers_that_are_looked_for() -> None:
    clock = Clock()
    writer = Node(clock)
    writer.append(3)
    reader = Node(clock, writer.log.key)
    found = reader.replicator.finding_peers()
    wish = reader.replicator.want_upgrade()
    assert not wish.done()
    wire = Wire(writer, reader)
    found()
    assert not wish.done()  # the connection is there, and not yet open
    run([wire], clock)
    assert wish.result() is True


async def test_without_eagerness_the_length_waits_for_an_update() -> None:
    clock, _, reader, wire = pair(3, eager_upgrade=False)
    assert reader.log.length == 0
    wish = reader.replicator.want_upgrade()
    run([wire], clock)
    assert (wish.result(), reader.log.length) == (True, 3)


async def test_the_manifest_of_an_empty_log() -> None:
    _, writer, reader, _ = pair(0)
    assert reader.log.manifest == writer.log.manifest
    assert reader.log.length == 0


async def test_closing_fails_what_waits() -> None:
    _, _, reader, wire = pair(3)
    wishes = [reader.replicator.want_block(9), reader.replicator.want_range(0, -1)]
    reader.replicator.close()
    for wish in wishes:
        with pytest.raises(RequestCancelled):
            wish.result()
    assert list(wire.muxes[READER].channels) == []


async def test_a_full_disk_is_told_to_whoever_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, _, reader, wire = pair(30)
    wish = reader.replicator.want_block(3)
    write = reader.storage._write

    def refuse(*arguments: object) -> None:
        raise StorageFull("the disk is full")

    monkeypatch.setattr(reader.storage, "_write", refuse)
    reader.storage.on_rollback.append(reader.log.reload)
    wire.carry(READER)
    wire.nodes[WRITER].turn()
    with pytest.raises(StorageFull):
        wire.carry(WRITER)
    with pytest.raises(StorageFull):
        wish.result()
    assert not reader.log.has(3)
    monkeypatch.setattr(reader.storage, "_write", write)
    again = reader.replicator.want_block(3)
    run([wire], clock)
    assert again.done()
    assert reader.log.block(3) == block(3)


async def test_a_sparse_seeder_is_found_by_asking() -> None:
    clock = Clock()
    writer = Node(clock)
    writer.append(50)
    seeder, reader = Node(clock, writer.log.key), Node(clock, writer.log.key)
    copy_log(writer, seeder, [1, 40, 41])
    wire = Wire(seeder, reader)
    run([wire], clock)
    held, missing = reader.replicator.want_block(40), reader.replicator.want_block(3)
    run([wire], clock)
    assert (held.done(), missing.done()) == (True, False)
    assert len(wire.sent_by(READER, WANT)) == 1
    assert len(wire.sent_by(0, BITFIELD)) == 1
    # What comes to the seeder later is announced, because it is wanted.
    other = Wire(writer, seeder)
    seeder.replicator.want_block(3)
    run([wire, other], clock)
    assert missing.done()


async def test_two_seeders_share_the_work() -> None:
    clock = Clock()
    writer = Node(clock)
    writer.append(2000)
    reader = Node(clock, writer.log.key)
    other = Node(clock, writer.log.key)
    copy_log(writer, other, [])
    feeding = Wire(writer, other)
    other.replicator.want_range(0, 2000)
    run([feeding], clock)
    wires = [Wire(writer, reader), Wire(other, reader)]
    wish = reader.replicator.want_range(0, 2000)
    run(wires, clock, dice=random.Random(1))
    assert wish.done()
    assert sorted(reader.blocks_downloaded) == list(range(2000))
    assert all(len(wire.sent_by(0, DATA)) > 200 for wire in wires)


async def test_a_peer_that_stalls_is_not_waited_for() -> None:
    clock = Clock()
    writer = Node(clock)
    writer.append(30)
    other = Node(clock, writer.log.key)
    copy_log(writer, other, list(range(30)))
    reader = Node(clock, writer.log.key)
    stalled, lively = Wire(writer, reader), Wire(other, reader)
    run([stalled, lively], clock)
    wishes = [reader.replicator.want_block(index) for index in range(30)]
    run([lively], clock)
    assert not all(wish.done() for wish in wishes)
    run([lively], clock, seconds=2)
    assert all(wish.done() for wish in wishes)
    # The stalled peer hears that it need not answer any more.
    assert stalled.sent_by(1, CANCEL)
    assert sorted(reader.blocks_downloaded) == list(range(30))


async def test_an_upgrade_that_is_not_answered_is_asked_of_another() -> None:
    clock = Clock()
    writer = Node(clock)
    writer.append(3)
    other, reader = Node(clock, writer.log.key), Node(clock, writer.log.key)
    for node in (other, reader):
        copy_log(writer, node, [])
    stalled = Wire(writer, reader)
    run([stalled], clock)
    writer.append(1)
    writer.turn()
    stalled.carry(0)
    assert len(requests_of(stalled)) == 1
    feeding = Wire(writer, other)
    run([feeding], clock)
    lively = Wire(other, reader)
    run([lively], clock)
    assert reader.log.length == 3
    run([lively], clock, seconds=7)
    assert reader.log.length == 4


async def test_what_was_asked_of_a_lost_peer_is_asked_of_another() -> None:
    clock = Clock()
    writer = Node(clock)
    writer.append(30)
    other = Node(clock, writer.log.key)
    copy_log(writer, other, list(range(30)))
    reader = Node(clock, writer.log.key)
    first = Wire(writer, reader)
    run([first], clock)
    wish = reader.replicator.want_range(0, 30)
    second = Wire(other, reader)
    run([second], clock)
    assert not wish.done()
    first.close()
    run([second], clock)
    assert wish.done()
