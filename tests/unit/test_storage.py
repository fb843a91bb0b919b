"""Storage: what is readable before a commit, what is left after one that failed, and who may open a store."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.errors import StorageError, StorageFull, StorageLocked, StorageVersion
from core.storage import GroupCommit, LmdbStorage, MemoryStorage
from core.storage.base import OverlayStorage
from core.storage.lmdb import DATA_FILE, FORMAT_KEY, JOURNAL_FILE
from tests.support.stores import KINDS, StoreOnDemand, fail_next_commit


@pytest.fixture(params=KINDS)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[StoreOnDemand]:
    opened = StoreOnDemand(request.param, tmp_path / "store")
    yield opened
    opened.storage.close()


def everything(storage: OverlayStorage, **options: int | bool) -> list[tuple[bytes, bytes]]:
    return [pair for pair in storage.range(b"a", b"z", **options) if pair[0] != FORMAT_KEY]


def test_writes_are_readable_at_once_and_kept_by_a_commit(store: StoreOnDemand) -> None:
    store.storage.put(b"k", b"1")
    assert store.storage.get(b"k") == b"1"
    assert store.storage.dirty
    store.storage.commit()
    assert not store.storage.dirty
    assert store.reopen().get(b"k") == b"1"


def test_without_a_commit_nothing_is_kept(store: StoreOnDemand) -> None:
    store.storage.put(b"k", b"1")
    assert store.reopen().get(b"k") is None


def test_a_range_shows_commits_and_overlay_as_one(store: StoreOnDemand) -> None:
    storage = store.storage
    storage.put_many([(b"b", b"1"), (b"c", b"1"), (b"e", b"1"), (b"g", b"1")])
    storage.commit()
    storage.put(b"d", b"2")
    storage.put(b"c", b"2")
    storage.delete(b"e")
    storage.delete_range(b"g", b"h")
    storage.put(b"h", b"2")
    expected = [(b"b", b"1"), (b"c", b"2"), (b"d", b"2"), (b"h", b"2")]
    assert everything(storage) == expected
    assert everything(storage, reverse=True) == expected[::-1]
    assert everything(storage, reverse=True, limit=2) == expected[:1:-1]
    storage.commit()
    assert everything(storage) == expected


def test_a_range_longer_than_a_chunk_survives_commits_in_between(store: StoreOnDemand) -> None:
    storage = store.storage
    pairs = [(b"k%06d" % number, b"x") for number in range(2000)]
    storage.put_many(pairs[::2])
    storage.commit()
    storage.put_many(pairs[1::2])
    seen = []
    for pair in storage.range(b"a", b"z"):
        seen.append(pair)
        if len(seen) == 1000:
            storage.commit()
    assert seen == pairs
    assert list(storage.range(b"a", b"z", reverse=True)) == pairs[::-1]


def test_deleting_a_range_spares_what_is_written_after_it(store: StoreOnDemand) -> None:
    storage = store.storage
    storage.put_many([(b"b", b"1"), (b"c", b"1")])
    storage.commit()
    storage.put(b"d", b"1")
    storage.delete_range(b"b", b"e")
    storage.put(b"c", b"2")
    assert everything(storage) == [(b"c", b"2")]
    storage.commit()
    assert everything(storage) == [(b"c", b"2")]
    assert everything(store.reopen()) == [(b"c", b"2")]


def test_a_failed_commit_leaves_what_was_there_before(store: StoreOnDemand) -> None:
    storage = store.storage
    storage.put(b"b", b"1")
    storage.commit()
    told = []
    storage.on_rollback.append(lambda: told.append(storage.get(b"b")))
    storage.put(b"b", b"2")
    storage.put(b"c", b"2")
    fail_next_commit(storage)
    with pytest.raises(StorageFull):
        storage.commit()
    assert told == [b"1"]
    assert everything(storage) == [(b"b", b"1")]
    storage.put(b"d", b"3")
    storage.commit()
    assert everything(store.reopen()) == [(b"b", b"1"), (b"d", b"3")]


# --- LMDB -----------------------------------------------------------------------------------------


def test_only_the_owner_can_read_the_files(tmp_path: Path) -> None:
    directory = tmp_path / "deep" / "store"
    directory.mkdir(parents=True, mode=0o755)
    LmdbStorage(directory).close()
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert {stat.S_IMODE(file.stat().st_mode) for file in directory.iterdir()} == {0o600}


def test_the_map_grows_by_itself(tmp_path: Path) -> None:
    storage = LmdbStorage(tmp_path, initial_map_bytes=64 * 1024)
    for batch in range(20):
        storage.put_many([(b"%03d/%03d" % (batch, number), bytes(1000)) for number in range(100)])
        storage.commit()
    assert sum(1 for _ in storage.range(b"0", b"9")) == 2000
    storage.close()
    # A later process must not trip over a file that is larger than its own first map.
    storage = LmdbStorage(tmp_path, initial_map_bytes=64 * 1024)
    assert storage.get(b"019/099") == bytes(1000)
    storage.put_many([(b"x%04d" % number, bytes(1000)) for number in range(1000)])
    storage.commit()
    storage.close()


def test_a_store_that_may_not_grow_is_full_and_loses_nothing(tmp_path: Path) -> None:
    storage = LmdbStorage(
        tmp_path, initial_map_bytes=64 * 1024, max_map_bytes=256 * 1024, max_journal_bytes=512 * 1024
    )
    storage.put(b"kept", b"1")
    storage.commit()
    storage.put_many([(b"%04d" % number, bytes(1000)) for number in range(1000)])
    with pytest.raises(StorageFull, match="largest size"):
        storage.commit()
    assert storage.get(b"0000") is None
    storage.put(b"more", b"2")
    storage.commit()
    storage.close()
    storage = LmdbStorage(tmp_path)
    assert (storage.get(b"kept"), storage.get(b"more"), storage.get(b"0000")) == (b"1", b"2", None)
    storage.close()


def test_a_disk_that_refuses_writes_is_reported_and_nothing_is_lost(tmp_path: Path) -> None:
    """The operating system stops files at a size, in a process of its own: the journal cannot grow."""
    script = f"""
import os, resource
from core.errors import StorageError
from core.storage import LmdbStorage
storage = LmdbStorage({str(tmp_path)!r})
storage.put(b"kept", b"1")
storage.commit()
resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, resource.RLIM_INFINITY))
storage.put_many((b"%d" % number, os.urandom(300)) for number in range(2000))
try:
    storage.commit()
except StorageError as error:
    print("told:", error)
assert storage.get(b"7") is None
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
storage.put(b"more", b"2")
storage.commit()
"""
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=30)
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith("told: the disk of the store")
    storage = LmdbStorage(tmp_path)
    assert (storage.get(b"kept"), storage.get(b"more"), storage.get(b"7")) == (b"1", b"2", None)
    storage.close()


def test_a_second_process_is_told_who_holds_the_store(tmp_path: Path) -> None:
    storage = LmdbStorage(tmp_path)
    script = f"from core.storage import LmdbStorage; LmdbStorage({str(tmp_path)!r})"
    second = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=30)
    assert second.returncode != 0
    assert "StorageLocked" in second.stderr
    assert f"process {os.getpid()}" in second.stderr
    with pytest.raises(StorageLocked, match="this process itself"):
        LmdbStorage(tmp_path)
    storage.put(b"k", b"1")
    storage.commit()
    storage.close()
    third = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=30)
    assert third.returncode == 0, third.stderr


@pytest.mark.parametrize("record", [b"meadow-store\x00\x09", b"something else"])
def test_another_version_is_refused_and_left_untouched(tmp_path: Path, record: bytes) -> None:
    storage = LmdbStorage(tmp_path)
    storage.put(b"k", b"1")
    storage.put(FORMAT_KEY, record)
    storage.commit()
    storage.close()
    journal = (tmp_path / JOURNAL_FILE).read_bytes()
    before = (tmp_path / DATA_FILE).read_bytes()
    with pytest.raises(StorageVersion, match="left untouched"):
        LmdbStorage(tmp_path)
    assert (tmp_path / DATA_FILE).read_bytes() == before
    assert (tmp_path / JOURNAL_FILE).read_bytes() == journal


def test_a_file_that_is_not_lmdb_is_refused_and_left_untouched(tmp_path: Path) -> None:
    (tmp_path / DATA_FILE).write_bytes(b"not a database " * 1000)
    with pytest.raises(StorageVersion):
        LmdbStorage(tmp_path)
    assert (tmp_path / DATA_FILE).read_bytes() == b"not a database " * 1000


@pytest.mark.parametrize("key", [b"", b"x" * 512])
def test_a_key_the_engine_cannot_hold_is_refused_before_it_spoils_a_commit(
    tmp_path: Path, key: bytes
) -> None:
    storage = LmdbStorage(tmp_path)
    with pytest.raises(StorageError, match="1 to 511 bytes"):
        storage.put(key, b"1")
    storage.close()


def test_a_closed_store_says_so(tmp_path: Path) -> None:
    storage = LmdbStorage(tmp_path)
    storage.close()
    with pytest.raises(StorageError, match="closed"):
        storage.get(b"k")


# --- one commit a turn ----------------------------------------------------------------------------


class Turns:
    """An event loop reduced to what `GroupCommit` needs of one."""

    def __init__(self) -> None:
        self.due: list = []

    def end(self) -> None:
        due, self.due = self.due, []
        for function in due:
            function()


def test_all_writes_of_a_turn_share_a_commit_and_are_told_after_it() -> None:
    storage, turns, told = MemoryStorage(), Turns(), []
    commit = GroupCommit(storage, turns.due.append)
    for number in range(3):
        storage.put(b"%d" % number, b"x")
        commit.after(lambda error, number=number: told.append((number, error, storage.dirty)))
    commit.before(lambda: storage.put(b"head", b"3"))
    assert len(turns.due) == 1
    assert not told
    turns.end()
    assert told == [(0, None, False), (1, None, False), (2, None, False)]
    assert storage.get(b"head") == b"3"
    assert not commit.pending


def test_a_commit_in_the_middle_of_a_turn_leaves_the_rest_to_the_end() -> None:
    storage, turns, told = MemoryStorage(), Turns(), []
    commit = GroupCommit(storage, turns.due.append)
    storage.put(b"1", b"x")
    commit.after(told.append)
    commit.now()
    assert told == [None]
    storage.put(b"2", b"x")
    commit.after(told.append)
    turns.end()
    assert told == [None, None]


def test_everybody_is_told_of_a_failure_and_the_next_turn_is_a_new_start() -> None:
    storage, turns, told = MemoryStorage(), Turns(), []
    commit = GroupCommit(storage, turns.due.append)
    storage.put(b"1", b"x")
    commit.after(told.append)
    fail_next_commit(storage)
    with pytest.raises(StorageFull):
        commit.now()
    assert [type(error) for error in told] == [StorageFull]
    storage.put(b"2", b"x")
    commit.after(told.append)
    turns.end()
    turns.end()
    assert told[1:] == [None]
    assert storage.get(b"2") == b"x"
    assert storage.get(b"1") is None
