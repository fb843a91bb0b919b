"""Export, import and diff: the same feed hash on the other side, nothing taken for more than it is."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from core.errors import BadArgument
from core.records import format_date
from feedagg import feed_hash, marks, moderation, policy, portable, queries, sources, store
from feedagg.cli import main
from feedagg.database import Database
from feedagg.decide import Operation, Position, decide
from feedagg.ingest import now_ms
from tests.support.feedagg import ENGINES, aggregator, author, put, scratch_database

NOW = 1_790_000_000_000
BEES = [bytes(range(start, start + 32)) for start in range(3)]
DATABASES = [pytest.param(name, marks=[pytest.mark.postgres] * (name != "sqlite")) for name in ENGINES]


def fill(database: Database) -> None:
    """Three bees read at different times: dated, undated, imported, hidden, a profile, a refused one, a policy."""
    for number, bee in enumerate(BEES):
        database.write_now(sources.add, bee, NOW, "command", f"127.0.0.1:{1000 + number}")
        position = Position()
        for round_ in range(3):
            start = 1 + 20 * round_
            operations: list[Operation] = []
            for seq in range(start, start + 20):
                value: dict[str, Any] = {"text": f"bee {number} seq {seq}"}
                if seq % 3:
                    value["createdAt"] = format_date(NOW - seq * 1000 + number)
                operations.append(put(seq, f"post/{seq % 45:016x}", value))
            if round_ == 0:
                operations[0] = put(1, "profile/self", {"name": f"Bee {number}"})
            after = Position(0, start + 20, 1)
            database.write_now(
                store.write, bee, decide(operations, NOW + round_ * 777), position, after, start + 20
            )
            position = after
    database.write_now(moderation.hide, BEES[0], f"post/{5:016x}".encode(), "A reason.", NOW)
    database.write_now(policy.refuse, BEES[2], NOW, "Only adverts.")
    database.write_now(policy.choose, NOW, policy.APPROVAL)


@pytest.mark.parametrize("engine", DATABASES)
def test_another_instance_comes_to_the_same_hash(engine: str, tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    a, b = tmp_path / "a.gz", tmp_path / "b.gz"
    with (
        scratch_database(engine, tmp_path / "a") as first,
        scratch_database(engine, tmp_path / "b") as second,
    ):
        fill(first)
        head = first.read_now(portable.export, a, NOW)
        second.write_now(portable.bring_in, a, NOW + 5)
        assert second.read_now(feed_hash.of_database) == first.read_now(feed_hash.of_database)
        assert head["feedHash"] == first.read_now(feed_hash.of_database).hex()
        pages = [
            [
                (item.bee, item.key, item.seq, item.value)
                for item in database.read_now(queries.feed, size=500).items
            ]
            for database in (first, second)
        ]
        assert len(pages[0]) > 40
        assert sorted(pages[0]) == sorted(pages[1])
        assert second.read_now(policy.policy) == policy.APPROVAL
        assert second.read_now(queries.why_hidden, BEES[0], f"post/{5:016x}".encode()) == "A reason."
        refused = second.read_now(sources.get, BEES[2])
        assert refused is not None
        assert (refused.state, refused.state_reason) == (sources.REFUSED, "Only adverts.")
        assert second.read_now(queries.profiles, BEES).keys() == first.read_now(queries.profiles, BEES).keys()
        # nothing was read from a bee yet, so nothing is more than indexed
        read = second.read_now(marks.readings, BEES)[BEES[0]]
        assert marks.mark(BEES[0], b"k", 3, read, NOW).level == marks.Level.INDEXED
        second.read_now(portable.export, b, NOW)
        assert {one.what for one in portable.diff(a, b)} == {"bee"}  # how far they are read
        assert list(portable.diff(a, a)) == []
        second.write_now(moderation.hide, BEES[1], f"post/{7:016x}".encode(), "Another.", NOW)
        second.read_now(portable.export, b, NOW)
        found = {one.what: one for one in portable.diff(a, b)}
        assert found["hidden"].only == "B"
        assert "hidden" in found["record"].detail
        assert "feedHash" in found
        with pytest.raises(BadArgument, match="empty"):
            second.write_now(portable.bring_in, a, NOW)


def changed(path: Path, change: Callable[[list[Any]], None]) -> Path:
    with gzip.open(path, "rt") as file:
        lines = [json.loads(line) for line in file]
    change(lines)
    wrong = path.with_suffix(".wrong")
    with gzip.open(wrong, "wt") as file:
        file.writelines(json.dumps(line) + "\n" for line in lines)
    return wrong


def test_a_file_that_was_meddled_with_is_refused_whole(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    a = tmp_path / "a.gz"
    with (
        scratch_database("sqlite", tmp_path / "a") as first,
        scratch_database("sqlite", tmp_path / "b") as second,
    ):
        fill(first)
        first.read_now(portable.export, a, NOW)
        records = [n for n, line in enumerate(portable.read(a)) if "record" in line]

        def value(lines: list[Any]) -> None:
            lines[records[3]]["value"] = lines[records[4]]["value"]

        def order(lines: list[Any]) -> None:
            lines[records[3]]["sortAt"] += 1

        def dropped(lines: list[Any]) -> None:
            del lines[records[3]]

        def no_key(lines: list[Any]) -> None:
            lines[1]["bee"] = "00"

        def broken(lines: list[Any]) -> None:
            del lines[records[0]]["seq"]

        def other_kind(lines: list[Any]) -> None:
            lines[0]["kind"] = "something"

        for change in (value, order, dropped, no_key, broken, other_kind):
            with pytest.raises(BadArgument):
                second.write_now(portable.bring_in, changed(a, change), NOW)
            assert second.read_now(sources.listing, 10) == []
        short = tmp_path / "short.gz"
        short.write_bytes(a.read_bytes()[:-200])
        (tmp_path / "text").write_text("no gzip")
        for path in (short, tmp_path / "text"):
            with pytest.raises(BadArgument, match="not the export"):
                second.write_now(portable.bring_in, path, NOW)


@pytest.mark.anyio
async def test_what_was_imported_is_verified_and_a_lie_is_replaced(tmp_path: Path) -> None:
    """The file says of one block what its author did not: the bee, once read, has the last word."""
    a = tmp_path / "a.gz"
    async with author() as (_, bee, address):
        for n in range(10):
            await bee.put(
                f"post/{n:016x}", {"text": f"true {n}", "createdAt": format_date(now_ms() - 10_000 + n)}
            )
        async with aggregator(tmp_path / "one") as running:
            await running.database.write(sources.add, bee.core.key, now_ms(), "command", address)
            async with asyncio.timeout(60):
                while running.ingest.records_read < 10:
                    await asyncio.sleep(0.02)
            true_hash = await running.database.read(feed_hash.of_database)
            await running.database.read(portable.export, a, now_ms())
        lying = tmp_path / "two"
        lying.mkdir()
        with scratch_database("sqlite", lying) as database:
            database.write_now(portable.bring_in, a, now_ms())
            assert database.read_now(feed_hash.of_database) == true_hash
            key = f"post/{4:016x}".encode()

            def lie(connection: Any) -> None:
                value = json.dumps({"text": "a lie", "createdAt": format_date(now_ms() - 20_000)}).encode()
                table = store.records
                connection.execute(table.update().where(table.c.key == key).values(value=value))

            database.write_now(lie)
            assert database.read_now(feed_hash.of_database) != true_hash
        async with aggregator(lying) as running:
            async with asyncio.timeout(60):
                while await running.database.read(feed_hash.of_database) != true_hash:
                    await asyncio.sleep(0.05)
            item = await running.database.read(queries.record, bee.core.key, key)
            assert item is not None
            assert b"true 4" in (item.value or b"")


def test_the_commands(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    one.mkdir()
    with scratch_database("sqlite", one) as database:
        fill(database)
    a, b = str(tmp_path / "a.gz"), str(tmp_path / "b.gz")
    run = CliRunner().invoke
    done = run(main, ["--dir", str(one), "export", a])
    assert (done.exit_code, "3 bees" in done.output) == (0, True), done.output
    done = run(main, ["--dir", str(two), "import", a, "--json"])
    assert done.exit_code == 0, done.output
    assert json.loads(done.output)["feedHash"] in run(main, ["--dir", str(two), "export", b]).output
    done = run(main, ["diff", a, b])
    assert done.exit_code == 1
    assert "read 0 to 0" in done.output
    assert run(main, ["diff", a, a]).exit_code == 0
    done = run(main, ["--dir", str(two), "import", a])
    assert done.exit_code == 1
    assert "empty aggregator" in done.output
