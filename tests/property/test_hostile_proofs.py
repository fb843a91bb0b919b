"""Strangers: altered proofs, invented proofs, invented requests.

Whatever arrives, checking it either raises an `IntegrityError` (or, before that, a `DecodingError`) or leaves the
reader with nothing but nodes and blocks of the writer. Nothing takes longer than its message is long.
"""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from core.crypto.hashing import Node
from core.errors import DecodingError, IntegrityError, InvalidOperation
from core.hypercore.flat_tree import parent, sibling
from core.hypercore.manifest import decode_manifest, encode_manifest
from core.hypercore.merkle import missing_nodes
from core.hypercore.proof import (
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
    verify_detached,
)
from core.hypercore.reorg import Reorg
from core.hypercore.signatures import decode_signatures, verify_signature
from core.limits import MAX_SAFE_INTEGER
from core.replication.messages import decode_data, encode_data
from tests.support.trees import DictTree, fixture_writer

FULL = fixture_writer(33)
EARLIER = fixture_writer(21)
KINDS = (
    "block",
    "hash",
    "seek",
    "upgrade",
    "upgrade and new block",
    "upgrade and old block",
    "first upgrade",
)

uints = st.one_of(st.integers(0, 100), st.integers(0, MAX_SAFE_INTEGER))
hashes = st.binary(min_size=32, max_size=32)
nodes = st.tuples(uints, uints, hashes)


def reader_at_21() -> DictTree:
    """Holds the roots of 21 blocks, and block 13 with its path."""
    reader = FULL.reader()
    reader.receive(EARLIER.prove(ProofRequest(upgrade=UpgradeRequest(0, 21))))
    reader.receive(EARLIER.prove(ProofRequest(block=BlockRequest(13, missing_nodes(reader, 26)))))
    return reader


READER = reader_at_21()


def assert_harmless(reader: DictTree) -> None:
    """Everything it holds is the writer's, and its length is one that the writer signed."""
    assert all(FULL.nodes[index] == node for index, node in reader.nodes.items())
    assert all(FULL.blocks[index] == block for index, block in reader.blocks.items())
    assert reader.length in (0, 21, 33)


def honest(kind: str, number: int) -> tuple[DictTree, Proof]:
    """A reader, and an answer that it would accept."""
    reader = READER.copy()
    upgrade = UpgradeRequest(21, 12)
    if kind == "block":
        index = number % 21
        request = ProofRequest(block=BlockRequest(index, missing_nodes(reader, 2 * index)))
    elif kind == "hash":
        request = ProofRequest(hash=HashRequest(5, missing_nodes(reader, 5)))
    elif kind == "seek":
        request = ProofRequest(hash=HashRequest(0, 3), seek=SeekRequest(1 + number % 30))
    elif kind == "upgrade":
        request = ProofRequest(upgrade=UpgradeRequest(21, 1 + number % 12))
    elif kind == "upgrade and new block":
        request = ProofRequest(block=BlockRequest(21 + number % 12, 0), upgrade=upgrade)
    elif kind == "upgrade and old block":
        index = number % 16
        levels = missing_nodes(reader, 2 * index)
        request = ProofRequest(block=BlockRequest(index, levels), upgrade=upgrade)
    else:
        reader = FULL.reader(knows_manifest=False)
        request = ProofRequest(upgrade=UpgradeRequest(0, 33), manifest=True)
    return reader, FULL.prove(request)


@pytest.mark.parametrize("number", [3, 17])
@pytest.mark.parametrize("kind", KINDS)
def test_no_flipped_bit_does_harm(kind: str, number: int) -> None:
    """Every bit of the message, one at a time."""
    untouched, proof = honest(kind, number)
    message = encode_data(1, proof)
    refused = 0
    for position in range(8 * len(message)):
        altered = bytearray(message)
        altered[position >> 3] ^= 1 << (position & 7)
        reader = untouched.copy()
        try:
            reader.receive(decode_data(bytes(altered), 0)[1])
        except (IntegrityError, DecodingError):
            refused += 1
        assert_harmless(reader)
    # What is left are the request id, what only echoes the request, and flags that ask for less.
    assert refused > 0.9 * 8 * len(message)


@pytest.mark.parametrize("kind", KINDS)
@given(number=st.integers(0, 40))
def test_the_unaltered_proof_is_accepted(kind: str, number: int) -> None:
    reader, proof = honest(kind, number)
    _, decoded = decode_data(encode_data(1, proof), 0)
    reader.receive(decoded)
    assert_harmless(reader)


@st.composite
def climbs(draw: st.DrawFn) -> tuple[int, list[Node]]:
    """A node and siblings of it and its ancestors: indexes that fit, sizes and hashes that are invented."""
    index = start = draw(uints)
    path = []
    for _ in range(draw(st.integers(0, 60))):
        path.append((sibling(index), draw(uints), draw(hashes)))
        index = parent(index)
    return start, path


@st.composite
def invented_proofs(draw: st.DrawFn) -> Proof:
    proof = Proof(draw(st.integers(0, 2)))
    lists = st.one_of(st.lists(nodes, max_size=5), climbs().map(lambda climb: climb[1]))
    if draw(st.booleans()):
        start, path = draw(climbs())
        proof.block = BlockProof(start // 2, draw(st.binary(max_size=40)), path)
    elif draw(st.booleans()):
        start, path = draw(climbs())
        proof.hash = HashProof(start, [(start, draw(uints), draw(hashes)), *path])
    if draw(st.booleans()):
        start, path = draw(climbs())
        proof.seek = SeekProof(draw(uints), [(start, draw(uints), draw(hashes)), *path])
    if draw(st.booleans()):
        signature = draw(st.one_of(st.none(), st.just(FULL.signature), st.binary(max_size=80)))
        proof.upgrade = UpgradeProof(draw(uints), draw(uints), draw(lists), draw(lists), signature)
    if draw(st.booleans()):
        proof.manifest = FULL.manifest
    return proof


@given(invented_proofs())
@example(Proof(0, upgrade=UpgradeProof(0, 0, [], [(0, 1, bytes(32))], None)))
@example(Proof(0, upgrade=UpgradeProof(0, MAX_SAFE_INTEGER, [], [], b"")))
@example(Proof(0, upgrade=UpgradeProof(21, 0, [], [(42, MAX_SAFE_INTEGER, bytes(32))], b"x")))
def test_invented_proofs_are_refused_or_harmless(proof: Proof) -> None:
    for reader in (READER.copy(), FULL.reader(knows_manifest=False)):
        with contextlib.suppress(IntegrityError):
            reader.receive(proof)
        assert_harmless(reader)
        with contextlib.suppress(IntegrityError):
            verify_detached(proof, key=reader.key, manifest=reader.manifest)
        with contextlib.suppress(IntegrityError):
            Reorg.begin(reader, proof, key=reader.key, manifest=reader.manifest)


def test_sizes_that_no_log_can_have_are_refused() -> None:
    """A million leaves of 2^53 bytes would overflow what a hash covers; the third one is refused."""
    more = [(2 * index, MAX_SAFE_INTEGER, bytes(32)) for index in range(21, 1000)]
    proof = Proof(0, upgrade=UpgradeProof(21, 0, [], more, FULL.signature))
    with pytest.raises(InvalidOperation, match="2\\^53 bytes"):
        READER.copy().receive(proof)


@st.composite
def invented_requests(draw: st.DrawFn) -> ProofRequest:
    def maybe(strategy: st.SearchStrategy[object]) -> object:
        return draw(st.one_of(st.none(), strategy))

    return ProofRequest(
        block=maybe(st.builds(BlockRequest, uints, uints)),
        hash=maybe(st.builds(HashRequest, uints, uints)),
        seek=maybe(st.builds(SeekRequest, uints, uints)),
        upgrade=maybe(st.builds(UpgradeRequest, uints, uints)),
        manifest=draw(st.booleans()),
    )


@given(invented_requests())
@example(ProofRequest(block=BlockRequest(0, MAX_SAFE_INTEGER)))
@example(ProofRequest(hash=HashRequest(MAX_SAFE_INTEGER, MAX_SAFE_INTEGER)))
@example(ProofRequest(seek=SeekRequest(MAX_SAFE_INTEGER, MAX_SAFE_INTEGER), upgrade=UpgradeRequest(0, 1)))
def test_invented_requests_are_answered_or_refused(request: ProofRequest) -> None:
    for sender in (FULL, READER, FULL.reader()):
        with contextlib.suppress(InvalidOperation):
            assert encode_data(1, sender.prove(request))


@given(st.binary(max_size=300))
def test_no_bytes_break_the_decoders(data: bytes) -> None:
    for version in (0, 1):
        with contextlib.suppress(DecodingError):
            decode_signatures(data, version)
    with contextlib.suppress(DecodingError):
        manifest, end = decode_manifest(data)
        assert decode_manifest(encode_manifest(manifest)) == (manifest, len(encode_manifest(manifest)))
        assert end <= len(data)


@given(st.binary(max_size=200))
def test_no_bytes_are_a_signature(data: bytes) -> None:
    assert not verify_signature(FULL.manifest, FULL.key, FULL.roots, 33, 0, data)
