"""Forks, conflicts, liars and pushed blocks: what a reader believes, and whom it leaves alone."""

from __future__ import annotations

import gc

import pytest

from core.hypercore.proof_types import BlockProof, Proof, ProofRequest, UpgradeRequest
from core.limits import MAX_EXTENSION_NAME
from core.replication import receiver
from core.replication.messages import (
    DATA,
    NO_DATA,
    REQUEST,
    Sync,
    decode_request,
    encode_data,
    encode_extension,
    encode_no_data,
    encode_sync,
)
from tests.support.replication import (
    READER,
    WRITER,
    Clock,
    Node,
    Wire,
    block,
    pair,
    requests_of,
    run,
)

pytestmark = pytest.mark.anyio


async def test_a_truncation_is_followed_and_shared_blocks_are_kept() -> None:
    clock, writer, reader, wire = pair(100)
    reader.replicator.want_range(0, 100)
    run([wire], clock)
    writer.log.truncate(60)
    writer.log.append([b"another %d" % number for number in range(60)])
    run([wire], clock)
    assert (reader.log.length, reader.log.fork, reader.log.contiguous_length) == (120, 1, 60)
    assert ("truncated", 60, 1) in reader.events


async def test_forks_are_not_followed_when_that_is_switched_off() -> None:
    clock, writer, reader, wire = pair(8, allow_fork=False)
    writer.log.truncate(3)
    writer.append(9)
    run([wire], clock)
    assert (reader.log.length, reader.log.fork) == (8, 0)


async def test_an_invented_fork_number_harms_nobody() -> None:
    clock, writer, reader, wire = pair(8)
    for fork in range(5, 100):
        sync = Sync(fork, 1000, 0, False, True, True, True, False)
        reader.replicator.open_peers[0]._on_sync(encode_sync(sync), 0)
    assert len(reader.replicator.forks.wishes) == 1
    wire.queues[READER].clear()
    second = Wire(writer, reader)
    writer.log.truncate(5)
    writer.append(2)
    run([second], clock)
    assert (reader.log.length, reader.log.fork) == (7, 1)


async def test_two_signed_trees_freeze_the_log_on_both_sides() -> None:
    clock = Clock()
    left, right = Node(clock), Node(clock)
    left.log.append([b"one", b"two", b"three"])
    right.log.append([b"one", b"two", b"other", b"four"])
    wire = Wire(left, right)
    run([wire], clock)
    for node in (left, right):
        assert node.log.frozen
        assert [event[1:3] for event in node.events if event[0] == "conflicted"] == [(3, 0)]
        assert node.replicator.open_peers == []
    assert all(list(mux.channels) == [] for mux in wire.muxes)
    # A frozen log stays out of it.
    wire.nodes[0].replicator.open_everywhere()
    assert list(wire.muxes[0].channels) == []


async def test_a_liar_is_left_alone_and_the_log_is_not_frozen() -> None:
    """A peer that sends a false block is asked to prove its tree, which is the same as ours."""
    clock, writer, reader, wire = pair(30)
    wish = reader.replicator.want_block(7)
    request = requests_of(wire)[-1]
    proof = writer.log.create_proof(request.parts)
    assert proof.block is not None
    proof.block.value = b"forged"
    wire.queues[READER].clear()
    (peer,) = writer.replicator.open_peers
    peer.channel.send(DATA, encode_data(request.id, proof))
    run([wire], clock)
    assert [event[0] for event in reader.events].count("verification-error") == 1
    # The proof of its tree came too, so it is believed again, and asked again.
    assert len(wire.sent_by(READER, REQUEST)) == 4
    assert decode_request(wire.sent_by(READER, REQUEST)[2], 0).id == 0
    assert wish.done()
    assert reader.log.block(7) == block(7)
    assert not reader.log.frozen


async def test_a_stubborn_liar_is_disconnected() -> None:
    _, writer, reader, wire = pair(30)
    reader.replicator.want_block(7)
    honest = writer.log.create_proof(ProofRequest(upgrade=UpgradeRequest(0, 30)))
    (peer,) = writer.replicator.open_peers
    for _ in range(40):
        asked = [request for request in requests_of(wire) if request.parts.block is not None]
        proof = writer.log.create_proof(ProofRequest(block=asked[-1].parts.block))
        assert proof.block is not None
        proof.block.value = b"forged"
        wire.queues[READER].clear()
        peer.channel.send(DATA, encode_data(asked[-1].id, proof))
        peer.channel.send(DATA, encode_data(0, honest))  # which makes the reader trust it again
        wire.carry(WRITER)
    assert "proofs that do not hold" in str(wire.error)
    assert not reader.log.frozen
    # Nothing is left behind by the connection.
    assert len(reader.replicator.table) == 0
    assert reader.replicator.outbox.asked == {}


async def test_an_answer_that_was_not_asked_for_is_refused() -> None:
    clock, writer, reader, wire = pair(30)
    wish = reader.replicator.want_block(7)
    request = requests_of(wire)[-1]
    proof = writer.log.create_proof(ProofRequest(block=request.parts.block))
    assert proof.block is not None
    other = Proof(proof.fork, BlockProof(8, block(8), proof.block.nodes))
    wire.queues[READER].clear()
    writer.replicator.open_peers[0].channel.send(DATA, encode_data(request.id, other))
    run([wire], clock)
    assert wish.done()  # asked again
    assert not reader.log.has(8)


async def test_a_peer_that_always_refuses_is_left_alone() -> None:
    _clock, writer, reader, wire = pair(30)
    wish = reader.replicator.want_block(7)
    (theirs,) = writer.replicator.open_peers
    for _ in range(40):
        run_until = requests_of(wire)[-1].id
        wire.queues[READER].clear()
        theirs.channel.send(NO_DATA, encode_no_data(run_until, 1))
        wire.carry(WRITER)
    (peer,) = reader.replicator.open_peers
    assert peer.paused
    assert len(requests_of(wire)) <= 34
    assert not wish.done()


async def test_a_peer_that_holds_one_answer_back_cannot_fill_the_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Later answers wait unchecked for the nodes of the one held back, and may be larger than any block of the log."""
    monkeypatch.setattr(receiver, "MAX_PARKED_BYTES", 100_000)
    clock, writer, reader, wire = pair(64)
    reader.replicator.want_range(0, 64)
    (theirs,) = writer.replicator.open_peers
    (ours,) = reader.replicator.open_peers
    largest = 0
    for _ in range(40):
        wire.queues[READER].clear()
        table = reader.replicator.table
        request = next(one for one in table if one.depends_on and not one.depends_on.settled)
        proof = Proof(0, BlockProof(request.index, bytes(20_000), []))
        theirs.channel.send(DATA, encode_data(request.id, proof))
        del proof
        wire.carry(WRITER)
        held = [proof.block for proof in gc.get_objects() if isinstance(proof, Proof)]
        largest = max(largest, sum(len(kept.value) for kept in held if kept is not None))
    assert 50_000 < largest <= 100_000
    wire.close()
    assert ours.parked_bytes == 0
    run([Wire(writer, reader)], clock)
    assert reader.log.contiguous_length == 64  # from an honest peer


async def test_push() -> None:
    clock, writer, reader, wire = pair(3, allow_push=True, push_only=True)
    assert reader.log.length == 0
    assert writer.replicator.push(2) == 1
    run([wire], clock)
    assert (reader.log.length, reader.log.block(2)) == (3, block(2))
    writer.append(2)
    assert writer.replicator.push(3) == 1
    assert writer.replicator.push(4) == 1
    run([wire], clock)
    assert (reader.log.length, reader.log.has(3), reader.log.has(4)) == (5, True, True)
    assert requests_of(wire) == []


async def test_a_pushed_upgrade_and_an_asked_one_fit_together() -> None:
    clock, writer, reader, wire = pair(3, allow_push=True)
    assert reader.log.length == 3
    writer.append(2)
    writer.turn()
    wire.carry(WRITER)  # the reader asks for the upgrade ...
    writer.replicator.push(4)  # ... which is pushed before the request arrives
    run([wire], clock)
    assert (reader.log.length, reader.log.has(4)) == (5, True)
    assert not reader.replicator.open_peers[0].paused


async def test_without_leave_nothing_is_pushed() -> None:
    _, writer, reader, wire = pair(3)
    assert writer.replicator.push(1) == 0
    reader.replicator.set_allow_push(True)
    run([wire], Clock())
    assert writer.replicator.push(1) == 1


async def test_a_forced_block_is_asked_for_in_push_only() -> None:
    clock, writer, reader, wire = pair(3, allow_push=True, push_only=True)
    writer.replicator.push(0)
    run([wire], clock)
    plain, forced = reader.replicator.want_block(1), reader.replicator.want_block(2, force=True)
    run([wire], clock)
    assert (plain.done(), forced.done()) == (False, True)


async def test_an_endless_extension_name_is_not_kept() -> None:
    _clock, _writer, reader, _wire = pair(1)
    heard: list[bytes] = []
    reader.replicator.register_extension("notes", lambda body, _peer: heard.append(body))
    peer = reader.replicator.open_peers[0]
    peer._on_extension(encode_extension("x" * 1_000_000, b"one"), 0)
    assert len(peer._last_extension_received) <= MAX_EXTENSION_NAME
    peer._on_extension(encode_extension("", b"two"), 0)
    peer._on_extension(encode_extension("notes", b"\x05three"), 0)
    peer._on_extension(encode_extension("", b"\x04four"), 0)
    assert len(heard) == 2
