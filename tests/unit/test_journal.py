"""The journal and the engine below it: crashes between their steps, full disks, versions."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lmdb
import pytest

from core.errors import StorageCorrupt, StorageFull, StorageVersion
from core.storage import LmdbStorage
from core.storage.environment import LmdbEnvironment
from core.storage.journal import HEADER, KEPT_BYTES, STEP_BYTES, Journal
from core.storage.lmdb import JOURNAL_FILE
from tests.support.stores import pairs, put


class Killed(BaseException):
    """The process ends here."""


# --- three layers ---------------------------------------------------------------------------------


def three_layers(directory: Path) -> LmdbStorage:
    """b, d, f, h, k in LMDB; c, d changed and f, k (by a range) deleted in the journal; the overlay on top."""
    storage = LmdbStorage(directory)
    put(storage, b=b"1", d=b"1", f=b"1", h=b"1", k=b"1")
    storage.checkpoint()
    storage.delete(b"f")
    storage.delete_range(b"k", b"l")
    put(storage, c=b"2", d=b"2", i=b"2", l=b"2")
    storage.put(b"e", b"3")
    storage.put(b"f", b"3")
    storage.put(b"i", b"3")
    storage.delete(b"c")
    storage.delete_range(b"l", b"m")
    storage.put(b"k", b"3")
    return storage


def test_a_range_goes_through_three_layers_in_both_directions(tmp_path: Path) -> None:
    storage = three_layers(tmp_path)
    shown = [
        (b"b", b"1"),
        (b"d", b"2"),
        (b"e", b"3"),
        (b"f", b"3"),
        (b"h", b"1"),
        (b"i", b"3"),
        (b"k", b"3"),
    ]
    for storing in (lambda: None, storage.commit, storage.checkpoint):
        storing()
        assert list(storage.range(b"a", b"z")) == shown
        assert list(storage.range(b"a", b"z", reverse=True)) == shown[::-1]
        assert list(storage.range(b"c", b"h")) == shown[1:4]
        assert list(storage.range(b"c", b"h", reverse=True, limit=2)) == shown[3:1:-1]
        assert [storage.get(bytes([letter])) for letter in b"bcdefghijkl"] == [
            dict(shown).get(bytes([letter])) for letter in b"bcdefghijkl"
        ]
    storage.close()


def test_a_failed_commit_leaves_the_layer_below_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    storage = three_layers(tmp_path)

    def refuse(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Journal, "append", refuse)
    with pytest.raises(StorageFull, match="nothing of the last write"):
        storage.commit()
    monkeypatch.undo()
    expected = {b"b": b"1", b"c": b"2", b"d": b"2", b"h": b"1", b"i": b"2", b"l": b"2"}
    assert pairs(storage) == expected
    storage._release()
    storage = LmdbStorage(tmp_path)
    assert pairs(storage) == expected
    storage.close()


# --- crashes --------------------------------------------------------------------------------------


def killed_at(target: Any, name: str, *, before: bool) -> Callable[[pytest.MonkeyPatch], None]:
    def inject(monkeypatch: pytest.MonkeyPatch) -> None:
        real = getattr(target, name)

        def stop(*arguments: Any) -> None:
            if not before:
                real(*arguments)
            raise Killed

        monkeypatch.setattr(target, name, stop)

    return inject


def half_a_record(monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.pwrite

    def stop(fd: int, data: bytes, position: int) -> int:
        real(fd, data[: len(data) // 2], position)
        monkeypatch.undo()
        raise Killed

    monkeypatch.setattr(os, "pwrite", stop)


@pytest.mark.parametrize("through", [False, True], ids=["by itself", "with a commit on top"])
@pytest.mark.parametrize(
    "inject",
    [
        pytest.param(killed_at(LmdbEnvironment, "write", before=True), id="before LMDB"),
        pytest.param(killed_at(LmdbEnvironment, "write", before=False), id="after LMDB"),
        pytest.param(killed_at(Journal, "start_over", before=False), id="after the journal started over"),
    ],
)
def test_a_crash_in_a_checkpoint_loses_nothing(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    inject: Callable[[pytest.MonkeyPatch], None],
    through: bool,
) -> None:
    storage = LmdbStorage(tmp_path, direct_bytes=100)
    put(storage, a=b"1", b=b"1")
    storage.checkpoint()
    put(storage, b=b"2", c=b"2")
    with monkeypatch.context() as patch:
        inject(patch)
        with pytest.raises(Killed):
            if through:
                put(storage, d=bytes(101))
            else:
                storage.checkpoint()
    storage._release()
    storage = LmdbStorage(tmp_path)
    found = pairs(storage)
    # The commit on top was not acknowledged; it is there as a whole or not at all.
    assert found.pop(b"d", bytes(101)) == bytes(101)
    assert found == {b"a": b"1", b"b": b"2", b"c": b"2"}
    put(storage, e=b"3")
    storage._release()
    storage = LmdbStorage(tmp_path)
    assert pairs(storage)[b"e"] == b"3"
    storage.close()


@pytest.mark.parametrize("fresh", [False, True], ids=["in an epoch", "first of an epoch"])
def test_a_crash_in_the_middle_of_a_commit_undoes_that_commit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fresh: bool
) -> None:
    storage = LmdbStorage(tmp_path)
    put(storage, a=b"1", b=b"1")
    if fresh:
        storage.checkpoint()
    half_a_record(monkeypatch)
    with pytest.raises(Killed):
        put(storage, b=b"2")
    storage._release()
    storage = LmdbStorage(tmp_path)
    assert pairs(storage) == {b"a": b"1", b"b": b"1"}
    storage.close()


def test_a_crash_while_replaying_is_as_if_it_had_not_begun(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = LmdbStorage(tmp_path)
    put(storage, a=b"1")
    storage._release()
    with monkeypatch.context() as patch:
        killed_at(LmdbEnvironment, "write", before=False)(patch)
        with pytest.raises(Killed):
            LmdbStorage(tmp_path)
    storage = LmdbStorage(tmp_path)
    assert pairs(storage) == {b"a": b"1"}
    assert not storage.uncheckpointed
    storage.close()


def test_a_record_hidden_in_a_strangers_block_is_never_replayed(tmp_path: Path) -> None:
    """Every byte of an old epoch may come to lie where a record is looked for; without the epoch's name it is none."""
    storage = LmdbStorage(tmp_path)
    put(storage, a=b"forged")
    record = (tmp_path / JOURNAL_FILE).read_bytes()[len(HEADER) : storage._journal.position]  # type: ignore[union-attr]
    storage.checkpoint()
    put(storage, b=record * 50)
    storage.checkpoint()
    put(storage, a=b"1")
    end = storage._journal.position  # type: ignore[union-attr]
    storage._release()
    path = tmp_path / JOURNAL_FILE
    content = path.read_bytes()
    path.write_bytes(content[:end] + content[content.find(record, end) :])
    storage = LmdbStorage(tmp_path)
    assert storage.get(b"a") == b"1"
    storage.close()


# --- full disks -----------------------------------------------------------------------------------


def test_while_lmdb_cannot_grow_the_journal_does_up_to_its_bound(tmp_path: Path) -> None:
    options = {"checkpoint_bytes": 10_000, "direct_bytes": 10_000, "max_journal_bytes": 100_000}
    storage = LmdbStorage(tmp_path, initial_map_bytes=65_536, max_map_bytes=65_536, **options)
    expected: dict[bytes, bytes] = {}
    refused = 0
    for number in range(60):
        key, value = b"k%03d" % number, bytes([number]) * (20_000 if number == 30 else 4000)
        storage.put(key, value)
        try:
            storage.commit()
        except StorageFull:
            refused += 1
        else:
            expected[key] = value
    assert refused > 10
    assert len(expected) > 20
    assert pairs(storage) == expected
    assert storage._journal.position <= 100_000  # type: ignore[union-attr]
    with pytest.raises(StorageFull, match="largest size"):
        storage.checkpoint()
    storage.close()
    # Still too small: what is there can be read, and nothing is given up.
    storage = LmdbStorage(tmp_path, initial_map_bytes=65_536, max_map_bytes=65_536, **options)
    assert pairs(storage) == expected
    storage.put(b"small", b"1")
    storage.commit()
    storage._release()
    storage = LmdbStorage(tmp_path)
    assert pairs(storage) == {**expected, b"small": b"1"}
    assert not storage.uncheckpointed
    storage.close()


def test_a_checkpoint_on_a_full_disk_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    storage = LmdbStorage(tmp_path)
    put(storage, a=b"1")

    def refuse(*_: object) -> None:
        raise lmdb.DiskError("mdb_put", 28)

    monkeypatch.setattr(LmdbEnvironment, "_write_once", staticmethod(refuse))
    with pytest.raises(StorageFull, match="is full"):
        storage.checkpoint()
    put(storage, b=b"2")
    assert pairs(storage) == {b"a": b"1", b"b": b"2"}
    monkeypatch.undo()
    storage.checkpoint()
    assert not storage.uncheckpointed
    assert pairs(storage) == {b"a": b"1", b"b": b"2"}
    storage.close()


def test_a_journal_that_had_to_grow_gives_its_space_back(tmp_path: Path) -> None:
    storage = LmdbStorage(tmp_path, checkpoint_bytes=1 << 30, direct_bytes=1 << 30)
    path = tmp_path / JOURNAL_FILE
    put(storage, a=b"1")
    assert path.stat().st_size == STEP_BYTES
    put(storage, a=bytes(KEPT_BYTES))
    assert path.stat().st_size > KEPT_BYTES
    storage.checkpoint()
    assert path.stat().st_size == KEPT_BYTES
    storage.close()


# --- opening --------------------------------------------------------------------------------------


@pytest.mark.parametrize("header", [HEADER[:-2] + b"\x09\x00", b"#!/bin/sh\necho no\n"])
def test_a_journal_of_another_version_is_refused_and_left_untouched(tmp_path: Path, header: bytes) -> None:
    LmdbStorage(tmp_path).close()
    path = tmp_path / JOURNAL_FILE
    path.write_bytes(header + bytes(100))
    with pytest.raises(StorageVersion, match="left untouched"):
        LmdbStorage(tmp_path)
    assert path.read_bytes() == header + bytes(100)


def test_a_journal_that_is_gone_is_missed(tmp_path: Path) -> None:
    storage = LmdbStorage(tmp_path)
    put(storage, a=b"1")
    storage.close()
    (tmp_path / JOURNAL_FILE).unlink()
    with pytest.raises(StorageCorrupt, match="is gone"):
        LmdbStorage(tmp_path)
    (tmp_path / JOURNAL_FILE).touch()
    storage = LmdbStorage(tmp_path)
    assert pairs(storage) == {b"a": b"1"}
    storage.close()
