"""The serving side, and when a channel is there at all."""

from __future__ import annotations

import asyncio

import pytest

from core.crypto.keys import key_pair
from core.hypercore.manifest import Signer, create_manifest, manifest_key
from core.hypercore.proof_types import ProofRequest, UpgradeRequest
from core.replication.messages import (
    DATA,
    NO_DATA,
    RANGE,
    REQUEST,
    SYNC,
    UNWANT,
    Request,
    decode_data,
    decode_no_data,
    decode_range,
    decode_sync,
    encode_request,
)
from tests.support.replication import (
    READER,
    SEED_1,
    WRITER,
    Clock,
    Node,
    Wire,
    pair,
    run,
)

pytestmark = pytest.mark.anyio


async def test_requests_wait_for_a_connection_that_is_full() -> None:
    clock, _writer, reader, wire = pair(30)
    mux = wire.muxes[WRITER]
    mux.set_drained(False)
    for index in range(5):
        reader.replicator.want_range(index, index + 1)
    reader.replicator.want_block(20)
    reader.replicator.want_block(21).cancel()
    await asyncio.sleep(0)
    run([wire], clock)
    assert wire.sent_by(WRITER, DATA)[1:] == []
    mux.set_drained(True)
    run([wire], clock)
    answered = [decode_data(body, 0)[1].block.index for body in wire.sent_by(WRITER, DATA)[1:]]  # type: ignore[union-attr]
    assert answered == [20, 0, 1, 2, 3, 4]


async def test_answers_of_one_turn_are_bounded() -> None:
    clock = Clock()
    writer = Node(clock)
    writer.log.append([bytes(1024 * 1024)] * 16)
    reader = Node(clock, writer.log.key)
    wire = Wire(writer, reader)
    run([wire], clock)
    reader.replicator.want_range(0, 16)
    wire.carry(READER)
    sent = sum(len(frame) for frame in wire.queues[WRITER])
    assert 4 * 1024 * 1024 <= sent < 6 * 1024 * 1024
    run([wire], clock)
    assert reader.log.contiguous_length == 16


async def test_unprovable_requests_are_refused_after_a_while_and_end_the_connection() -> None:
    clock, _writer, reader, wire = pair(30)
    (peer,) = reader.replicator.open_peers
    impossible = ProofRequest(upgrade=UpgradeRequest(0, 31))
    peer.channel.send(REQUEST, encode_request(Request(9, 0, impossible)))
    run([wire], clock)
    assert wire.sent_by(WRITER, NO_DATA) == []
    run([wire], clock, seconds=0.5)
    assert [decode_no_data(body, 0) for body in wire.sent_by(WRITER, NO_DATA)] == [(9, 2)]
    for number in range(63):
        peer.channel.send(REQUEST, encode_request(Request(10 + number, 0, impossible)))
    run([wire], clock)
    assert wire.error is not None


async def test_requests_about_another_fork_are_refused_without_blame() -> None:
    clock, writer, reader, wire = pair(30)
    reader.replicator.want_range(0, 30)
    writer.log.truncate(20)
    writer.append(20)
    run([wire], clock)
    assert (reader.log.fork, reader.log.contiguous_length) == (1, 30)
    assert {decode_no_data(body, 0)[1] for body in wire.sent_by(WRITER, NO_DATA)} <= {0}
    assert not reader.replicator.open_peers[0].paused


async def test_a_cleared_block_is_dropped_in_the_readers_eyes() -> None:
    clock, writer, reader, wire = pair(6)
    writer.log.clear(2, 4)
    run([wire], clock)
    assert [decode_range(body, 0) for body in wire.sent_by(WRITER, RANGE)][-1] == (2, 2, True)
    wish = reader.replicator.want_block(2)
    others = reader.replicator.want_range(4, 6)
    run([wire], clock)
    assert (wish.done(), others.done()) == (False, True)


async def test_a_channel_that_nobody_needs_is_closed_and_opened_again() -> None:
    clock, writer, reader, wire = pair(3)
    reader.replicator.set_downloading(False)
    run([wire], clock)
    assert decode_sync(wire.sent_by(READER, SYNC)[-1], 0).downloading is False
    assert len(reader.replicator.open_peers) == 1
    writer.replicator.set_downloading(False)
    run([wire], clock)
    assert reader.replicator.open_peers == writer.replicator.open_peers == []
    assert writer.replicator.idle
    writer.append(1)
    reader.replicator.set_downloading(True)
    run([wire], clock)
    assert reader.log.length == 4


async def test_the_wish_for_a_log_lingers() -> None:
    clock, _writer, reader, wire = pair(3)
    reader.replicator.options.linger = None
    syncs = len(wire.sent_by(READER, SYNC))
    reader.replicator.set_downloading(False)
    run([wire], clock)
    clock.advance(19)
    reader.replicator.set_downloading(True)
    reader.replicator.set_downloading(False)
    clock.advance(19)
    run([wire], clock)
    assert len(wire.sent_by(READER, SYNC)) == syncs
    clock.advance(22)
    run([wire], clock)
    assert decode_sync(wire.sent_by(READER, SYNC)[-1], 0).downloading is False


async def test_answers_that_are_due_keep_the_channel() -> None:
    clock, writer, reader, wire = pair(3)
    reader.replicator.want_range(0, 3)
    reader.replicator.set_downloading(False)
    writer.replicator.set_downloading(False)
    run([wire], clock)
    assert reader.log.contiguous_length == 3
    assert reader.replicator.open_peers == []


async def test_another_log_of_the_connection_is_rejected() -> None:
    clock = Clock()
    pairs = [key_pair(SEED_1), key_pair(bytes([2]) * 32)]
    manifests = [create_manifest(signers=[Signer(each.public_key)]) for each in pairs]
    left, right = (
        Node(clock, manifest_key(manifest), pair=each, manifest=manifest)
        for each, manifest in zip(pairs, manifests, strict=True)
    )
    wire = Wire(left, right)
    run([wire], clock)
    assert left.replicator.open_peers == right.replicator.open_peers == []
    assert wire.error is None
    assert all(list(mux.channels) == [] for mux in wire.muxes)


async def test_wants_are_taken_back_when_their_room_is_needed() -> None:
    _, _, reader, wire = pair(3)
    (peer,) = reader.replicator.open_peers
    wishes = [object() for _ in range(600)]
    for number, wish in enumerate(wishes):
        peer.holdings.want((number + 1) << 21, wish)
        if number == 100:
            for done in wishes[:50]:
                peer.holdings.local_wants.release(done)
    assert len(peer.holdings.local_wants) == 512
    assert len(wire.sent_by(READER, UNWANT)) == 50
