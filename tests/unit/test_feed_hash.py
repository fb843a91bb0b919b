"""The feed hash: its definition written a second time, and what it must and must not depend on."""

from __future__ import annotations

from hashlib import blake2b
from pathlib import Path

import pytest

from core.errors import BadArgument
from core.records import format_date
from feedagg import feed_hash, moderation, sources, store
from feedagg.decide import Operation, Position, decide
from feedagg.feed_hash import Entry
from tests.support.feedagg import ENGINES, delete, put, scratch_database

NOW = 1_790_000_000_000
BEES = (bytes(range(32)), bytes(range(1, 33)))


def entry(
    sort_at: int, key: bytes = b"post/1", bee: bytes = BEES[0], seq: int = 1, hidden: bool = False
) -> Entry:
    return Entry(sort_at, bee, key, seq, blake2b(key, digest_size=32).digest(), hidden)


def test_the_hash_is_the_one_in_the_docs() -> None:
    entries = [entry(-5), entry(7, b"post/2", hidden=True), entry(7, b"post/1", BEES[1], 9)]
    state = blake2b(digest_size=32, person=b"meadow feed v1")
    for one in entries:
        state.update(one.sort_at.to_bytes(8, "big", signed=True) + one.bee + one.seq.to_bytes(8, "big"))
        state.update(one.value_hash + bytes([one.hidden]) + len(one.key).to_bytes(4, "big") + one.key)
    assert feed_hash.feed_hash(entries) == state.digest()
    assert feed_hash.feed_hash([]) == blake2b(digest_size=32, person=b"meadow feed v1").digest()


@pytest.mark.parametrize(
    "other",
    [
        entry(2), entry(1, b"post/2"), entry(1, bee=BEES[1]), entry(1, seq=2), entry(1, hidden=True),
        entry(1)._replace(value_hash=bytes(32)),
    ],
)  # fmt: skip
def test_every_field_counts(other: Entry) -> None:
    assert feed_hash.feed_hash([entry(1)]) != feed_hash.feed_hash([other])


def test_another_order_is_refused_and_not_hashed() -> None:
    with pytest.raises(BadArgument):
        feed_hash.feed_hash([entry(2), entry(1)])
    with pytest.raises(BadArgument):
        feed_hash.feed_hash([entry(1), entry(1)])


@pytest.mark.parametrize(
    "engine", [pytest.param(name, marks=[pytest.mark.postgres] * (name != "sqlite")) for name in ENGINES]
)
def test_how_the_records_came_does_not_matter(engine: str, tmp_path: Path) -> None:
    """Newest first, or forward in one go; a removed record and one that was hidden and shown again leave no trace."""
    operations = [
        put(seq, f"post/{seq % 40:016x}", {"text": f"{seq}", "createdAt": format_date(NOW - seq * 1000)})
        for seq in range(1, 60)
    ]
    operations.append(delete(60, f"post/{3:016x}"))
    ways = {
        "forward": [(1, 61)],
        "tail first": [(41, 61), (21, 41), (1, 21)],
    }
    hashes = {}
    for name, stretches in ways.items():
        directory = tmp_path / name
        directory.mkdir()
        with scratch_database(engine, directory) as database:
            database.write_now(sources.add, BEES[0], NOW, "command", None)
            before = Position()
            for start, end in stretches:
                after = Position(0, max(end, before.cursor), start)
                some: list[Operation] = operations[start - 1 : end - 1]
                database.write_now(store.write, BEES[0], decide(some, NOW), before, after, 61)
                before = after
            if name == "forward":
                database.write_now(moderation.hide, BEES[0], f"post/{5:016x}".encode(), "a reason", NOW)
                concealed = database.read_now(feed_hash.of_database)
                database.write_now(moderation.unhide, BEES[0], f"post/{5:016x}".encode(), NOW)
                assert database.read_now(feed_hash.of_database) != concealed
            hashes[name] = database.read_now(feed_hash.of_database)
    assert hashes["forward"] == hashes["tail first"] != feed_hash.feed_hash([])
