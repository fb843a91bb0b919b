"""Syncs, checkpoints by the clock, and who has to wait for the disk before it is told something."""

from __future__ import annotations

import asyncio
import os
import threading
from pathlib import Path
from typing import Any

import lmdb
import pytest

from core.errors import StorageError, StorageFull
from core.peer import Peer
from core.storage import GroupCommit, LmdbStorage, upkeep
from core.storage.environment import LmdbEnvironment
from tests.support.stores import pairs, put
from tests.support.waiting import eventually


class Disk:
    """Stands for `os.fdatasync`: counts, waits while it is busy, and fails when told to."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.syncs = 0
        self.error: OSError | None = None
        self.idle = threading.Event()
        self.idle.set()
        monkeypatch.setattr(os, "fdatasync", self.sync)

    def sync(self, fd: int) -> None:
        assert self.idle.wait(10)
        self.syncs += 1
        if self.error is not None:
            raise self.error


def test_a_sync_happens_once_for_what_was_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = Disk(monkeypatch)
    storage = LmdbStorage(tmp_path)
    storage.sync()
    assert disk.syncs == 0
    put(storage, a=b"1")
    assert storage.unsynced
    storage.sync()
    storage.sync()
    assert disk.syncs == 1
    put(storage, a=b"2")
    storage.checkpoint()
    assert not storage.unsynced
    storage.close()


def test_what_a_killed_process_left_is_synced_by_the_next(tmp_path: Path) -> None:
    storage = LmdbStorage(tmp_path)
    put(storage, a=b"1")
    storage._release()
    storage = LmdbStorage(tmp_path)
    assert not storage.uncheckpointed
    assert not storage.unsynced
    storage.close()


def test_after_a_failed_sync_the_journal_is_not_trusted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel may take pages it could not write for clean; so everything goes to LMDB's file instead."""
    disk = Disk(monkeypatch)
    storage = LmdbStorage(tmp_path)
    put(storage, a=b"1")
    disk.error = OSError(5, "Input/output error")
    storage.sync()
    assert not storage.unsynced
    assert not storage.uncheckpointed

    def refuse(*_: object) -> None:
        raise lmdb.PanicError("mdb_txn_commit", -30795)

    put(storage, a=b"2")
    with monkeypatch.context() as patch:
        patch.setattr(LmdbEnvironment, "_write_once", staticmethod(refuse))
        with pytest.raises(StorageError, match="could not be written"):
            storage.sync()
        assert storage.unsynced
        disk.error = None
        with pytest.raises(StorageError):
            storage.sync()
    storage.sync()
    assert not storage.uncheckpointed
    assert pairs(storage) == {b"a": b"2"}
    storage.close()


# --- upkeep ---------------------------------------------------------------------------------------


@pytest.mark.anyio
async def test_writes_are_synced_soon_and_checkpointed_when_they_cease(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upkeep, "SYNC_SECONDS", 0.02)
    monkeypatch.setattr(upkeep, "CHECKPOINT_SECONDS", 1.5)
    disk = Disk(monkeypatch)
    storage = LmdbStorage(tmp_path)
    commit = GroupCommit(storage)
    loop = asyncio.get_running_loop()
    with monkeypatch.context() as clock:
        stands_still = loop.time()  # so that a slow machine writes all of it before the sync is due
        clock.setattr(loop, "time", lambda: stands_still)
        for number in range(50):
            storage.put(b"%d" % number, b"x")
            commit.touch()
            await asyncio.sleep(0)
        assert disk.syncs == 0
    await eventually(lambda: not storage.unsynced)
    assert disk.syncs == 1
    assert storage.uncheckpointed
    storage.put(b"more", b"x")
    commit.touch()
    await eventually(lambda: disk.syncs == 2)
    assert storage.uncheckpointed
    await eventually(lambda: not storage.uncheckpointed)
    assert commit._upkeep._timer is None
    storage.close()


@pytest.mark.anyio
async def test_a_full_disk_makes_upkeep_try_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for name, seconds in (("SYNC_SECONDS", 0.01), ("CHECKPOINT_SECONDS", 0.02), ("RETRY_SECONDS", 0.1)):
        monkeypatch.setattr(upkeep, name, seconds)
    storage = LmdbStorage(tmp_path)
    commit = GroupCommit(storage)
    with monkeypatch.context() as patch:

        def refuse(*_: object) -> None:
            raise StorageFull("the disk is full")

        patch.setattr(LmdbEnvironment, "write", refuse)
        storage.put(b"a", b"1")
        commit.touch()
        await eventually(lambda: "stays in the journal" in caplog.text)
    await eventually(lambda: not storage.uncheckpointed)
    storage.close()


@pytest.mark.anyio
async def test_what_rests_on_a_promise_waits_for_a_sync_begun_after_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = Disk(monkeypatch)
    storage = LmdbStorage(tmp_path)
    commit = GroupCommit(storage)
    told: list[tuple[int, int, Any]] = []

    def speak(number: int, **options: bool) -> None:
        commit.when_safe(lambda error: told.append((number, disk.syncs, error)), **options)

    put(storage, a=b"1")
    speak(0)
    assert told == [(0, 0, None)]
    disk.idle.clear()
    commit.promise()
    speak(1)
    await asyncio.sleep(0.01)
    speak(2)
    put(storage, a=b"2")
    commit.promise()
    speak(3)
    speak(4)
    assert len(told) == 1
    disk.idle.set()
    await eventually(lambda: len(told) == 5)
    assert told[1:] == [(1, 1, None), (2, 1, None), (3, 2, None), (4, 2, None)]
    put(storage, a=b"3")
    commit.promise()
    speak(5)
    speak(6, at_once=True)
    assert told[5:] == [(5, 3, None), (6, 3, None)] or told[5:] == [(5, 4, None), (6, 4, None)]
    storage.close()
    speak(7)
    assert told[-1][0] == 7


@pytest.mark.anyio
async def test_a_promise_that_cannot_be_kept_is_an_error_for_who_waits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = Disk(monkeypatch)
    storage = LmdbStorage(tmp_path)
    commit = GroupCommit(storage)
    told: list[Any] = []
    put(storage, a=b"1")
    commit.promise()
    disk.error = OSError(5, "Input/output error")
    with monkeypatch.context() as patch:

        def refuse(*_: object) -> None:
            raise StorageFull("the disk is full")

        patch.setattr(LmdbEnvironment, "write", refuse)
        commit.when_safe(told.append)
        await eventually(lambda: bool(told))
        assert isinstance(told[0], StorageFull)
    # The promise is still open; now it can be kept, in the other file.
    commit.when_safe(told.append)
    assert len(told) == 1
    await eventually(lambda: len(told) == 2)
    assert told[1] is None
    storage.close()


@pytest.mark.anyio
async def test_a_peer_hears_of_an_append_only_when_no_power_cut_can_undo_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And the writer does not wait for that: its appends return while the disk is busy."""
    writer, reader = await Peer.open(tmp_path), await Peer.open(None)
    mine = writer.core(name="log")
    await mine.append("0")
    host, port = await writer.listen()
    await reader.connect(host, port)
    theirs = reader.core(key=mine.key)
    assert await theirs.get(0) == b"0"
    disk = Disk(monkeypatch)
    disk.idle.clear()
    for number in range(1, 20):
        await mine.append(str(number))
    await asyncio.sleep(0.3)
    assert theirs.length == 1
    assert mine.length == 20
    disk.idle.set()
    await eventually(lambda: theirs.length == 20)
    assert disk.syncs >= 1
    await reader.close()
    await writer.close()
