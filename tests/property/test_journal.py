"""What comes back from a journal is a prefix of the commits, whatever happened to the bytes behind it."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from core.storage import LmdbStorage
from core.storage.journal import HEADER, Journal, encode, new_epoch, read_records
from core.storage.layer import Layer
from core.storage.lmdb import JOURNAL_FILE

KEYS = st.binary(min_size=1, max_size=3)
LAYERS = st.builds(
    lambda dropped, changes: Layer([(min(pair), max(pair)) for pair in dropped], changes),
    st.lists(st.tuples(KEYS, KEYS), max_size=2),
    st.dictionaries(KEYS, st.none() | st.binary(max_size=6), max_size=5),
)
Contents = list[tuple[list[tuple[bytes, bytes]], dict[bytes, bytes | None]]]


def contents(layers: list[Layer]) -> Contents:
    return [(layer.dropped, layer.changes) for layer in layers]


def replayed(path: Path, epoch: bytes) -> Contents:
    journal = Journal(path)
    try:
        return contents(list(journal.replay(epoch)))
    finally:
        journal.close()


def write(path: Path, epoch: bytes, commits: list[Layer]) -> list[int]:
    """Start the journal over and write the commits; returns where each of them ends."""
    journal = Journal(path)
    journal.start_over(epoch)
    ends = []
    for layer in commits:
        journal.append(encode(layer))
        ends.append(journal.position)
    journal.close()
    return ends


@given(before=st.lists(LAYERS, max_size=6), commits=st.lists(LAYERS, min_size=1, max_size=4))
@settings(max_examples=40, deadline=None)
def test_a_prefix_survives_a_cut_and_a_flipped_bit_at_every_position(
    before: list[Layer], commits: list[Layer]
) -> None:
    """With an older epoch's records behind the end of the present one's, as a checkpoint leaves them."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "journal"
        write(path, new_epoch(), before)
        epoch = new_epoch()
        ends = write(path, epoch, commits)
        data = path.read_bytes()[: ends[-1] + 1000]
    expected = contents(commits)

    def read(content: bytes) -> Contents:
        return contents([layer for layer, _ in read_records(content, epoch)])

    assert read(data) == expected
    for position in range(len(HEADER), ends[-1]):
        intact = expected[: sum(end <= position for end in ends)]
        assert read(data[:position]) == intact
        damaged = bytearray(data)
        damaged[position] ^= 1 << position % 8
        assert read(bytes(damaged)) == intact


@given(commits=st.lists(LAYERS, min_size=2, max_size=6), data=st.data())
@settings(max_examples=60, deadline=None)
def test_what_lay_behind_a_torn_record_never_comes_back(commits: list[Layer], data: st.DataObject) -> None:
    """A power cut may keep later records and lose an earlier one. A new record then takes the place of the lost
    one, and may end exactly where the next old one begins.
    """
    with tempfile.TemporaryDirectory() as directory:
        path, epoch = Path(directory) / "journal", new_epoch()
        ends = write(path, epoch, commits)
        lost = data.draw(st.integers(0, len(commits) - 1))
        damaged = bytearray(path.read_bytes())
        damaged[ends[lost] - 1] ^= 0xFF
        path.write_bytes(damaged)
        journal = Journal(path)
        assert contents(list(journal.replay(epoch))) == contents(commits[:lost])
        journal.append(encode(commits[lost]))
        journal.close()
        assert replayed(path, epoch) == contents(commits[: lost + 1])


@given(
    turns=st.lists(
        st.tuples(
            st.dictionaries(KEYS.map(lambda key: b"k" + key), st.none() | st.binary(max_size=6), max_size=4),
            st.booleans(),
        ),
        min_size=1,
        max_size=8,
    ),
    data=st.data(),
)
@settings(max_examples=40, deadline=None)
def test_a_store_whose_journal_lost_its_tail_shows_an_earlier_commit(
    turns: list[tuple[dict[bytes, bytes | None], bool]], data: st.DataObject
) -> None:
    with tempfile.TemporaryDirectory() as directory:
        storage = LmdbStorage(directory)
        states: list[dict[bytes, bytes]] = [{}]
        safe = 0
        for changes, checkpoint in turns:
            for key, value in changes.items():
                if value is None:
                    storage.delete(key)
                else:
                    storage.put(key, value)
            storage.commit()
            merged: dict[bytes, bytes | None] = {**states[-1], **changes}
            states.append({key: value for key, value in merged.items() if value is not None})
            if checkpoint:
                storage.checkpoint()
                safe = len(states) - 1
        journal = storage._journal
        assert journal is not None
        end = journal.position
        storage._release()
        path = Path(directory) / JOURNAL_FILE
        cut = data.draw(st.integers(len(HEADER), end))
        content = path.read_bytes()
        path.write_bytes(
            content[:cut] if data.draw(st.booleans()) else content[:cut] + bytes(8) + content[cut + 8 :]
        )
        storage = LmdbStorage(directory)
        found = dict(storage.range(b"k", b"l"))
        assert found in states[safe:]
        if cut == end:
            assert found == states[-1]
        storage.put(b"k", b"goes on")
        storage.commit()
        storage._release()
        storage = LmdbStorage(directory)
        assert dict(storage.range(b"k", b"l")) == {**found, b"k": b"goes on"}
        storage.close()
