"""A store whose files were damaged says so in a sentence; it is never taken for a new one, and never kills us."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from core.errors import StorageCorrupt, StorageError
from core.storage.environment import DATA_FILE
from core.storage.lmdb import JOURNAL_FILE, LmdbStorage

PAGE = 4096


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A store of some 3 MB that was closed in order, with a journal that was used."""
    storage = LmdbStorage(tmp_path / "store")
    dice = random.Random(1)
    for first in range(0, 8_000, 100):
        storage.put_many([(b"k%06d" % number, dice.randbytes(200)) for number in range(first, first + 100)])
        storage.commit()
    storage.close()
    return tmp_path / "store"


@pytest.mark.parametrize("gone", [False, True], ids=["empty", "gone"])
def test_a_store_that_lost_its_data_file_is_not_begun_anew(store: Path, gone: bool) -> None:
    """It would get a new primary key: every bee of the person would be another one."""
    journal = (store / JOURNAL_FILE).read_bytes()
    if gone:
        (store / DATA_FILE).unlink()
    else:
        (store / DATA_FILE).write_bytes(b"")
    for _ in range(2):  # trying does not change the answer
        with pytest.raises(StorageCorrupt, match="empty or gone"):
            LmdbStorage(store)
    assert (store / JOURNAL_FILE).read_bytes() == journal


def test_a_store_whose_first_opening_was_interrupted_is_begun_anew(tmp_path: Path) -> None:
    LmdbStorage(tmp_path / "other").close()
    interrupted = tmp_path / "store"
    interrupted.mkdir()
    (interrupted / DATA_FILE).write_bytes(b"")
    (interrupted / JOURNAL_FILE).write_bytes((tmp_path / "other" / JOURNAL_FILE).read_bytes())
    LmdbStorage(interrupted).close()


@pytest.mark.parametrize("part", [0.2, 0.5, 0.8])
def test_a_file_that_was_copied_in_part_is_refused(store: Path, part: float) -> None:
    """Without the check the process ends with SIGBUS at some later read."""
    whole = (store / DATA_FILE).read_bytes()
    cut = whole[: int(part * len(whole))]
    (store / DATA_FILE).write_bytes(cut)
    with pytest.raises(StorageCorrupt, match="cut off"):
        LmdbStorage(store)
    assert (store / DATA_FILE).read_bytes() == cut
    (store / DATA_FILE).write_bytes(whole)
    storage = LmdbStorage(store)
    assert len(list(storage.range(b"k", b"l"))) == 8_000
    storage.close()


def test_pages_of_another_kind_give_an_error_of_ours(store: Path) -> None:
    """LMDB keeps no checksums; what it does notice must not reach callers as its own exception."""
    whole = (store / DATA_FILE).read_bytes()
    # Every page behind the two meta pages says that it is the meta page.
    pages = [whole[at : at + PAGE] for at in range(0, len(whole), PAGE)]
    broken = [page[:10] + b"\x08\x00" + page[12:] for page in pages[2:]]
    (store / DATA_FILE).write_bytes(b"".join(pages[:2] + broken))
    with pytest.raises(StorageError):
        storage = LmdbStorage(store)
        try:
            storage.get(b"k000001")
        finally:
            storage.close()
