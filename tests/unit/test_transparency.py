"""What goes into the aggregator's own bees: entries, the triggers behind the feed's, and publishing twice."""

from __future__ import annotations

import json
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete

from core.peer import Peer
from core.records import format_date, value_hash
from feedagg import decisions, feed_bee, moderation, queries, sources, store, transparency
from feedagg.database import Database
from feedagg.decide import Operation, Position, Stretch, decide
from feedagg.ingest import Ingest
from feedagg.live import Live
from feedagg.publisher import Publisher
from feedagg.settings import Settings
from feedagg.tables import feed_changes, own_bees, readings, records
from tests.support.feedagg import ENGINES, put, scratch_database
from tests.support.feedagg import delete as removal

pytestmark = pytest.mark.anyio

NOW = 1_790_000_000_000
BEE = bytes(range(32))
DATABASES = [pytest.param(name, marks=[pytest.mark.postgres] * (name != "sqlite")) for name in ENGINES]


def post(seq: int, n: int, text: str = "hello", at: int | None = None) -> Operation:
    value: dict[str, Any] = {"text": text}
    if at is not None:
        value["createdAt"] = format_date(at)
    return put(seq, f"post/{n:016x}", value)


@asynccontextmanager
async def publishing(database: Database, tmp_path: Path) -> AsyncIterator[Publisher]:
    peer = await Peer.open(None)
    settings = Settings(dir=tmp_path)

    async def nothing(_: Any) -> str:
        return ""

    publisher = Publisher(database, peer, Ingest(database, Live(nothing), settings), "Test")
    try:
        yield publisher
    finally:
        await peer.close()


async def feed_of(publisher: Publisher) -> list[tuple[bytes, Any]]:
    return [
        (entry.key, json.loads(entry.value))
        async for entry in publisher.feed.range(gte=b"item/", lt=b"item0", reverse=True)
    ]


def feed_in_sql(database: Database) -> list[tuple[bytes, int]]:
    found = database.read_now(queries.feed, size=10_000)
    return sorted(
        ((feed_bee.item_key(item.sort_at, item.bee, item.key), item.seq) for item in found.items),
        reverse=True,
    )


@pytest.mark.parametrize("engine", DATABASES)
async def test_the_bee_follows_the_rows_whatever_happens_to_them(engine: str, tmp_path: Path) -> None:
    """Posts, edits that move, removals, hiding, a truncation, a purge: at every step the bee is the feed."""
    chance = random.Random(5)
    with scratch_database(engine, tmp_path) as database:
        database.write_now(sources.add, BEE, NOW, "command", None)
        async with publishing(database, tmp_path) as publisher:
            position, seq = Position(), 1

            def write(operations: list[Operation]) -> None:
                nonlocal position, seq
                after = Position(0, operations[-1].seq + 1, 1)
                database.write_now(store.write, BEE, decide(operations, NOW), position, after, after.cursor)
                position, seq = after, after.cursor

            for _ in range(12):
                batch = []
                for _ in range(20):
                    n = chance.randrange(60)
                    if chance.random() < 0.2:
                        batch.append(removal(seq + len(batch), f"post/{n:016x}"))
                    else:
                        at = chance.choice([None, NOW - chance.randrange(10**9), NOW + 10**9])
                        batch.append(post(seq + len(batch), n, f"text {chance.random()}", at))
                write(batch)
                key = f"post/{chance.randrange(60):016x}".encode()
                database.write_now(moderation.hide, BEE, key, "why", NOW)
                if chance.random() < 0.5:
                    await publisher.caught_up()
                if chance.random() < 0.5:
                    database.write_now(moderation.unhide, BEE, key, NOW)
                await publisher.caught_up()
                shown = await feed_of(publisher)
                assert [(key, value["seq"]) for key, value in shown] == feed_in_sql(database)
            item = database.read_now(queries.feed).items[0]
            newest = dict(await feed_of(publisher))[feed_bee.item_key(item.sort_at, item.bee, item.key)]
            assert item.value is not None
            assert (newest["value"], newest["hash"]) == (json.loads(item.value), value_hash(item.value))
            assert newest["firstSeen"] == NOW

            kept = 100
            restored: list[Any] = []
            database.write_now(store.rewind, BEE, position, Position(1, kept, 1), kept, restored)
            await publisher.caught_up()
            assert [(key, value["seq"]) for key, value in await feed_of(publisher)] == feed_in_sql(database)
            database.write_now(lambda connection: connection.execute(delete(records)))
            await publisher.caught_up()
            assert await feed_of(publisher) == []


async def test_a_batch_that_is_published_twice_writes_nothing(tmp_path: Path) -> None:
    """What a killed process leaves: the bees have it, the tables still say that they do not."""
    with scratch_database("sqlite", tmp_path) as database:
        database.write_now(sources.add, BEE, NOW, "command", None)
        operations = [post(seq, seq, at=NOW - seq) for seq in range(1, 30)]
        rows = decide(operations, NOW)
        said = transparency.reading(
            BEE, Stretch(1, 30, Position(0, 30, 1)), rows, NOW, length=30, tree=bytes(32)
        )
        database.write_now(store.write, BEE, rows, Position(), Position(0, 30, 1), 30, said)
        database.write_now(moderation.hide, BEE, b"post/" + b"%016x" % 3, "why", NOW)
        notes = {
            table: database.read_now(
                lambda connection, table=table: [row._asdict() for row in connection.execute(table.select())]
            )
            for table in (readings, feed_changes)
        }
        async with publishing(database, tmp_path) as publisher:
            await publisher.caught_up()
            lengths = publisher.log.core.length, publisher.feed.core.length
            assert lengths[0] > 2
            for table, rows_before in notes.items():
                database.write_now(
                    lambda connection, table=table, rows=rows_before: connection.execute(table.insert(), rows)
                )
            database.write_now(
                lambda connection: connection.execute(decisions.decisions.update().values(told=None))
            )
            await publisher.caught_up()
            assert (publisher.log.core.length, publisher.feed.core.length) == lengths
            assert database.read_now(transparency.unpublished, 10) == []
            assert database.read_now(decisions.untold, 10) == []


async def test_every_decision_has_its_place_and_its_state(tmp_path: Path) -> None:
    key = f"post/{1:016x}".encode()
    with scratch_database("sqlite", tmp_path) as database:
        database.write_now(sources.add, BEE, NOW, "command", None)
        database.write_now(moderation.hide, BEE, key, "A reason.", NOW + 1)
        async with publishing(database, tmp_path) as publisher:
            await publisher.caught_up()
            [decision] = database.read_now(decisions.listing, 10, bee=BEE, key=key)
            assert decision.told is not None
            entry = await publisher.log.get_by_seq(decision.told)
            assert json.loads(entry.value) == {
                "at": NOW + 1, "by": "operator", "action": "hidden", "bee": BEE.hex(), "key": key.decode(),
                "reason": "A reason.",
            }  # fmt: skip
            state = await publisher.log.get(transparency.hidden_key(BEE, key))
            assert state is not None
            assert json.loads(state.value)["reason"] == "A reason."
            database.write_now(moderation.unhide, BEE, key, NOW + 2)
            await publisher.caught_up()
            assert await publisher.log.get(transparency.hidden_key(BEE, key)) is None


async def test_a_reading_names_what_it_skipped(tmp_path: Path) -> None:
    operations = [
        post(1, 1),
        put(2, "post/bad", {"no": "text"}),
        removal(3, "post/gone"),
        Operation.broken(4),
    ]
    stretch = Stretch(1, 5, Position(2, 5, 1))
    row = transparency.reading(BEE, stretch, decide(operations, NOW), NOW, length=9, tree=b"\x07" * 32)
    said = json.loads(row["told"])
    assert (said["from"], said["to"], said["fork"], said["length"], said["tree"]) == (1, 5, 2, 9, "07" * 32)
    assert (said["indexed"], said["removed"]) == (1, 1)
    assert sorted(seq for seqs in said["skipped"].values() for seq in seqs) == [2, 4]


async def test_only_one_store_publishes_for_a_database(tmp_path: Path) -> None:
    with scratch_database("sqlite", tmp_path) as database:
        async with publishing(database, tmp_path) as first, publishing(database, tmp_path) as second:
            await first.start()
            await second.start()
            assert database.read_now(transparency.published) == {
                "log": first.log.core.key, "feed": first.feed.core.key,
            }  # fmt: skip
            assert second._task is None
            await first.close()
        assert database.read_now(lambda connection: len(connection.execute(own_bees.select()).all())) == 2
