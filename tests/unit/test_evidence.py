"""Proof files: every kind proves what it says, and nothing that was spoiled proves anything else."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from core.errors import BlockNotAvailable, DecodingError, MeadowError, RemoteProtocolError
from core.evidence.file import decode_file
from core.peer import (
    Finding,
    Kind,
    Peer,
    ProofFile,
    check_file,
    encode_file,
    prove_history,
    prove_lookup,
    prove_record,
)
from tests.support.evidence import a_bee, conflict, files_of, spoiled

pytestmark = pytest.mark.anyio


@pytest.fixture
async def bee() -> AsyncIterator[Any]:
    peer = await Peer.open(None)
    try:
        yield await a_bee(peer)
    finally:
        await peer.close()


def found(file: ProofFile) -> Finding:
    return check_file(encode_file(file))


async def test_a_record_is_proved_in_a_kilobyte(bee: Any) -> None:
    data = encode_file(prove_record(bee.core, 50))
    assert 500 < len(data) < 1_300
    shown = check_file(data)
    entry = await bee.get_by_seq(50)
    assert (shown.key, shown.subject) == (bee.core.key, b"post/0049")
    assert [(version.seq, version.value) for version in shown.versions] == [(50, entry.value)]
    assert (shown.length, shown.fork) == (bee.core.length, 0)


async def test_every_block_and_length_can_be_proved() -> None:
    peer = await Peer.open(None)
    bee = peer.bee(name="main", key_encoding="binary", value_encoding="binary")
    for n in range(1, 40):
        await bee.put(b"k%02d" % (n % 11), b"v%d" % n)
        for seq in range(1, bee.core.length):
            shown = found(prove_record(bee.core, seq))
            assert (shown.versions[0].seq, shown.length) == (seq, bee.core.length)
            earlier = found(prove_record(bee.core, seq, at_length=seq + 1))
            assert (earlier.at_length, earlier.at_hash) == (seq + 1, bee.core.tree_hash(seq + 1))
    for seqs in ([1, 39], [5, 6, 7], [39], [2, 13, 24, 35]):
        subject = (await bee.get_by_seq(seqs[0])).key
        if all([(await bee.get_by_seq(seq)).key == subject for seq in seqs]):
            assert [
                version.seq for version in found(prove_history(bee.core, subject, seqs)).versions
            ] == sorted(seqs, reverse=True)
    await peer.close()


async def test_a_lookup_says_what_the_bee_says(bee: Any) -> None:
    for n in range(130):
        key = b"post/%04d" % n
        shown = found(await prove_lookup(bee.core, key, timeout=1))
        entry = await bee.get(key)
        if entry is None:
            assert shown.is_absent
        else:
            assert [(version.seq, version.value) for version in shown.versions] == [(entry.seq, entry.value)]
    assert n > 120


async def test_the_empty_bee_and_a_null(bee: Any) -> None:
    peer = await Peer.open(None)
    empty = peer.bee(name="empty", key_encoding="binary", value_encoding="binary")
    with pytest.raises(BlockNotAvailable):
        await prove_lookup(empty.core, b"x", timeout=1)
    await empty.put(b"null", None)
    assert found(await prove_lookup(empty.core, b"null", timeout=1)).versions[0].value == b""
    assert found(prove_record(empty.core, 1)).versions[0].value == b""
    await empty.delete(b"null")
    assert found(await prove_lookup(empty.core, b"null", timeout=1)).is_absent
    assert found(prove_record(empty.core, 2)).versions[0].value is None
    with pytest.raises(BlockNotAvailable):
        prove_record(empty.core, 3)
    with pytest.raises(BlockNotAvailable):
        prove_record(empty.core, 0)
    await peer.close()


async def test_history_holds_both_versions(bee: Any) -> None:
    shown = found(prove_history(bee.core, b"post/0007", [8, 121]))
    assert [version.seq for version in shown.versions] == [121, 8]
    assert shown.versions[0].value is not None
    assert b"edited" in shown.versions[0].value


async def test_two_trees_of_one_length_are_evidence() -> None:
    file = await conflict()
    shown = found(file)
    assert (shown.kind, shown.at_length) == (Kind.CONFLICT, 3)
    assert shown.at_hash != shown.other_hash
    with pytest.raises(RemoteProtocolError, match="one and the same"):
        found(replace(file, messages=(file.messages[0], file.messages[0])))


async def test_claims_that_the_blocks_do_not_bear_out(bee: Any) -> None:
    core = bee.core
    record, lookup = prove_record(core, 50), await prove_lookup(core, b"post/0033", timeout=1)
    other = await Peer.open(None)
    stranger = (await a_bee(other)).core
    try:
        for number, file in enumerate(
            (
                replace(record, subject=b"post/0048"),  # another key than the block's
                replace(record, kind=Kind.LOOKUP),  # the blocks that a lookup takes are not there
                replace(lookup, messages=lookup.messages[:-1]),
                replace(lookup, subject=b"post/0090"),
                replace(record, kind=Kind.CONFLICT),
                replace(record, messages=()),
                replace(record, messages=record.messages * 2),
                replace(record, key=stranger.key),
                replace(prove_record(core, 50, at_length=77), kind=Kind.LOOKUP),
                replace(prove_history(core, b"post/0007", [8, 121]), kind=Kind.RECORD),
                replace(lookup, messages=(*lookup.messages, *prove_record(stranger, 50).messages)),
            )
        ):
            with pytest.raises(RemoteProtocolError):
                found(file)
                pytest.fail(f"claim {number} was believed")
    finally:
        await other.close()


async def test_nothing_spoiled_proves_anything_else(bee: Any) -> None:
    """What is still accepted says what the file said (a bit that nothing reads), or that another key is absent too."""
    files = {**(await files_of(bee)), "conflict": await conflict()}
    accepted = 0
    for number, file in enumerate(files.values()):
        truth = found(file)
        for data in spoiled(file, number, 150):
            try:
                shown = check_file(data)
                if shown != truth:
                    assert shown == replace(truth, subject=shown.subject)
                    assert shown.is_absent
                    assert await bee.get(shown.subject) is None
                accepted += 1
            except RemoteProtocolError as error:
                assert str(error)
    assert accepted < 30


async def test_a_sparse_copy_proves_what_it_holds(bee: Any) -> None:
    """Blocks that came one by one, and a lookup that has to fetch."""
    peer = await Peer.open(None)
    served = await Peer.open(None)
    source = await a_bee(served)
    host, port = await served.listen()
    await peer.connect(host, port)
    copy = peer.bee(key=source.core.key, key_encoding="binary", value_encoding="binary", extension=False)
    await copy.core.update(wait=True, timeout=60)
    for seq in (3, 77, 50):
        await copy.core.get(seq, timeout=60)
        assert found(prove_record(copy.core, seq)).versions[0].seq == seq
    with pytest.raises(BlockNotAvailable):
        prove_record(copy.core, 4)
    assert found(await prove_lookup(copy.core, b"post/0100", timeout=60)).versions[0].seq == 101
    await source.put(b"post/x", b"later")
    while copy.core.length < source.core.length:
        await copy.core.update(wait=True, timeout=60)
        await asyncio.sleep(0.01)
    assert found(prove_record(copy.core, 77)).length == source.core.length
    await peer.close()
    await served.close()


def test_what_is_no_proof_file() -> None:
    for data in (b"", b"meadowpf", b"GIF89a" * 20, b"meadowpf\x02", b"meadowpf\x01\x09" + bytes(40)):
        with pytest.raises(DecodingError):
            decode_file(data)
    with pytest.raises(MeadowError):
        check_file(b"meadowpf\x01\x01" + bytes(40))
