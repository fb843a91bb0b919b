"""Rows and cursor on SQLite and on a real PostgreSQL: idempotent, keyset-paged, indexed, claimed once."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, event, select, text

import feedagg
from core.errors import StorageError, StorageVersion
from core.records import format_date
from feedagg import database as databases
from feedagg import moderation, naming, queries, sources, store
from feedagg.database import Database, database_url
from feedagg.decide import Operation, Position, Status, decide
from feedagg.queries import Place
from feedagg.tables import metadata, records
from tests.support.feedagg import ENGINES, delete, put, scratch_database

NOW = 1_790_000_000_000
BEE = bytes(range(32))
OTHER = bytes(range(1, 33))
START = Position()
OF_ONE_KIND = ("words", "records_words", "records_key", "records_bee", "records_name", "records_author")
"""What migrations 0002 and 0006 make without a form that both databases share."""


@pytest.fixture(
    params=[pytest.param(name, marks=[pytest.mark.postgres] * (name != "sqlite")) for name in ENGINES]
)
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    with scratch_database(request.param, tmp_path) as opened:
        opened.write_now(sources.add, BEE, NOW, "command", "127.0.0.1:1")
        yield opened


def write(
    database: Database,
    operations: list[Operation],
    before: Position,
    after: Position,
    now: int = NOW,
    bee: bytes = BEE,
) -> None:
    database.write_now(store.write, bee, decide(operations, now), before, after, after.cursor)


def post(seq: int, n: int, text: str = "hello", at: int = NOW - 1000) -> Operation:
    return put(seq, f"post/{n:016x}", {"text": text, "createdAt": format_date(at)})


def listed(database: Database) -> list[tuple[bytes, bytes | None]]:
    return [(item.key, item.value) for item in database.read_now(queries.feed).items]


def test_the_migrations_make_the_tables_that_the_program_knows(database: Database) -> None:
    with database.engine.connect() as connection:
        options = {"include_object": lambda thing, name, kind, *_: not str(name).startswith(OF_ONE_KIND)}
        assert compare_metadata(MigrationContext.configure(connection, opts=options), metadata) == []
    scripts = ScriptDirectory(str(Path(feedagg.__file__).parent / "migrations"))
    assert scripts.get_current_head() == databases.HEAD


def test_a_database_of_a_newer_program_is_left_alone(tmp_path: Path) -> None:
    with scratch_database("sqlite", tmp_path) as opened:
        opened.write_now(
            lambda connection: connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
        )
    with pytest.raises(StorageVersion, match="newer"):
        Database(database_url(tmp_path, None))


def test_a_database_that_cannot_be_opened_says_so(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="cannot be opened"):
        Database(database_url(tmp_path / "missing", None))


def test_rows_and_cursor_move_together(database: Database) -> None:
    write(database, [post(1, 1)], START, Position(0, 2, 1))
    assert database.read_now(store.position, BEE) == Position(0, 2, 1)
    assert [key for key, _ in listed(database)] == [b"post/0000000000000001"]

    def fail_after_rows(connection: Connection) -> None:
        store.write(connection, BEE, decide([post(2, 2)], NOW), Position(0, 2, 1), Position(0, 3, 1), 3)
        raise RuntimeError("killed here")

    with pytest.raises(RuntimeError):
        database.write_now(fail_after_rows)
    assert database.read_now(store.position, BEE) == Position(0, 2, 1)
    assert len(listed(database)) == 1


def test_a_stretch_written_twice_or_by_two_workers_counts_once(database: Database) -> None:
    write(database, [post(1, 1), post(2, 2)], START, Position(0, 3, 1))
    with pytest.raises(store.Superseded):
        write(database, [post(1, 1), post(2, 2)], START, Position(0, 3, 1))
    # The same rows again from the right position: an upsert that changes nothing.
    write(database, [post(1, 1), post(2, 2)], Position(0, 3, 1), Position(0, 3, 1), now=NOW + 5_000)
    rows = database.read_now(queries.feed).items
    assert len(rows) == 2
    assert {row.first_seen for row in rows} == {NOW}


def test_an_older_block_read_later_neither_overwrites_nor_revives(database: Database) -> None:
    write(database, [post(8, 1, "new"), delete(9, "post/0000000000000002")], START, Position(0, 10, 8))
    write(database, [post(3, 1, "old"), post(4, 2, "gone")], Position(0, 10, 8), Position(0, 10, 3))
    ((key, value),) = listed(database)
    assert key == b"post/0000000000000001"
    assert value is not None
    assert b"new" in value


def test_an_edit_keeps_its_place(database: Database) -> None:
    write(database, [put(1, "x", {"text": "undated"})], START, Position(0, 2, 1))
    write(database, [put(2, "x", {"text": "edited"})], Position(0, 2, 1), Position(0, 3, 1), now=NOW + 60_000)
    (item,) = database.read_now(queries.feed).items
    assert (item.sort_at, item.first_seen, item.seq) == (NOW, NOW, 2)


def test_any_split_and_order_of_stretches_gives_the_same_rows(database: Database) -> None:
    chance = random.Random(7)
    history: list[Operation] = []
    for seq in range(1, 201):
        n = chance.randrange(40)
        history.append(
            delete(seq, f"post/{n:016x}") if chance.random() < 0.3 else post(seq, n, f"text {seq}")
        )
    alive = {operation.key: operation.value for operation in history}
    expected = {key: value for key, value in alive.items() if value is not None}
    position = Position(0, 101, 101)
    write(database, [], START, position)
    while position.tail > 1 or position.cursor < 201:
        size = chance.randrange(1, 30)
        if position.cursor < 201 and (chance.random() < 0.5 or position.tail == 1):
            after = Position(0, min(201, position.cursor + size), position.tail)
            part = history[position.cursor - 1 : after.cursor - 1]
        else:
            after = Position(0, position.cursor, max(1, position.tail - size))
            part = history[after.tail - 1 : position.tail - 1]
        write(database, part, position, after)
        position = after
    page = database.read_now(lambda connection: queries.of_bee(connection, BEE, size=500))
    assert {item.key: item.value for item in page.items} == expected


# --- truncation -----------------------------------------------------------------------------------


def test_a_truncated_log_is_repaired_in_one_transaction(database: Database) -> None:
    before = Position(0, 5, 1)
    write(database, [post(1, 1, "first"), post(2, 2), post(3, 1, "edited"), post(4, 3)], START, before)
    assert sorted(database.read_now(store.changed_since, BEE, 3, 10)) == [
        b"post/0000000000000001",
        b"post/0000000000000003",
    ]
    restored = decide([post(1, 1, "first")], NOW + 9)
    database.write_now(store.rewind, BEE, before, Position(1, 3, 1), 3, restored)
    found = dict(listed(database))
    assert set(found) == {b"post/0000000000000001", b"post/0000000000000002"}
    assert b"first" in (found[b"post/0000000000000001"] or b"")
    item = database.read_now(queries.record, BEE, b"post/0000000000000001")
    assert item is not None
    assert item.first_seen == NOW


def test_a_log_rewritten_from_the_start_is_read_again_and_what_is_not_met_is_dropped(
    database: Database,
) -> None:
    write(database, [post(1, 1), post(2, 2)], START, Position(0, 3, 1))
    database.write_now(store.rewind, BEE, Position(0, 3, 1), Position(1), 2, [])
    assert listed(database) == []
    write(database, [post(1, 2, "again")], Position(1), Position(1, 2, 1), now=NOW + 5_000)
    (item,) = database.read_now(queries.feed).items
    assert (item.key, item.first_seen) == (b"post/0000000000000002", NOW)
    with database.engine.connect() as connection:
        stale = select(records.c.key).where(records.c.status == int(Status.STALE))
        assert connection.execute(stale).all() == []


# --- hiding ---------------------------------------------------------------------------------------


def test_a_hidden_record_stays_hidden_when_it_is_edited_or_comes_again(database: Database) -> None:
    key = b"post/0000000000000001"
    assert not database.write_now(moderation.hide, BEE, key, "spam", NOW)
    write(database, [post(1, 1)], START, Position(0, 2, 1))
    write(database, [post(2, 1, "edited")], Position(0, 2, 1), Position(0, 3, 1))
    assert listed(database) == []
    assert database.read_now(queries.why_hidden, BEE, key) == "spam"
    assert database.write_now(moderation.unhide, BEE, key, NOW)
    assert [item for item, _ in listed(database)] == [key]


# --- paging and plans -----------------------------------------------------------------------------


def test_pages_lose_and_double_nothing_where_times_are_equal(database: Database) -> None:
    database.write_now(sources.add, OTHER, NOW, "command")
    for bee in (BEE, OTHER):
        operations = [post(n, n, at=NOW - n // 40) for n in range(1, 101)]
        write(database, operations, START, Position(0, 101, 1), bee=bee)
    seen: list[Place] = []
    page = database.read_now(lambda connection: queries.feed(connection, size=7))
    while True:
        seen += [item.place for item in page.items]
        if not page.has_older:
            break
        last = page.items[-1].place
        assert Place.parse(last.token()) == last
        page = database.read_now(lambda connection: queries.feed(connection, before=last, size=7))  # noqa: B023
    assert seen == sorted(set(seen), reverse=True)
    assert len(seen) == 200
    newer = database.read_now(lambda connection: queries.feed(connection, after=seen[100], size=7))
    assert [item.place for item in newer.items] == seen[93:100]
    assert newer.has_newer


@pytest.mark.parametrize("token", [None, "", "x", "AAAA", "é", "A" * 5000, "!!!!"])
def test_a_cursor_of_somebody_else_is_no_cursor(token: str | None) -> None:
    assert Place.parse(token) is None


def test_every_feed_query_walks_an_index(tmp_path: Path) -> None:
    with scratch_database("sqlite", tmp_path) as database:
        statements: list[tuple[str, object]] = []
        event.listen(
            database.reader,
            "before_cursor_execute",
            lambda connection, cursor, statement, parameters, *_: statements.append((statement, parameters)),
        )
        place = Place(NOW, 7)
        for before in (None, place):
            database.read_now(queries.feed, before=before)
            database.read_now(queries.of_bee, BEE, before=before)
            database.read_now(queries.film, "t:heat:1995", before=before)
            database.read_now(queries.film, "tmdb:1", before=before)
        database.read_now(queries.feed, after=place)
        asked = [(sql, values) for sql, values in statements if sql.startswith("SELECT")]
        assert len(asked) > 10
        with database.reader.connect() as connection:
            for statement, parameters in asked:
                rows = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)  # type: ignore[arg-type]
                plan = [row[3] for row in rows]
                assert not [step for step in plan if step == "SCAN records"], (statement, plan)
                if "LIMIT" in statement and "DISTINCT" not in statement and " IN (" not in statement:
                    assert not [step for step in plan if "TEMP B-TREE" in step], (statement, plan)


@pytest.mark.postgres
def test_postgres_finds_a_record_and_a_bee_by_the_narrow_indexes(tmp_path: Path) -> None:
    like = bytes(8 * [255]) + bytes(24)  # a negative number as PostgreSQL reads its first eight bytes
    twin = like[:8] + bytes([1] * 24)
    with scratch_database("postgres", tmp_path) as database:
        for bee in (like, twin):
            database.write_now(sources.add, bee, NOW, "command")
            write(database, [post(n, n) for n in range(1, 40)], START, Position(0, 40, 1), bee=bee)
        asked = {
            "records_name": select(records.c.bee, records.c.seq).where(
                naming.is_record(like, post(7, 7).key)
            ),
            "records_author": select(records.c.bee, records.c.seq).where(naming.is_by(like)),
        }
        with database.engine.begin() as connection:
            connection.execute(text("SET LOCAL enable_seqscan = off"))
            for index, statement in asked.items():
                rows = connection.execute(statement).all()
                assert {bytes(row.bee) for row in rows} == {like}
                assert len(rows) == (1 if index == "records_name" else 39)
                said = statement.compile(connection)
                plan = [row[0] for row in connection.exec_driver_sql(f"EXPLAIN {said}", said.params)]
                assert any(index in step for step in plan), plan
            page = queries.of_bee(connection, like, size=10)
            assert [item.bee for item in page.items] == [like] * 10
            assert page.has_older
            named = connection.execute(text("SELECT feed_name(bee, key), bee, key FROM records")).all()
            assert all(naming.name_of(bytes(bee), bytes(key)) == name for name, bee, key in named)


def test_a_film_is_met_by_its_title_and_scored_once_a_person(database: Database) -> None:
    database.write_now(sources.add, OTHER, NOW, "command")

    def watch(seq: int, rating: int, at: int, **film: object) -> Operation:
        value = {
            "film": {"title": "Heat", "year": 1995, **film},
            "rating": rating,
            "createdAt": format_date(at),
        }
        return put(seq, f"movie/{seq:016x}", value)

    first, second = watch(1, 2, NOW - 2000, ids={"tmdb": 949}), watch(2, 10, NOW - 1000, ids={"tmdb": 949})
    write(database, [first, second], START, Position(0, 3, 1))
    write(database, [watch(1, 7, NOW - 3000)], START, Position(0, 2, 1), bee=OTHER)
    for name in ("tmdb:949", "t:heat:1995"):
        film = database.read_now(queries.film, name)
        assert len(film.page.items) == 3, name
        assert (film.average, film.ratings) == (8.5, 2), name
    assert database.read_now(queries.film, "tmdb:1").page.items == []


# --- claims ---------------------------------------------------------------------------------------


def test_a_due_source_is_claimed_by_one_and_again_only_after_its_lease(database: Database) -> None:
    assert [source.bee for source in database.write_now(sources.claim, "one", NOW, 10)] == [BEE]
    assert database.write_now(sources.claim, "two", NOW + 1, 10) == []
    late = NOW + sources.LEASE_MS + 1
    assert [source.bee for source in database.write_now(sources.claim, "two", late, 10)] == [BEE]


def test_what_a_killed_run_had_claimed_is_free_at_its_next_start(database: Database) -> None:
    database.write_now(sources.claim, "me", NOW, 10)
    database.write_now(sources.contacted, BEE, NOW, NOW + 30_000, "127.0.0.1:1", "me", 5)
    database.write_now(sources.release, "me", NOW + 1)
    (source,) = database.write_now(sources.claim, "me", NOW + 2, 10)
    assert not source.connected
    assert source.last_contact == NOW


def test_after_a_restart_the_bees_that_were_there_come_before_those_that_never_were(
    database: Database,
) -> None:
    database.write_now(sources.claim, "me", NOW, 10)
    database.write_now(sources.contacted, BEE, NOW, NOW + 30_000, "127.0.0.1:1", "me", 5)
    for number in range(20):  # nobody has these, and all have been due for an hour
        database.write_now(sources.add, bytes([200 + number]) * 32, NOW - 3_600_000, "command", None)
    database.write_now(sources.release, "me", NOW + 1)
    assert [source.bee for source in database.write_now(sources.claim, "me", NOW + 2, 1)] == [BEE]


def test_a_failure_waits_and_a_new_submission_tries_at_once(database: Database) -> None:
    database.write_now(sources.claim, "me", NOW, 10)
    database.write_now(sources.failed, BEE, "Nobody answers.", NOW + 60_000)
    assert database.write_now(sources.claim, "me", NOW + 1, 10) == []
    assert not database.write_now(sources.add, BEE, NOW + 2, "web", "192.0.2.1:5")
    (source,) = database.write_now(sources.claim, "me", NOW + 2, 10)
    assert (source.attempts, source.error) == (1, "Nobody answers.")


def test_what_somebody_asks_for_comes_before_what_nobody_has(database: Database) -> None:
    for number in range(20):
        database.write_now(sources.add, bytes([200 + number]) * 32, NOW - 7_200_000, "command", None)
    for source in database.write_now(sources.claim, "me", NOW - 7_200_000, 100):
        database.write_now(sources.failed, source.bee, "Nobody answers.", NOW - 3_600_000)
    asked = bytes([100]) * 32
    database.write_now(sources.add, asked, NOW, "web", "192.0.2.1:5")
    assert [source.bee for source in database.write_now(sources.claim, "me", NOW, 1)] == [asked]
    # Asked for once more, one of the others is next.
    again = bytes([219]) * 32
    assert not database.write_now(sources.add, again, NOW + 1, "web", None)
    assert [source.bee for source in database.write_now(sources.claim, "me", NOW + 1, 1)] == [again]


def test_strangers_cannot_push_out_an_address_that_works(database: Database) -> None:
    database.write_now(sources.contacted, BEE, NOW, NOW, "127.0.0.1:1", "me", 5)
    for n in range(20):
        database.write_now(sources.add, BEE, NOW + n, "web", f"192.0.2.{n}:5")
    hints = database.read_now(sources.hints_of, BEE)
    assert len(hints) == sources.MAX_HINTS
    assert (hints[0].address, hints[0].trusted) == ("127.0.0.1:1", True)
    assert not any(hint.trusted for hint in hints[1:])
    assert "192.0.2.19:5" in [hint.address for hint in hints]


# --- group commit ---------------------------------------------------------------------------------


@pytest.mark.anyio
async def test_writes_that_share_a_transaction_fail_one_by_one(tmp_path: Path) -> None:
    import asyncio

    with scratch_database("sqlite", tmp_path) as database:

        def add(connection: Connection, n: int) -> int:
            if n == 3:
                raise ValueError("three")
            sources.add(connection, bytes([n]) * 32, NOW, "command")
            return n

        outcomes = await asyncio.gather(*(database.write(add, n) for n in range(6)), return_exceptions=True)
        assert [outcome for outcome in outcomes if not isinstance(outcome, ValueError)] == [0, 1, 2, 4, 5]
        assert isinstance(outcomes[3], ValueError)
        assert (await database.read(sources.counts))["followed"] == 5
        with pytest.raises(Exception, match="readonly"):
            await database.read(sources.add, BEE, NOW, "command")
