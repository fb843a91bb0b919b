"""Whatever a stranger writes on a log's channel: it is understood, or it ends that connection. Nothing else happens."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import RemoteProtocolError
from core.hypercore.proof_types import (
    BlockProof,
    BlockRequest,
    HashProof,
    HashRequest,
    Proof,
    ProofRequest,
    SeekProof,
    SeekRequest,
    UpgradeProof,
    UpgradeRequest,
)
from core.limits import MAX_PENDING_REQUESTS, MAX_SAFE_INTEGER, MAX_WANTS
from core.replication import messages
from core.replication.availability import MAX_PAGES
from core.replication.messages import Request, Sync, Want
from tests.support.replication import Clock, Node, Wire, block, copy_log, run

pytestmark = pytest.mark.anyio

small = st.integers(0, 40)
number = st.one_of(
    small,
    st.sampled_from([252, 253, 65535, 2**21, 2**32, MAX_SAFE_INTEGER]),
    st.integers(0, MAX_SAFE_INTEGER),
)
node = st.tuples(number, number, st.binary(min_size=32, max_size=32))
nodes = st.lists(node, max_size=4)


def maybe(strategy: st.SearchStrategy[object]) -> st.SearchStrategy[object]:
    return st.none() | strategy


requests = st.builds(
    Request,
    number,
    small,
    st.builds(
        ProofRequest,
        maybe(st.builds(BlockRequest, number, number)),
        maybe(st.builds(HashRequest, number, number)),
        maybe(st.builds(SeekRequest, number, number)),
        maybe(st.builds(UpgradeRequest, number, number)),
        st.booleans(),
    ),
    small,
)
proofs = st.builds(
    Proof,
    small,
    maybe(st.builds(BlockProof, number, st.binary(max_size=20), nodes)),
    maybe(st.builds(HashProof, number, nodes)),
    maybe(st.builds(SeekProof, number, nodes)),
    maybe(st.builds(UpgradeProof, number, number, nodes, nodes, st.binary(max_size=70))),
)
syncs = st.builds(
    Sync, small, number, number, st.booleans(), st.booleans(), st.booleans(), st.booleans(), st.booleans()
)

# (message type, body): well-formed but arbitrary, or not even that.
hostile_messages = st.one_of(
    st.tuples(st.integers(0, 10), st.binary(max_size=60)),
    st.tuples(st.just(messages.SYNC), syncs.map(messages.encode_sync)),
    st.tuples(st.just(messages.REQUEST), requests.map(messages.encode_request)),
    st.tuples(st.just(messages.CANCEL), number.map(messages.encode_cancel)),
    st.tuples(st.just(messages.DATA), st.builds(messages.encode_data, small, proofs)),
    st.tuples(st.just(messages.NO_DATA), st.builds(messages.encode_no_data, small, small)),
    st.tuples(
        st.just(messages.WANT),
        st.builds(messages.encode_want, st.builds(Want, number, number, st.booleans())),
    ),
    st.tuples(
        st.just(messages.UNWANT),
        st.builds(messages.encode_want, st.builds(Want, number, number, st.booleans())),
    ),
    st.tuples(
        st.just(messages.BITFIELD),
        st.builds(
            lambda start, words: messages.encode_bitfield(start, words * 4), number, st.binary(max_size=20)
        ),
    ),
    st.tuples(
        st.just(messages.RANGE),
        st.builds(
            lambda start, length, drop: messages.encode_range(start, length, drop=drop),
            number,
            number,
            st.booleans(),
        ),
    ),
    st.tuples(
        st.just(messages.EXTENSION),
        st.builds(messages.encode_extension, st.sampled_from(["", "x"]), st.binary(max_size=9)),
    ),
)


@settings(max_examples=150, deadline=None)
@given(bodies=st.lists(hostile_messages, max_size=30), blocks=st.integers(0, 20), writes=st.booleans())
async def test_garbage_is_understood_or_ends_the_connection(
    bodies: list[tuple[int, bytes]], blocks: int, writes: bool
) -> None:
    clock = Clock()
    writer = Node(clock)
    if blocks:
        writer.append(blocks)
    reader = Node(clock, writer.log.key)
    if blocks:
        copy_log(writer, reader, [0])
    victim, stranger = (writer, reader) if writes else (reader, writer)
    victim.replicator.want_range(0, -1)
    victim.replicator.want_block(3)
    victim.replicator.want_seek(50, 0)
    victim.replicator.register_extension("x", lambda message, peer: None)
    before = (
        victim.log.length,
        victim.log.fork,
        victim.log.tree_hash(),
        [victim.log.block(i) for i in range(blocks)],
    )
    wire = Wire(stranger, victim)
    wire.carry(0)
    wire.carry(1)
    (theirs,) = stranger.replicator.open_peers
    wire.queues[0].clear()
    for type, body in bodies:
        theirs.channel.send(type, body)
        # Only `RemoteProtocolError` may come out (`carry` takes it as the end of the connection).
        wire.carry(0)
        clock.advance(0.3)
        wire.queues[1].clear()
    assert wire.error is None or isinstance(wire.error, RemoteProtocolError)
    # Not one byte was believed.
    after = (
        victim.log.length,
        victim.log.fork,
        victim.log.tree_hash(),
        [victim.log.block(i) for i in range(blocks)],
    )
    assert after == before
    assert not victim.log.frozen
    for peer in victim.replicator.open_peers:
        assert len(peer.uploader.pending) <= MAX_PENDING_REQUESTS
        assert len(peer.holdings.local_wants) <= MAX_WANTS
        assert len(peer.holdings.available._pages) <= MAX_PAGES
    # Another peer is served as ever.
    fresh = Node(clock, writer.log.key)
    other = Wire(writer, fresh)
    if not writes:
        return
    wish = fresh.replicator.want_range(0, blocks)
    run([other], clock)
    assert wish.done()
    assert [fresh.log.block(index) for index in range(blocks)] == [block(index) for index in range(blocks)]


async def test_unanswered_requests_are_bounded() -> None:
    clock = Clock()
    writer = Node(clock)
    writer.append(3)
    wire = Wire(writer, Node(clock, writer.log.key))
    run([wire], clock)
    wire.muxes[0].set_drained(False)
    (theirs,) = wire.nodes[1].replicator.open_peers
    for request_id in range(1, MAX_PENDING_REQUESTS + 2):
        request = Request(request_id, 0, ProofRequest(block=BlockRequest(0, 0)))
        theirs.channel.send(messages.REQUEST, messages.encode_request(request))
    wire.carry(1)
    assert wire.error is not None


async def test_withdrawing_and_asking_for_ever_keeps_nothing() -> None:
    clock = Clock()
    writer = Node(clock)
    writer.append(3)
    wire = Wire(writer, Node(clock, writer.log.key))
    run([wire], clock)
    wire.muxes[0].set_drained(False)
    (theirs,) = wire.nodes[1].replicator.open_peers
    (ours,) = writer.replicator.open_peers
    for _ in range(5 * MAX_PENDING_REQUESTS):
        request = Request(1, 0, ProofRequest(block=BlockRequest(0, 0)))
        theirs.channel.send(messages.REQUEST, messages.encode_request(request))
        theirs.channel.send(messages.CANCEL, messages.encode_cancel(1))
    wire.carry(1)
    assert wire.error is None
    assert ours.uploader.pending == {}
    assert len(ours.uploader._waiting) <= 2 * MAX_PENDING_REQUESTS + 1


async def test_wants_that_nobody_reads_the_answers_of_are_bounded() -> None:
    clock = Clock()
    writer = Node(clock)
    writer.append(3)
    writer.log.clear(1, 2)
    wire = Wire(writer, Node(clock, writer.log.key))
    run([wire], clock)
    wire.muxes[0].set_drained(False)
    (theirs,) = wire.nodes[1].replicator.open_peers
    for _ in range(MAX_WANTS + 1):
        theirs.channel.send(messages.WANT, messages.encode_want(Want(0, 2**21)))
    wire.carry(1)
    assert wire.error is not None


async def test_a_log_of_absurd_length_costs_nothing() -> None:
    """Its author can sign any length. Claims and wants about it stay within their bounds."""
    clock = Clock()
    writer = Node(clock)
    writer.append(3)
    reader = Node(clock, writer.log.key)
    wire = Wire(writer, reader)
    run([wire], clock)
    (theirs,) = writer.replicator.open_peers
    reader.log.length = 2**50
    theirs.channel.send(
        messages.SYNC, messages.encode_sync(Sync(0, 2**50, 2**50, False, True, True, True, False))
    )
    theirs.channel.send(messages.RANGE, messages.encode_range(5, 2**50))
    theirs.channel.send(messages.RANGE, messages.encode_range(5, 2**49, drop=True))
    theirs.channel.send(messages.RANGE, messages.encode_range(7, 2**50))
    wire.carry(0)
    reader.replicator.want_range(2**40, 2**50)
    (ours,) = reader.replicator.open_peers
    assert len(ours.holdings.available._pages) <= MAX_PAGES
    assert len(ours.holdings.local_wants) <= MAX_WANTS


async def test_a_wrong_capability_ends_the_connection() -> None:
    clock = Clock()
    writer = Node(clock)
    wire = Wire(writer, Node(clock, writer.log.key), attach=False)
    wire.muxes[1].create_channel(
        messages.PROTOCOL, writer.log.discovery_key, handshake=messages.encode_handshake(bytes(32))
    )
    writer.replicator.attach(wire.muxes[0])
    wire.carry(1)
    assert "knows its key" in str(wire.error)
