"""What a log shows to peers and to observers, and in which order it does so."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from core.errors import BadArgument, InvalidChecksum, InvalidOperation, SessionNotWritable, StorageFull
from core.hypercore.layout import Identity
from core.hypercore.log import Log
from core.hypercore.manifest import default_manifest
from core.hypercore.merkle import missing_nodes
from core.hypercore.proof import BlockRequest, Proof, ProofRequest, UpgradeRequest
from core.hypercore.registry import LogRegistry
from core.hypercore.reorg import Reorg
from core.storage import GroupCommit, MemoryStorage
from tests.support.logs import new_log
from tests.support.stores import KINDS, StoreOnDemand, fail_next_commit


class Observer:
    """Writes down what it is told, and the state of the storage at that moment."""

    def __init__(self, log: Log) -> None:
        self.told: list[tuple[Any, ...]] = []
        self._log = log
        log.observers.append(self)  # type: ignore[arg-type]

    def __getattr__(self, name: str) -> Any:
        def hear(*facts: Any) -> None:
            assert not self._log.commit.storage.dirty, "told before the commit"
            self.told.append((name, *facts))

        return hear


def reader_of(writer: Log) -> Log:
    return LogRegistry(MemoryStorage()).create(Identity(writer.key))


def fetch(reader: Log, writer: Log, request: ProofRequest) -> bool:
    proof = writer.create_proof(request)
    return reader.apply(reader.verify(proof), proof)


def fetch_block(reader: Log, writer: Log, index: int) -> None:
    nodes = missing_nodes(reader, 2 * index)
    assert fetch(reader, writer, ProofRequest(block=BlockRequest(index, nodes)))


def upgrade(reader: Log, writer: Log) -> None:
    start = reader.length
    request = ProofRequest(upgrade=UpgradeRequest(start, writer.length - start), manifest=True)
    assert fetch(reader, writer, request)


def test_observers_hear_after_the_commit_and_neighbours_as_one() -> None:
    log = new_log()
    observer = Observer(log)
    log.append([b"a"])
    log.append([b"b", b"c"])
    log.clear(1, 2)
    log.truncate(1)
    assert observer.told == []
    log.commit.now()
    assert observer.told == [
        ("stored", 0, 1),
        ("appended", 0, 1),
        ("stored", 1, 2),
        ("appended", 1, 3),
        ("cleared", 1, 2),
        ("truncated", 1, 1),
    ]


def test_a_burst_of_downloads_is_told_as_one_range() -> None:
    writer = new_log()
    writer.append([b"%d" % number for number in range(50)])
    reader = reader_of(writer)
    upgrade(reader, writer)
    reader.commit.now()
    observer = Observer(reader)
    for index in (*range(10, 20), 30, *range(20, 30)):
        fetch_block(reader, writer, index)
    reader.commit.now()
    assert observer.told == [("stored", 10, 10), ("stored", 30, 1), ("stored", 20, 10)]
    assert reader.bitfield.count(0, 50) == 21


@pytest.mark.parametrize("kind", KINDS)
def test_a_sparse_copy_survives_a_restart(kind: str, tmp_path: Path) -> None:
    writer = new_log()
    writer.append([bytes([number]) * 3 for number in range(100)])
    store = StoreOnDemand(kind, tmp_path)
    reader = store.registry().create(Identity(writer.key))
    upgrade(reader, writer)
    for index in (0, 1, 5, 99):
        fetch_block(reader, writer, index)
    reader.note_remote_contiguous(100)
    reader.commit.now()
    store.reopen()
    again = store.registry().find(writer.discovery_key)
    assert again is not None
    assert (again.length, again.contiguous_length, again.remote_contiguous_length) == (100, 2, 100)
    assert [index for index in range(100) if again.has(index)] == [0, 1, 5, 99]
    assert again.manifest == writer.manifest
    assert (again.roots, again.signature) == (writer.roots, writer.signature)
    assert again.block(99) == bytes([99]) * 3
    assert (again.first_unset(0, 100), again.first_set(2, 99), again.first_set(6, 99)) == (2, 5, -1)
    store.storage.close()


def test_what_was_proved_for_another_length_or_fork_is_not_stored() -> None:
    writer = new_log()
    writer.append([b"a", b"b"])
    reader = reader_of(writer)
    proof = writer.create_proof(ProofRequest(upgrade=UpgradeRequest(0, 2), manifest=True))
    verified = reader.verify(proof)
    assert reader.apply(verified, proof)
    assert not reader.apply(verified, proof)
    request = ProofRequest(block=BlockRequest(1, missing_nodes(reader, 2)))
    proof = writer.create_proof(request)
    verified = reader.verify(proof)
    writer.truncate(0)
    reorg = Reorg.begin(reader, new_fork_of(writer, b"x"), key=reader.key, manifest=reader.manifest)
    assert reader.apply_reorg(reorg)
    assert not reader.apply(verified, proof)
    assert (reader.length, reader.block(1)) == (1, None)


def new_fork_of(writer: Log, block: bytes) -> Proof:
    writer.append([block])
    return writer.create_proof(ProofRequest(upgrade=UpgradeRequest(0, writer.length)))


def test_a_reorg_keeps_what_both_forks_share() -> None:
    writer = new_log()
    writer.append([b"%d" % number for number in range(8)])
    reader = reader_of(writer)
    upgrade(reader, writer)
    for index in range(8):
        fetch_block(reader, writer, index)
    reader.commit.now()
    observer = Observer(reader)
    writer.truncate(4)
    writer.append([b"new", b"er"])
    proof = writer.create_proof(ProofRequest(upgrade=UpgradeRequest(0, writer.length)))
    reorg = Reorg.begin(reader, proof, key=reader.key, manifest=reader.manifest)
    while reorg.want is not None:
        request = reorg.want.request(reorg.want.start)
        reorg.advance(reader, writer.create_proof(ProofRequest(hash=request)))
    assert reader.apply_reorg(reorg)
    assert not reader.apply_reorg(reorg)
    reader.commit.now()
    assert observer.told == [("truncated", 4, 1), ("appended", 4, 6)]
    assert (reader.length, reader.fork, reader.contiguous_length) == (6, 1, 4)
    assert reader.tree_hash() == writer.tree_hash()
    assert [reader.block(index) for index in range(6)] == [b"0", b"1", b"2", b"3", None, None]


# --- what leaves is stored ------------------------------------------------------------------------


def test_a_signature_of_ours_is_shown_only_once_no_power_cut_can_undo_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    log = new_log()
    storage, promises = log.commit.storage, []
    monkeypatch.setattr(GroupCommit, "promise", lambda commit: promises.append(commit.storage.dirty))
    log.append([b"a", b"b"])
    assert storage.dirty
    log.create_proof(ProofRequest(upgrade=UpgradeRequest(0, 2)))
    log.create_proof(ProofRequest(upgrade=UpgradeRequest(0, 2), block=BlockRequest(1, 0)))
    assert promises == [False]
    log.append([b"c"])
    log.create_proof(ProofRequest(block=BlockRequest(0, 0)))
    assert promises == [False]
    log.create_proof(ProofRequest(upgrade=UpgradeRequest(2, 1)))
    assert promises == [False, False]


def test_an_append_that_cannot_be_stored_is_shown_to_nobody() -> None:
    log = new_log()
    log.append([b"a"])
    log.commit.now()
    log.append([b"b"])
    fail_next_commit(log.commit.storage)  # type: ignore[arg-type]
    with pytest.raises(InvalidOperation, match="could not be stored"):
        log.create_proof(ProofRequest(upgrade=UpgradeRequest(0, 2)))
    assert log.length == 1
    log.append([b"other"])
    proof = log.create_proof(ProofRequest(upgrade=UpgradeRequest(0, 2), block=BlockRequest(1, 0)))
    assert proof.block is not None
    assert proof.block.value == b"other"


def test_a_download_that_cannot_be_stored_is_as_if_it_had_not_come() -> None:
    writer = new_log()
    writer.append([b"a", b"b", b"c"])
    reader = reader_of(writer)
    reader.commit.now()
    observer = Observer(reader)
    upgrade(reader, writer)
    fetch_block(reader, writer, 1)
    fail_next_commit(reader.commit.storage)  # type: ignore[arg-type]
    with pytest.raises(StorageFull):
        reader.commit.now()
    assert (reader.length, reader.manifest, reader.roots, reader.has(1)) == (0, None, [], False)
    assert observer.told == []
    upgrade(reader, writer)
    fetch_block(reader, writer, 1)
    reader.commit.now()
    assert (reader.length, reader.block(1)) == (3, b"b")


# --- what is refused ------------------------------------------------------------------------------


def test_a_manifest_that_is_not_the_logs_is_refused() -> None:
    reader = reader_of(new_log())
    with pytest.raises(InvalidChecksum):
        reader.set_manifest(default_manifest(bytes(32)))
    assert reader.manifest is None


def test_a_log_without_a_key_pair_signs_nothing() -> None:
    writer = new_log()
    writer.append([b"a"])
    reader = reader_of(writer)
    upgrade(reader, writer)
    for change in (lambda: reader.append([b"b"]), lambda: reader.truncate(0)):
        with pytest.raises(SessionNotWritable):
            change()
    assert (reader.length, reader.tree_hash()) == (1, writer.tree_hash())


def test_user_data_has_names_of_a_bounded_size() -> None:
    log = new_log()
    log.set_user_data("x" * 400, b"value")
    assert log.get_user_data("x" * 400) == b"value"
    with pytest.raises(BadArgument):
        log.set_user_data("é" * 201, b"value")
